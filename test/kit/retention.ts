import { drain } from "../../src/ledger/contract/till.ts";
import { RETENTION_KINDS, type Keep } from "../../src/ledger/retention.ts";
import type { Ledger } from "../../src/ledger/port.ts";

const AHEAD_MS = -3_600_000;
/** Whatever is over is beyond its time, what was over a moment ago too. */
const NOTHING: Keep = {
  messagesMs: AHEAD_MS,
  eventsMs: AHEAD_MS,
  updatesMs: AHEAD_MS,
  awayMs: AHEAD_MS,
  historyMs: AHEAD_MS,
};

/** Calls all that was received loaded, and takes away all that may go. */
export async function loadAndTakeAway(ledger: Ledger): Promise<void> {
  await drain(ledger);
  for (const kind of RETENTION_KINDS) {
    for (let next: number | null = 0; next !== null;)
      ({ next } = await ledger.retention.step(kind, NOTHING, next, 1_000));
  }
}
