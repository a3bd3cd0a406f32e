import { seq, SYSTEM, type Seq } from "../base/ids.ts";
import type { NewEvent } from "./events.ts";
import type { Work } from "./port.ts";

/** What the central database says of a lane. */
export type CentreWord = Parameters<Work["adopt"]>[2];
export type PassedWord = CentreWord["passed"][number];

type Lane = { readonly id: number; readonly loadedThrough: Seq; readonly version: number };

/** The centre knew less than the ledger, so it was restored. */
export const isBehind = (centre: CentreWord, lane: Lane): boolean =>
  centre.version < lane.version || centre.loadedThrough < lane.loadedThrough;

/** That what the centre does not show any more is loaded again. */
export const rewound = (lane: Lane, loadedThrough: Seq): NewEvent => ({
  lane: lane.id,
  from: seq(loadedThrough + 1),
  through: lane.loadedThrough,
  kind: "restored centre",
  by: SYSTEM,
  detail: `the central database shows ${loadedThrough} as its last`,
});

/** That numbers are lost which retention took away here, and which the centre does not show any more. */
export const gone = ({ id: lane }: Lane, from: Seq, through: Seq): NewEvent => {
  const detail = "loaded before the central database was restored, and no longer kept here";
  return { lane, from, through, kind: "missing", by: SYSTEM, detail };
};

/** What the centre shows as loaded beyond what the ledger knew, in ranges: those passed over are told one by one. */
export function adoptedSpans(lane: Lane, loadedThrough: Seq, passed: Iterable<Seq>): NewEvent[] {
  const spans: NewEvent[] = [];
  let from = lane.loadedThrough + 1;
  const detail = "as the central database says";
  const numbers = [...passed].filter((n) => n <= loadedThrough).toSorted((a, b) => a - b);
  for (const end of [...numbers, loadedThrough + 1]) {
    if (end < from) continue;
    if (end > from)
      spans.push({ lane: lane.id, from: seq(from), through: seq(end - 1), kind: "adopted", by: SYSTEM, detail });
    from = end + 1;
  }
  return spans;
}
