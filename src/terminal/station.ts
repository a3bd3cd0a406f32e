import type { Clock } from "../base/clock.ts";
import type { Epoch, Seq } from "../base/ids.ts";
import type { Database } from "../database/port.ts";
import { SliceSize } from "./slice.ts";
import { Turn } from "../base/turn.ts";

/** What the loops know of the lane without asking the database; read from it at the start, moved together with it. */
export type Marks = { packedThrough: Seq; receivedThrough: Seq; loadedThrough: Seq; epoch: Epoch | null };

/**
 * The terminal's database as the agent's loops share it: one connection, one user at a time, and the measure of how much
 * fits into a transaction that holds the write lock for no longer than a cashier would notice.
 */
export class Station {
  readonly database: Database;
  readonly pages: SliceSize;
  readonly slices: SliceSize;
  readonly marks: Marks = { packedThrough: 0 as Seq, receivedThrough: 0 as Seq, loadedThrough: 0 as Seq, epoch: null };
  readonly #turns = new Turn();
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock, lockMs: number) {
    this.database = database;
    this.#clock = clock;
    this.pages = new SliceSize(lockMs);
    this.slices = new SliceSize(lockMs);
  }

  /** The longest a transaction of ours is known to have held the write lock, in milliseconds. */
  get longestLockMs(): number {
    return Math.max(this.pages.longestMs, this.slices.longestMs);
  }

  /** Runs `work` alone on the database. It must not wait for anything but the database. */
  use<T>(work: (database: Database) => Promise<T>): Promise<T> {
    return this.#turns.run(() => work(this.database));
  }

  /** The same, and how long it took without the wait for its turn. */
  timed<T>(work: (database: Database) => Promise<T>): Promise<{ readonly result: T; readonly ms: number }> {
    return this.use(async (database) => {
      const begun = this.#clock.elapsed();
      const result = await work(database);
      return { result, ms: this.#clock.elapsed() - begun };
    });
  }

  /** Reads the lane's marks from the database: at the start, and whenever they may have moved otherwise than forward. */
  readMarks(): Promise<void> {
    return this.use(async (database) => {
      const { packedThrough, receivedThrough, loadedThrough, epoch } = await database.capture.state();
      Object.assign(this.marks, { packedThrough, receivedThrough, loadedThrough, epoch } satisfies Marks);
    });
  }
}
