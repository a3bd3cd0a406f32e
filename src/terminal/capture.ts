import type { Seq } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Kept, PackLimits } from "../database/port.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { restMs } from "./slice.ts";
import type { Station } from "./station.ts";
import type { Wake } from "../base/wake.ts";

/** Acknowledgements are written down after so many messages or so long, whichever comes first: each write may meet a till's. */
const FLUSH_MESSAGES = 1_000;
const FLUSH_MS = 30_000;
/** How often a till that has nothing new looks for messages that are too old to be kept. */
const AGED_MS = 3_600_000;

export type CaptureParts = {
  readonly station: Station;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Rung when there are new messages to send. */
  readonly packed: Wake;
  /** Called after each pack, since the application may have made tables meanwhile; true when there may be more to resynchronise. */
  readonly looked: () => Promise<boolean>;
  readonly limits: () => PackLimits;
  readonly pollMs: number;
  /** Which loaded messages stay here. */
  readonly kept: () => Kept;
};

/** A till that has just sold something is looked at this many times as often as a quiet one, and less and less often after. */
const BRISK = 5;
const CALMER = 1.5;

/**
 * Turns what the application committed into numbered messages, puts tables into the lane that are owed as they are, and
 * lets go of messages that are loaded. It works whether or not the hub can be reached.
 */
export class Packer {
  readonly #parts: CaptureParts;
  #look = true;
  #resyncing = true;
  #paging = false;
  /** The next page goes when the hub has the lane up to here; null: the last page has not been packed yet. */
  #nextPageAt: Seq | null = null;
  #waitMs: number;
  #flushed = { loadedThrough: 0, at: 0 };

  constructor(parts: CaptureParts) {
    this.#parts = parts;
    this.#waitMs = parts.pollMs;
    this.#flushed = { loadedThrough: parts.station.marks.loadedThrough, at: parts.runtime.clock.elapsed() };
  }

  /** Packs what is committed, out of turn; true: there is more. */
  async pack(): Promise<boolean> {
    await this.#pack();
    return this.#look;
  }

  /** Tables may be owed as they are: pages are read from the next step on. */
  resyncAsked(): void {
    this.#resyncing = true;
  }

  /** @returns milliseconds until the database is looked at again */
  async step(): Promise<number> {
    const { station, pollMs } = this.#parts;
    const changed = await station.use((database) => database.capture.changed());
    this.#waitMs = changed ? pollMs / BRISK : Math.min(pollMs, this.#waitMs * CALMER);
    if (changed || this.#look) {
      await this.#pack();
      if (await this.#parts.looked()) this.#resyncing = true;
    }
    if (this.#resyncing && this.#paced()) return this.#page();
    await this.#flush();
    return this.#look ? 0 : this.#waitMs;
  }

  /** Writes the acknowledgements down. For the end. */
  async close(): Promise<void> {
    const { station, kept } = this.#parts;
    await station.use((database) => database.capture.flush(kept()));
  }

  async #pack(): Promise<void> {
    const { station, limits, packed, log, metrics } = this.#parts;
    // Set before, so that a pack that fails is tried again although nothing has changed since.
    this.#look = true;
    const outcome = await station.use((database) => database.capture.pack(limits()));
    this.#look = outcome.more;
    const before = station.marks.packedThrough;
    station.marks.packedThrough = outcome.packedThrough;
    // Also when the last pack was committed and only its answer was lost: this one then finds nothing more to pack.
    if (outcome.packedThrough > before) packed.ring();
    if (outcome.remade.length > 0) {
      this.#resyncing = true;
      log.warn({ tables: outcome.remade }, "capture.remade");
    }
    if (outcome.packedMessages === 0) return;
    metrics.add("waybill_terminal_messages_packed_total", outcome.packedMessages, {});
    metrics.add("waybill_terminal_changes_packed_total", outcome.packedChanges, {});
    log.debug(
      { through: outcome.packedThrough, messages: outcome.packedMessages, changes: outcome.packedChanges },
      "capture.packed",
    );
  }

  /**
   * The next page only when the hub has the last one and what was packed with it: a sale never waits behind two pages, and a
   * backlog goes first. Not "all that was packed": a till that sells faster than its hub answers would never send a page.
   */
  #paced(): boolean {
    if (this.#look) return false;
    const { packedThrough, receivedThrough } = this.#parts.station.marks;
    this.#nextPageAt ??= packedThrough;
    // A new epoch's numbers begin below those of the one before.
    return receivedThrough >= Math.min(this.#nextPageAt, packedThrough);
  }

  async #page(): Promise<number> {
    const { station, log } = this.#parts;
    this.#nextPageAt = null;
    const rows = station.pages.rows;
    const { result, ms } = await station.timed((database) => database.capture.resyncStep(rows));
    if (result === "more") {
      this.#paging = true;
      station.pages.took(rows, ms);
      this.#look = true;
      return restMs(ms);
    }
    this.#resyncing = false;
    this.#look = true; // the last page may have had rows
    if (this.#paging) log.info({}, "resync.done");
    this.#paging = false;
    return 0;
  }

  async #flush(): Promise<void> {
    const { station, runtime, kept } = this.#parts;
    const { loadedThrough } = station.marks;
    const fresh = loadedThrough - this.#flushed.loadedThrough;
    const now = runtime.clock.elapsed();
    const waitedMs = now - this.#flushed.at;
    // What is kept grows old also where nothing new is loaded.
    if (fresh <= 0 ? waitedMs < AGED_MS : fresh < FLUSH_MESSAGES && waitedMs < FLUSH_MS) return;
    await station.use((database) => database.capture.flush(kept()));
    this.#flushed = { loadedThrough, at: now };
  }
}
