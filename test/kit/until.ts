import { setTimeout as pause } from "node:timers/promises";

/** What a condition gives when it does not hold yet. */
type NotYet = false | null | undefined | 0 | "";

export type UntilOptions = {
  /** How long to go on asking, in milliseconds (5,000 unless told). */
  readonly timeoutMs?: number;
  /** What is waited for; the first words of the error when it does not come. */
  readonly what?: string;
};

/**
 * Asks until the condition holds, and gives what it gave. A condition that throws does not hold yet; what it threw last
 * becomes the cause of the error. A condition that never answers runs into the same limit.
 * @throws Error when the condition does not hold within the limit
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<Exclude<T, NotYet>> {
  const { timeoutMs = 20_000, what = "the condition" } = options;
  const end = performance.now() + timeoutMs;
  const late = new AbortController();
  const limit = pause(timeoutMs, LATE, { signal: late.signal });
  limit.catch(() => undefined); // aborted when it is no longer needed
  let cause: unknown;
  try {
    for (let waitMs = 1; ; waitMs = Math.min(50, waitMs * 2)) {
      try {
        const held = await Promise.race([condition(), limit]);
        if (held === LATE) break;
        if (held) return held as Exclude<T, NotYet>;
        cause = undefined;
      } catch (thrown) {
        cause = thrown;
      }
      if (performance.now() + waitMs >= end) break;
      await pause(waitMs);
    }
  } finally {
    late.abort();
  }
  throw new Error(`${what} did not come true within ${timeoutMs} ms`, { cause });
}

const LATE = Symbol("late");
