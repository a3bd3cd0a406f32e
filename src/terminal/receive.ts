import type { UpdateId } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Cursor } from "../database/port.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Tracing } from "../observe/tracing.ts";
import { applySlice, moveCursor } from "./apply.ts";
import type { HubClient } from "./hub-client.ts";
import { restMs } from "./slice.ts";
import { tellApplied } from "./spans.ts";
import { Slicer, type Entry } from "./slicer.ts";
import type { StaleRows } from "./stale.ts";
import type { Station } from "./station.ts";

/** How many updates are asked for at once follows from their size: an answer should have about this many bytes, to stay small in memory. */
const ANSWER_BYTES = 1024 * 1024;
const FIRST_LIMIT = 8;
const MOST_UPDATES = 5_000;
/** A position that was attested but brought nothing for us is written down only after so long: each write may meet a till's. */
const IDLE_WRITE_MS = 600_000;

export type ReceiveParts = {
  readonly station: Station;
  readonly client: HubClient;
  readonly stale: StaleRows;
  /** Tables that may be written here, as the manifest and the terminal's own list have them now. */
  readonly allowed: () => ReadonlySet<string>;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly metrics: Metrics;
  /** Called when updates took effect. */
  readonly applied: () => void;
  readonly lockMs: number;
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
  /** The question this agent knows of already, and where it hears of another one. */
  readonly questions: { readonly told: string | null; tell(id: string | null): void };
};

/** Takes updates from the hub and applies them: the way down. One step is one request and all that came with it. */
export class Receiver {
  readonly #parts: ReceiveParts;
  /** Where the database's cursor stands; null: to be read. */
  #cursor: Cursor | null = null;
  /** Attested through here, though nothing for us came since the cursor. */
  #attested = 0;
  #limit = FIRST_LIMIT;
  #writtenAt: number;

  constructor(parts: ReceiveParts) {
    this.#parts = parts;
    this.#writtenAt = parts.runtime.clock.elapsed();
  }

  /** Attested through here: what came up to it has taken effect, or there was nothing for us. */
  get attested(): number {
    return this.#attested;
  }

  /** @returns milliseconds until the next step: always 0, as the hub does the waiting. */
  async step(): Promise<number> {
    const { client, signal, station, waitSeconds, questions, tracing, runtime } = this.#parts;
    const cursor = (this.#cursor ??= (await station.use((database) => database.capture.state())).cursor);
    await this.#report(cursor);
    const after = cursor.id > this.#attested ? cursor.id : (this.#attested as Cursor["id"]);
    const batch = await client.updates(after, this.#limit, waitSeconds, questions.told);
    questions.tell(batch.question ?? null);
    if (batch.updates.length > 0) this.#limit = limitFor(batch.updates.length, batch.bytes);
    this.#cursor = null; // read again if anything below fails: only the database knows what was committed
    const { updates, through } = batch.more ? withoutCutTransaction(batch) : batch;
    const slicer = new Slicer(updates, cursor, through);
    if (slicer.done) return this.#nothing(cursor, slicer);
    const from = runtime.clock.now();
    const refused = new Map<number, string>();
    while (!slicer.done && !signal.aborted) await this.#slice(slicer, refused);
    const applied = updates.filter(({ id }) => id > cursor.id && id <= slicer.cursor.id);
    if (tracing.on) tellApplied(tracing, applied, refused, { from, to: runtime.clock.now() });
    this.#parts.metrics.add("waybill_terminal_updates_applied_total", applied.length, {});
    this.#cursor = slicer.cursor;
    this.#attested = 0;
    await client.acknowledgeUpdates(slicer.cursor.id, []);
    return 0;
  }

  async #slice(slicer: Slicer, faults: Map<number, string>): Promise<void> {
    const { metrics, station, runtime, stale, allowed, lockMs, log, signal } = this.#parts;
    const planned = station.slices.rows;
    const { changes, refused, heldMs } = await station.use(async (database) => {
      const { tables } = await database.describe();
      const parts = { database, clock: runtime.clock, lockMs, stale, allowed: allowed(), shapes: tables };
      return applySlice(parts, slicer, planned);
    });
    station.slices.took(changes, heldMs);
    log.debug({ through: slicer.cursor.id, inside: slicer.cursor.changes, changes, heldMs }, "receive.applied");
    for (const { id, code } of refused) faults.set(id, code);
    for (const [code, rows] of countBy(refused, (refusal) => refusal.code)) {
      metrics.add("waybill_terminal_rows_refused_total", rows, { code });
      // Which rows, and why, stands in the status and at the hub: log lines hold no values.
      const tables = [...new Set(refused.flatMap((one) => (one.code === code ? [one.change.table] : [])))];
      log.warn({ code, rows, tables }, "receive.refused");
    }
    this.#writtenAt = runtime.clock.elapsed();
    this.#parts.applied();
    if (!slicer.done) await runtime.timers.sleep(restMs(heldMs), signal);
  }

  /** An answer without anything for us moves the cursor in memory, and seldom in the database. */
  async #nothing(cursor: Cursor, slicer: Slicer): Promise<number> {
    const { station, runtime } = this.#parts;
    const to = slicer.cursorAfter(0);
    const inside = cursor.changes > 0; // the rest of the entry is no longer for us: nothing is left of it to be remembered
    if (inside || (to.id > cursor.id && runtime.clock.elapsed() - this.#writtenAt >= IDLE_WRITE_MS)) {
      await station.use((database) => database.load.transaction((tx) => moveCursor(tx, cursor, to)));
      this.#writtenAt = runtime.clock.elapsed();
      this.#cursor = to;
    } else {
      this.#cursor = cursor;
      this.#attested = to.id;
    }
    return 0;
  }

  /** Tells the hub which rows were refused here, until it has heard it. */
  async #report(cursor: Cursor): Promise<void> {
    const { client, stale, station } = this.#parts;
    const refused = stale.unreported();
    if (refused.length === 0) return;
    await client.acknowledgeUpdates(
      cursor.id,
      refused.map(({ id, code, detail }) => ({ id, code, detail })),
    );
    await station.use((database) =>
      stale.reported(
        database.capture,
        refused.map(({ name }) => name),
      ),
    );
  }
}

/** At least two, so that it can be seen where a central transaction ends. */
const limitFor = (updates: number, bytes: number): number =>
  Math.min(MOST_UPDATES, Math.max(2, Math.floor((updates * ANSWER_BYTES) / Math.max(bytes, 1))));

/**
 * When more is to come, the last central transaction may be cut off in its middle: unless it is all there is, it is left for the
 * next answer, to be applied as a whole if it fits a slice.
 */
export function withoutCutTransaction<U extends Entry>(batch: {
  readonly updates: readonly U[];
  readonly through: UpdateId;
}): typeof batch {
  const { updates, through } = batch;
  const last = updates.findLastIndex((update) => update.tx !== updates.at(-1)?.tx);
  const end = updates[last];
  return end === undefined ? { updates, through } : { updates: updates.slice(0, last + 1), through: end.id };
}

function countBy<T, K>(all: readonly T[], by: (one: T) => K): ReadonlyMap<K, number> {
  const counts = new Map<K, number>();
  for (const one of all) counts.set(by(one), (counts.get(by(one)) ?? 0) + 1);
  return counts;
}
