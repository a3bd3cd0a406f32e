import type { LaneName, Seq } from "../../base/ids.ts";
import {
  ARRIVED_PIECES,
  NO_ARRIVALS,
  type Arrivals,
  type ArrivedPiece,
  type ArrivedSpan,
  type StateSpan,
} from "../arrivals.ts";
import { laneByName } from "./lane-row.ts";
import type { Store } from "./store.ts";

const BACK = `
  select from_seq as "from", through_seq as through, part, through_part as throughPart, received_at as receivedAt, body as bytes
  from run where lane = ? and through_seq <= ? and bytes > 0 order by through_seq desc, through_part desc`;
/** The end of the run that holds the message. */
const HOLDS = "select min(through_seq) as end from run where lane = ? and through_seq >= ?";
const LAST = Number.MAX_SAFE_INTEGER;
const STATES = `
  select from_seq as "from", through_seq as through, state from message_state
  where lane = ?1 and from_seq <= ?3 and through_seq >= ?2 order by from_seq`;

export function arrivalsOf(
  store: Store,
  lane: LaneName,
  before: Seq | null,
  { since, until }: ArrivedSpan,
  limitBytes: number,
): Arrivals {
  const row = laneByName(store, lane);
  if (!row) return NO_ARRIVALS;
  const end = Math.min(
    before === null ? LAST : (store.get<{ end: Seq | null }>(HOLDS, row.id, before - 1)?.end ?? LAST),
    until === null ? LAST : cameAt(store, row.id, until) - 1,
  );
  const pieces: ArrivedPiece[] = [];
  let bytes = 0;
  let more = false;
  for (const piece of store.each<ArrivedPiece>(BACK, row.id, end)) {
    if (since !== null && piece.receivedAt < since) break;
    if (pieces.length === ARRIVED_PIECES || (pieces.length > 0 && bytes >= limitBytes)) {
      more = true;
      break;
    }
    pieces.push(piece);
    bytes += piece.bytes.byteLength;
  }
  const [newest, oldest] = [pieces[0], pieces.at(-1)];
  if (!newest || !oldest) return NO_ARRIVALS;
  const states = store.all<StateSpan>(STATES, row.id, oldest.from, newest.through);
  return { pieces, states, next: more ? oldest.from : null };
}

/** The end of the first run that came at or after the time; what comes in later has higher numbers, so it is found by halving. */
function cameAt(store: Store, lane: number, at: number): number {
  let low = 1;
  let high =
    (store.get<{ n: number | null }>("select max(through_seq) as n from run where lane = ?", lane)?.n ?? 0) + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const run = store.get<{ readonly through: number; readonly receivedAt: number }>(
      "select through_seq as through, received_at as receivedAt from run where lane = ? and through_seq >= ? order by through_seq limit 1",
      lane,
      middle,
    );
    if (run && run.receivedAt < at) low = run.through + 1;
    else high = middle;
  }
  return low;
}
