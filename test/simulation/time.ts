import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../src/base/clock.ts";

const DAY_MS = 86_400_000;
/** Julian day of 1970-01-01T00:00Z. */
const UNIX_DAY = 2_440_587.5;

/** Our triggers ask SQLite for the time of day: on this connection it is told the simulated one. */
export function tellTime(db: DatabaseSync, clock: Clock): void {
  db.function("julianday", () => UNIX_DAY + clock.now() / DAY_MS);
}
