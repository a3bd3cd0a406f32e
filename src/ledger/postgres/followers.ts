import type { Instant } from "../../base/clock.ts";
import type { Seq } from "../../base/ids.ts";
import { reconsider } from "./due.ts";
import type { Waiting } from "../exceptions.ts";
import { waitingByKey, waitingFrom, waitingTerminals, type WaitingRow } from "../waiting.ts";
import type { Tx } from "./tx.ts";

/** Makes the messages held behind this one due: the loader looks whether they wait for anything else. */
export async function freeFollowers(tx: Tx, lane: number, seq: Seq, now: Instant): Promise<void> {
  const lanes = await tx.all<{ lane: number }>(
    "select distinct lane from exception where behind_lane = $1 and behind_seq = $2 and closed_at is null and state = 'held'",
    lane,
    seq,
  );
  if (lanes.length === 0) return;
  await tx.run(
    "update exception set due_at = $1 where behind_lane = $2 and behind_seq = $3 and closed_at is null and state = 'held'",
    now,
    lane,
    seq,
  );
  const others = lanes.map(({ lane: held }) => held).filter((held) => held !== lane);
  await reconsider(tx, others, now);
}

/**
 * How many messages wait behind this one, directly or through others. Counted when asked: a stored count would have to be
 * kept right through every move of every message behind it.
 */
export async function countFollowers(tx: Tx, lane: number, seq: Seq): Promise<number> {
  const row = await tx.get<{ n: number }>(
    `with recursive waiting (lane, seq) as (
       select lane, seq from exception where behind_lane = $1 and behind_seq = $2 and closed_at is null and state = 'held'
       union
       select e.lane, e.seq from waiting w join exception e
         on e.behind_lane = w.lane and e.behind_seq = w.seq and e.behind_lane is not null
        and e.closed_at is null and e.state = 'held')
     select count(*) as n from waiting`,
    lane,
    seq,
  );
  return row?.n ?? 0;
}

export const waitingBehind = (tx: Tx, lane: number, seq: Seq): Promise<Waiting> =>
  told(tx, "select $1::bigint as lane, $2::bigint as seq", lane, seq);

/** Behind all messages of the list of a bulk act together, each counted once; those on the list itself are not counted. */
export const waitingBehindBulk = (tx: Tx, bulk: number): Promise<Waiting> =>
  told(tx, "select lane, seq from bulk_item where bulk = $1 and $2::bigint is null", bulk, null);

async function told(tx: Tx, heads: string, ...values: [number, number | null]): Promise<Waiting> {
  const rows = await tx.all<WaitingRow>(waitingByKey(heads), ...values);
  return waitingFrom(rows, (await tx.get<{ n: number }>(waitingTerminals(heads), ...values))?.n ?? 0);
}
