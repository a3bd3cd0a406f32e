import type { SubmittedLine, Submission } from "../port.ts";
import type { Seq } from "../../base/ids.ts";
import { isAfter, placeOf, type Place } from "../sqlite/runs.ts";

/** The first number that does not follow from the one before; null when all do. Order within a request is not trusted. */
export function firstDisorder({ after, part, lines }: Submission): number | null {
  let place: Place = { seq: after, part };
  for (const line of lines) {
    const next = place.seq + 1;
    const follows =
      line.seq === next && (place.part > 0 ? line.part === place.part + 1 : line.part === 0 || line.part === 1);
    if (!follows || (line.part === 0 && line.more)) return next;
    place = placeOf(line);
  }
  return null;
}

/**
 * Where the hub goes on when the sender no longer has the next number (it was given up there, or acknowledged to a ledger
 * that was since restored): behind the lost ones. Null when nothing is lost.
 */
export function skipOf(
  { oldest, after, part, chain }: Submission,
  lane: { readonly receivedThrough: Seq },
): Place | null {
  if (oldest === null || oldest <= lane.receivedThrough + 1) return null;
  // The sender's word for the chain before `oldest` is all there is; it holds from here on.
  return after === oldest - 1 && part === 0 && chain.byteLength === 32 ? { seq: after, part: 0 } : null;
}

/** How many of the lines, from the first, lie at or before the tip. */
export function countKnown(lines: readonly SubmittedLine[], tip: Place): number {
  const fresh = lines.findIndex((line) => isAfter(placeOf(line), tip));
  return fresh < 0 ? lines.length : fresh;
}
