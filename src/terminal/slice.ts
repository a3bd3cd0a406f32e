/** The slice a lock may be held for is found by measuring: the same rows cost a hundred times more on a slow disk. */
const START_ROWS = 200;
const LEAST_ROWS = 1;
const MOST_ROWS = 20_000;

/**
 * How many rows one local transaction may take so that it holds the write lock for about `lockMs`. It grows slowly and
 * shrinks at once: a slice that was too small costs a commit, one that was too large makes a cashier wait.
 */
export class SliceSize {
  readonly #lockMs: number;
  #rows = START_ROWS;
  /** The longest time one of our transactions held the lock, in milliseconds, since the agent started. */
  longestMs = 0;

  constructor(lockMs: number) {
    this.#lockMs = lockMs;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Learns from a slice of `rows` that held the lock for `heldMs`. */
  took(rows: number, heldMs: number): void {
    this.longestMs = Math.max(this.longestMs, heldMs);
    if (rows === 0) return;
    if (heldMs > this.#lockMs) {
      // Half of what would fit by this measurement, since a slice that was slow once may be slow again.
      this.#rows = clamp((rows * this.#lockMs) / heldMs / 2);
    } else if (rows >= this.#rows) {
      // Only a full slice says something about a larger one; its fixed costs (the commit) make the estimate a careful one.
      const fits = (rows * this.#lockMs) / Math.max(heldMs, 1);
      this.#rows = clamp(Math.min(this.#rows * 1.5, fits * 0.8));
    }
  }
}

const clamp = (rows: number): number => Math.min(MOST_ROWS, Math.max(LEAST_ROWS, Math.floor(rows)));

/**
 * How long to leave the lock alone after holding it for `heldMs`: at least as long, so that writers who poll for it
 * (SQLite's busy handler does, up to every 100 ms) find it free, and not only for the moment between two of our slices.
 */
export const restMs = (heldMs: number): number => Math.min(250, Math.max(5, Math.ceil(heldMs)));
