import type { WorkerId } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import { MINUTE_MS, type MinuteFlow } from "../ledger/history.ts";
import type { Ledger } from "../ledger/port.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";

const LOOK_EVERY_MS = 1_000;

type Parts = {
  readonly ledger: Pick<Ledger, "history" | "trail">;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly process: WorkerId;
};

/** At the end of each minute writes into the ledger how it was. Every process does: its own part is only known to it. */
export class HistoryKeeper implements Disposable {
  readonly #parts: Parts;
  readonly #timer: Disposable;
  #minute: number;
  #before: MinuteFlow;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#minute = this.#now();
    this.#before = this.#flow();
    const failed = (error: unknown): void => parts.log.warn({ error }, "history.unwritten");
    this.#timer = parts.runtime.timers.every(LOOK_EVERY_MS, () => this.#look(), failed);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  async #look(): Promise<void> {
    if (this.#now() === this.#minute) return;
    // Set before the writing: a ledger that fails costs this minute's figures, and is not asked again every second.
    this.#minute = this.#now();
    const [before, now] = [this.#before, this.#flow()];
    this.#before = now;
    const { ledger, process, runtime } = this.#parts;
    const { oldestReceivedAt, ...overview } = await ledger.trail.overview();
    const oldestMs = oldestReceivedAt === null ? 0 : Math.max(0, runtime.clock.now() - oldestReceivedAt);
    await ledger.history.record(
      process,
      { ...overview, oldestMs },
      { out: now.out - before.out, lag: now.lag.map((n, i) => n - (before.lag[i] ?? 0)) },
    );
  }

  #now(): number {
    return Math.floor(this.#parts.runtime.clock.now() / MINUTE_MS);
  }

  /** Since the process began. */
  #flow(): MinuteFlow {
    const { metrics } = this.#parts;
    return {
      out: metrics.value("waybill_updates_forwarded_total", {}),
      lag: metrics.counts("waybill_load_lag_seconds", {}),
    };
  }
}
