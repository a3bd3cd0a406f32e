import type { Instant } from "../../base/clock.ts";
import type { Seq } from "../../base/ids.ts";
import { reconsider } from "./due.ts";
import type { Waiting } from "../exceptions.ts";
import { waitingByKey, waitingFrom, waitingTerminals, type WaitingRow } from "../waiting.ts";
import type { Store } from "./store.ts";

export const isOpen = (store: Store, lane: number, seq: Seq): boolean =>
  store.get("select 1 from exception where lane = ? and seq = ? and closed_at is null", lane, seq) !== undefined;

/** Makes the messages held behind this one due: the loader looks whether they wait for anything else. */
export function freeFollowers(store: Store, lane: number, seq: Seq, now: Instant): void {
  const lanes = store.all<{ lane: number }>(
    "select distinct lane from exception where behind_lane = ? and behind_seq = ? and closed_at is null and state = 'held'",
    lane,
    seq,
  );
  if (lanes.length === 0) return;
  store.run(
    "update exception set due_at = ? where behind_lane = ? and behind_seq = ? and closed_at is null and state = 'held'",
    now,
    lane,
    seq,
  );
  for (const { lane: held } of lanes) if (held !== lane) reconsider(store, held, now);
}

/**
 * How many messages wait behind this one, directly or through others. Counted when asked: a stored count would have to be
 * kept right through every move of every message behind it.
 */
export function countFollowers(store: Store, lane: number, seq: Seq): number {
  const row = store.get<{ n: number }>(
    `with recursive waiting (lane, seq) as (
       select lane, seq from exception where behind_lane = ?1 and behind_seq = ?2 and closed_at is null and state = 'held'
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

export const waitingBehind = (store: Store, lane: number, seq: Seq): Waiting =>
  told(store, "select ?1 as lane, ?2 as seq", lane, seq);

/** Behind all messages of the list of a bulk act together, each counted once; those on the list itself are not counted. */
export const waitingBehindBulk = (store: Store, bulk: number): Waiting =>
  told(store, "select lane, seq from bulk_item where bulk = ?1 and ?2 is null", bulk, null);

function told(store: Store, heads: string, ...values: [number, number | null]): Waiting {
  const rows = store.all<WaitingRow>(waitingByKey(heads), ...values);
  return waitingFrom(rows, store.get<{ n: number }>(waitingTerminals(heads), ...values)?.n ?? 0);
}
