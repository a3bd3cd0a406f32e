import { asWaybillError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Upkeep, UpkeepFacts } from "../ledger/port.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";

const LOOK_EVERY_MS = 15_000;
/** A transaction held open for so long is told of in the log, once until it has ended. */
export const HELD_SECONDS = 300;

/** Looks at the ledger's store now and then, for the metrics and the log. */
export class UpkeepWatch implements Disposable {
  readonly #upkeep: Upkeep;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #timer: Disposable;
  #isHeld = false;

  constructor(
    upkeep: Upkeep,
    { runtime, log, metrics }: { runtime: Pick<Runtime, "timers">; log: Log; metrics: Metrics },
  ) {
    this.#upkeep = upkeep;
    this.#log = log;
    this.#metrics = metrics;
    const complain = (thrown: unknown): void => log.warn({ error: asWaybillError(thrown) }, "upkeep.failed");
    this.#timer = runtime.timers.every(LOOK_EVERY_MS, () => this.look(), complain);
  }

  async look(): Promise<void> {
    const facts = await this.#upkeep.look();
    const { oldestSnapshot, deadRows, partitionsEndInSeconds, replicationLagSeconds } = facts;
    this.#metrics.set("waybill_ledger_snapshot_seconds", oldestSnapshot?.seconds ?? 0, {});
    for (const { table, dead } of deadRows) this.#metrics.set("waybill_ledger_dead_rows", dead, { table });
    this.#metrics.set("waybill_ledger_partition_headroom_seconds", partitionsEndInSeconds, {});
    if (replicationLagSeconds !== null)
      this.#metrics.set("waybill_ledger_replication_lag_seconds", replicationLagSeconds, {});
    this.#tell(facts);
  }

  #tell({ oldestSnapshot }: UpkeepFacts): void {
    const isHeld = oldestSnapshot !== null && oldestSnapshot.seconds >= HELD_SECONDS;
    if (isHeld && !this.#isHeld)
      this.#log.warn({ by: oldestSnapshot.by, seconds: oldestSnapshot.seconds }, "upkeep.held");
    this.#isHeld = isHeld;
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}
