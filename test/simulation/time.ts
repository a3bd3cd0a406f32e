import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../src/base/clock.ts";

const DAY_MS = 86_400_000;
/** Julian day of 1970-01-01T00:00Z. */
const UNIX_DAY = 2_440_587.5;

/**
 * Our triggers ask SQLite for the time of day: on this connection it is told the simulated one.
 * @param tickMs how long the clock stands still between two of its ticks: 16 ms on an old Windows
 */
export function tellTime(db: DatabaseSync, clock: Pick<Clock, "now">, tickMs = 1): void {
  const now = (): number => UNIX_DAY + (Math.floor(clock.now() / tickMs) * tickMs) / DAY_MS;
  db.function("julianday", { varargs: true }, now); // in place of SQLite's own, however many words it is asked with
}
