import { asWaybillError } from "../base/errors.ts";
import { actor, type WorkerId } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import { scopeText, type Pause, type Pauses } from "../ledger/pauses.ts";
import type { Tripped } from "../load/routes.ts";
import { WELL, degraded, type Health } from "../observe/health.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";

/** Pauses hold in every process within this time. */
export const LOOK_MS = 1_000;

export type PauseWatchParts = {
  readonly pauses: Pauses;
  readonly worker: WorkerId;
  readonly runtime: Pick<Runtime, "timers">;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Something paused is due: a probe, or what was freed. */
  readonly onWork: () => void;
};

/**
 * Knows what stands still, whichever process or person stopped it: pauses the routes that the loader found broken, lets one
 * message probe each from time to time, and tells health and metrics.
 */
export class PauseWatch implements Disposable {
  readonly #parts: PauseWatchParts;
  readonly #beat: Disposable;
  #known: readonly Pause[] = [];

  constructor(parts: PauseWatchParts) {
    this.#parts = parts;
    const { runtime, log } = parts;
    this.#beat = runtime.timers.every(
      LOOK_MS,
      () => this.look(),
      (thrown) => log.warn({ error: asWaybillError(thrown) }, "pauses.unread"),
    );
  }
  [Symbol.dispose](): void {
    this.#beat[Symbol.dispose]();
  }

  /** Says it once, however many lanes and processes meet it. */
  async tripped({ route, fault, detail }: Tripped): Promise<void> {
    const { pauses, worker, log } = this.#parts;
    const reason = `${fault} on many lanes, such as ${detail}`;
    if (!(await pauses.trip(route, fault, reason, actor(`worker:${worker}`)))) return;
    log.error({ route, fault, detail }, "route.paused");
    await this.look();
  }

  async look(): Promise<void> {
    const { pauses, metrics, log, onWork } = this.#parts;
    while (await pauses.probe()) onWork();
    const now = await pauses.list();
    const gone = this.#known.filter((old) => !now.some(({ kind, name }) => kind === old.kind && name === old.name));
    for (const { kind, name } of gone) {
      log.info({ kind, name }, "pause.ended");
      if (kind === "route") metrics.set("waybill_route_paused", 0, { table: name });
    }
    for (const { kind, name } of now) if (kind === "route") metrics.set("waybill_route_paused", 1, { table: name });
    if (gone.length > 0) onWork();
    this.#known = now;
  }

  /** A person stopped everything: the centre is left alone altogether. */
  get everything(): boolean {
    return this.#known.some(({ kind }) => kind === "everything");
  }

  get health(): Health {
    if (this.#known.length === 0) return WELL;
    const told = this.#known.slice(0, 5).map((pause) => `${scopeText(pause)}: ${pause.reason}`);
    const more = this.#known.length > told.length ? ` and ${this.#known.length - told.length} more` : "";
    return degraded(`paused: ${told.join("; ")}${more}`);
  }
}
