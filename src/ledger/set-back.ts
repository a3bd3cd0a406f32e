import type { Instant } from "../base/clock.ts";

/** Steps below this are a clock being kept right; nobody notices a due date that is off by so little. */
const NOTICED_MS = 1_000;

/**
 * Notices that the clock by which the ledger tells leases and due dates was set back: everything that was due "by now" would
 * wait until the clock has come to its old time again. It is compared with one that only grows. What waits is brought forward
 * before anything is written at the new time: a process killed in between leaves a last line of the trail that still tells the next.
 */
export class SetBack {
  /** The clock minus the growing one, at least, at the last reading. */
  #ahead: number | null = null;
  #pending = false;
  /** For how long leases are given, as the last one was, in milliseconds: none may last longer than that from now. */
  leaseMs = 60_000;

  /** True once what waits must be looked at, until `mended`. */
  get pending(): boolean {
    return this.#pending;
  }

  /** @param asked and answered: the growing clock before and after `now` was read, in ms */
  read(now: Instant, asked: number, answered: number): void {
    if (this.#ahead !== null && now - asked < this.#ahead - NOTICED_MS) this.#pending = true;
    this.#ahead = now - answered;
  }
  /** The last thing that the ledger did bears this time: a clock that shows less was set back while nobody had the ledger open. */
  opened(now: Instant, lastDid: Instant | null): void {
    if (lastDid !== null && now < lastDid - NOTICED_MS) this.#pending = true;
  }
  mended(): void {
    this.#pending = false;
  }
}
