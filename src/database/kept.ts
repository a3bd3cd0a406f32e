import { instantOf, type Instant } from "../base/clock.ts";

/** Whether a stored message's time is known to lie before `since`; never when nobody asks for the age. */
export function isBefore(at: unknown, since: Instant | null): boolean {
  const committed = since === null || typeof at !== "string" ? null : instantOf(at);
  return committed !== null && since !== null && committed < since;
}
