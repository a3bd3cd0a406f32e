import { asWaybillError } from "../base/errors.ts";
import type { UpdateId } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Cursor } from "../database/port.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Tracing } from "../observe/tracing.ts";
import { applySlice, moveCursor } from "./apply.ts";
import type { HubClient, Standing } from "./hub-client.ts";
import { restMs } from "./slice.ts";
import { tellApplied } from "./spans.ts";
import { Slicer, type Entry } from "./slicer.ts";
import type { StaleRows } from "./stale.ts";
import type { Station } from "./station.ts";

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
  /** How far the hub has this terminal's messages by its own word, null while that is being asked; and whom to tell that it has less. */
  readonly standing: () => Standing | null;
  readonly behind: () => void;
};

/** Takes updates from the hub and applies them: the way down. One step is one request and all that came with it. */
export class Receiver {
  readonly #parts: ReceiveParts;
  /** Where the database's cursor stands; null: to be read. */
  #cursor: Cursor | null = null;
  /** Attested through here, though nothing for us came since the cursor. */
  #attested: Pick<Cursor, "id" | "strand"> | null = null;
  #writtenAt: number;

  constructor(parts: ReceiveParts) {
    this.#parts = parts;
    this.#writtenAt = parts.runtime.clock.elapsed();
  }

  /** Attested through here: what came up to it has taken effect, or there was nothing for us. */
  get attested(): number {
    return this.#attested?.id ?? 0;
  }

  /** @returns milliseconds until the next step: always 0, as the hub does the waiting. */
  async step(): Promise<number> {
    const { client, signal, station, waitSeconds, questions, standing, behind, tracing, runtime } = this.#parts;
    const cursor = (this.#cursor ??= (await station.use((database) => database.capture.state())).cursor);
    await this.#report(cursor);
    const { id: after, strand } = cursor.id > this.attested ? cursor : (this.#attested ?? cursor);
    const asked = { strand, told: questions.told, stands: standing() };
    const batch = await this.#ask(after, (again) => client.updates(after, waitSeconds, { ...asked, again }));
    questions.tell(batch.question ?? null);
    if (batch.behind === true) behind();
    this.#cursor = null; // read again if anything below fails: only the database knows what was committed
    if (batch.other === true) return this.#goElsewhere(cursor, batch);
    const whole = batch.more ? withoutCutTransaction(batch) : { ...batch, cut: false };
    const slicer = new Slicer({ ...whole, strand: batch.strand }, cursor);
    if (slicer.done) return this.#nothing(cursor, slicer);
    const from = runtime.clock.now();
    const refused = new Map<number, string>();
    while (!slicer.done && !signal.aborted) await this.#slice(slicer, refused);
    const applied = whole.updates.filter(({ id }) => id > cursor.id && id <= slicer.cursor.id);
    if (tracing.on) tellApplied(tracing, applied, refused, { from, to: runtime.clock.now() });
    this.#parts.metrics.add("waybill_terminal_updates_applied_total", applied.length, {});
    this.#cursor = slicer.cursor;
    this.#attested = null;
    await client.acknowledgeUpdates(slicer.cursor.id, []);
    return 0;
  }

  /** Away for longer than updates are kept, it goes on behind them: the hub compares both sides and sends what differs. */
  async #ask<T>(after: number, ask: (again: boolean) => Promise<T>): Promise<T> {
    try {
      return await ask(false);
    } catch (thrown) {
      const error = asWaybillError(thrown);
      if (error.code !== "CURSOR_GONE") throw thrown;
      this.#parts.log.warn({ after, error }, "receive.begins-again");
      return ask(true);
    }
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
      this.#attested = to;
    }
    return 0;
  }

  /**
   * The hub has no such history as the cursor tells of: what took effect here says nothing of what is still to come. Every row comes
   * again behind the place that it names.
   */
  async #goElsewhere(
    cursor: Cursor,
    { through: id, strand }: Pick<Cursor, "strand"> & { through: UpdateId },
  ): Promise<number> {
    const { station, runtime, log } = this.#parts;
    const to = { id, changes: 0, seen: null, inside: null, strand };
    this.#attested = null;
    await station.use((database) => database.load.transaction((tx) => moveCursor(tx, cursor, to, "wherever")));
    this.#writtenAt = runtime.clock.elapsed();
    this.#cursor = to;
    log.warn({ after: cursor.id, through: id }, "receive.goes-elsewhere");
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

/**
 * When more is to come, the last central transaction may be cut off in its middle: unless it is all there is, it is left for the
 * next answer, to be applied as a whole if it fits a slice.
 */
export function withoutCutTransaction<U extends Entry>(batch: {
  readonly updates: readonly U[];
  readonly through: UpdateId;
}): typeof batch & { readonly cut: boolean } {
  const { updates, through } = batch;
  const last = updates.findLastIndex((update) => update.tx !== updates.at(-1)?.tx);
  const end = updates[last];
  return end === undefined
    ? { updates, through, cut: true }
    : { updates: updates.slice(0, last + 1), through: end.id, cut: false };
}

function countBy<T, K>(all: readonly T[], by: (one: T) => K): ReadonlyMap<K, number> {
  const counts = new Map<K, number>();
  for (const one of all) counts.set(by(one), (counts.get(by(one)) ?? 0) + 1);
  return counts;
}
