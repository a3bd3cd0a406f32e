import { seq, splitLane } from "../../base/ids.ts";
import type { LedgerBytes, StoredPiece } from "../bytes.ts";
import { openExceptionsOf, type OpenLane, type OpenRow } from "../open-exceptions.ts";
import type { Store } from "./store.ts";

// Reads on until the sizes of the pieces before one make up the limit: the sizes are summed from the index's rows in
// order, and no body behind the last piece is fetched.
const MOST_PIECES = 1_000;
const READ = `
  select r.from_seq as "from", r.through_seq as through, r.part, r.through_part as "throughPart", r.body as bytes
  from (
    select p.*, coalesce(sum(p.bytes) over (order by p.through_seq, p.through_part
                                            rows between unbounded preceding and 1 preceding), 0) as before
    from (
      select from_seq, through_seq, part, through_part, bytes, body
      from run
      where lane = (select id from lane where terminal = $1 and epoch = $2)
        and (through_seq, through_part) > ($3, $4) and from_seq <= $5 and bytes > 0
      order by through_seq, through_part limit ${MOST_PIECES}
    ) p
  ) r
  where r.before < $6 order by r.through_seq, r.through_part`;

const OPEN = `
  select l.id, o.fence, o.version, l.terminal, l.epoch, e.seq, e.state, e.fault, e.attempts, e.sets
  from lane asked
  join lane l on l.terminal = asked.terminal and l.ordinal <= asked.ordinal
  join lane_out o on o.lane = l.id
  join exception e on e.lane = l.id and e.closed_at is null
  where asked.terminal = $1 and asked.epoch = $2 order by l.ordinal, e.seq`;

/** Disposing it leaves the store open: the store belongs to whoever opened it. */
export const bytesOn = (store: Store): LedgerBytes => ({
  read: async (lane, from, through, afterPart, limitBytes) => {
    const { terminal, epoch } = splitLane(lane);
    const start =
      afterPart > 0 ? { seq: from, part: afterPart } : { seq: seq(from - 1), part: Number.MAX_SAFE_INTEGER };
    return store.read((tx) =>
      tx.all<StoredPiece>(READ, terminal, epoch, start.seq, start.part, through, Math.max(1, limitBytes)),
    );
  },
  open: async (lane) => {
    const { terminal, epoch } = splitLane(lane);
    const rows = await store.read((tx) => tx.all<OpenRow & OpenLane>(OPEN, terminal, epoch));
    return openExceptionsOf(epoch, rows);
  },
  [Symbol.asyncDispose]: async () => {},
});
