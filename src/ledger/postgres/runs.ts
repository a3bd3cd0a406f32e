import type { Seq } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { CHAIN_START } from "../../message/chain.ts";
import { chainWithin, endsAt, storedBefore, type Place, type RunWrite, type Stored } from "../lines.ts";
import type { StoredPiece } from "../bytes.ts";
import type { Tx } from "./tx.ts";

/** A run and the lane it belongs to. */
export type LaneRun = RunWrite & { readonly lane: number };

/** All runs of a group in one statement; their bytes travel as one value and are cut by the server. */
export async function storeRuns(tx: Tx, runs: readonly LaneRun[], now: Instant): Promise<void> {
  if (runs.length === 0) return;
  await tx.run(
    `insert into run (lane, from_seq, through_seq, part, through_part, bytes, changes, committed_at, received_at, chain, body)
     select r.lane, r.from_seq, r.through_seq, r.part, r.through_part, r.bytes, r.changes, r.committed_at, $10,
            substring($11::bytea from (r.place::int - 1) * 32 + 1 for 32),
            substring($12::bytea from (r.ends - r.bytes)::int + 1 for r.bytes::int)
     from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                 $8::bigint[], $9::bigint[])
       with ordinality as r (lane, from_seq, through_seq, part, through_part, bytes, changes, committed_at, ends, place)`,
    runs.map(({ lane }) => lane),
    runs.map(({ first }) => first.seq),
    runs.map(({ last }) => last.seq),
    runs.map(({ first }) => first.part),
    runs.map(({ last }) => last.part),
    runs.map(({ body }) => body.byteLength),
    runs.map(({ changes }) => changes),
    runs.map(({ last }) => last.at),
    endsOf(runs),
    now,
    Buffer.concat(runs.map(({ chain }) => chain)),
    Buffer.concat(runs.map(({ body }) => body)),
  );
}

/** Where each run's bytes end in all of them together. */
function endsOf(runs: readonly LaneRun[]): number[] {
  let end = 0;
  return runs.map(({ body }) => (end += body.byteLength));
}

/** A run without bytes: numbers that never came, and the chain behind them as their sender gave it. */
export async function storeGap(
  tx: Tx,
  lane: number,
  from: Seq,
  through: Seq,
  chain: Uint8Array,
  now: Instant,
): Promise<void> {
  await tx.run(
    `insert into run (lane, from_seq, through_seq, part, through_part, bytes, changes, committed_at, received_at, chain, body)
     values ($1, $2, $3, 0, 0, 0, 0, $4, $4, $5, '')`,
    lane,
    from,
    through,
    now,
    chain,
  );
}

type ChainRow = Stored & { readonly chain: Uint8Array };

// The last run that ends at or before a place. Runs of parts end inside message seq + 1 unless they hold its last part.
const RUN_ENDING_BY = `
  select through_seq as seq, through_part as part, chain
  from run where lane = $1 and (through_seq, through_part) <= ($2, $3) order by through_seq desc, through_part desc limit 1`;

/**
 * The chain at `place`, which must not lie behind what is stored: a stored run's, or from there on computed over the stored
 * bytes. Null when they are no longer kept.
 */
export async function chainAt(tx: Tx, lane: number, place: Place): Promise<Uint8Array | null> {
  const wanted = storedBefore(place);
  if (wanted.seq === 0) return CHAIN_START;
  const before = await tx.get<ChainRow>(RUN_ENDING_BY, lane, wanted.seq, wanted.part);
  if (before && endsAt(before, wanted)) return before.chain;
  // The place lies within the next run.
  const [piece] = await piecesAfter(tx, lane, before ?? { seq: 0, part: 0 }, 1);
  return piece ? chainWithin(piece, before ?? null, wanted) : null;
}

const PIECES = `
  select from_seq as "from", through_seq as through, part, through_part as "throughPart", body as bytes
  from run where lane = $1 and (through_seq, through_part) > ($2, $3) and bytes > 0
  order by through_seq, through_part limit $4`;

/** Stored runs behind (seq, part) in order, at most `limit`. */
export const piecesAfter = (tx: Tx, lane: number, after: Stored, limit: number): Promise<StoredPiece[]> =>
  tx.all<StoredPiece>(PIECES, lane, after.seq, after.part, limit);
