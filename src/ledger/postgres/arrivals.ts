import type { LaneName, Seq } from "../../base/ids.ts";
import {
  ARRIVED_PIECES,
  arrivedPage,
  NO_ARRIVALS,
  type Arrivals,
  type ArrivedPiece,
  type ArrivedSpan,
  type StateSpan,
} from "../arrivals.ts";
import { laneByName } from "./lane-row.ts";
import type { Tx } from "./tx.ts";

// Partitions of other times are left out; the sizes are summed from the rows in order, and no body behind the last piece is fetched.
const BACK = `
  select r.from_seq as "from", r.through_seq as through, r.part, r.through_part as "throughPart",
         r.received_at as "receivedAt", r.body as bytes
  from (
    select p.*, coalesce(sum(p.bytes) over (order by p.through_seq desc, p.through_part desc
                                            rows between unbounded preceding and 1 preceding), 0) as before
    from (
      select from_seq, through_seq, part, through_part, received_at, bytes, body from run
      where lane = $1 and bytes > 0
        and through_seq <= coalesce((select min(through_seq) from run where lane = $1 and through_seq >= $2), $2)
        and ($3::bigint is null or received_at >= $3) and ($4::bigint is null or received_at < $4)
      order by through_seq desc, through_part desc limit ${ARRIVED_PIECES + 1}
    ) p
  ) r
  where r.before < $5 order by r.through_seq desc, r.through_part desc`;
const ANY_BEFORE = `
  select exists (
    select from run where lane = $1 and through_seq < $2 and bytes > 0 and ($3::bigint is null or received_at >= $3)) as more`;
const STATES = `
  select from_seq as "from", through_seq as through, state from message_state
  where lane = $1 and from_seq <= $3 and through_seq >= $2 order by from_seq`;

export async function arrivalsOf(
  tx: Tx,
  lane: LaneName,
  before: Seq | null,
  { since, until }: ArrivedSpan,
  limitBytes: number,
): Promise<Arrivals> {
  const row = await laneByName(tx, lane);
  if (!row) return NO_ARRIVALS;
  const end = before === null ? Number.MAX_SAFE_INTEGER : before - 1;
  const found = await tx.all<ArrivedPiece>(BACK, row.id, end, since, until, Math.max(1, limitBytes));
  const pieces = arrivedPage(found.slice(0, ARRIVED_PIECES), limitBytes);
  const [newest, oldest] = [pieces[0], pieces.at(-1)];
  if (!newest || !oldest) return NO_ARRIVALS;
  const states = await tx.all<StateSpan>(STATES, row.id, oldest.from, newest.through);
  const left = await tx.get<{ more: boolean }>(ANY_BEFORE, row.id, oldest.from, since);
  return { pieces, states, next: left?.more ? oldest.from : null };
}
