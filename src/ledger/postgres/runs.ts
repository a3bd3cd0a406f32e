import { seq as asSeq, type Seq } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { CHAIN_START, chainNext, sameChain } from "../../message/chain.ts";
import type { StoredPiece, Submission, SubmittedLine } from "../port.ts";
import { chainAfter, placeOf, type Place, type RunWrite } from "../sqlite/runs.ts";
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

type ChainRow = { readonly through: Seq; readonly throughPart: number; readonly chain: Uint8Array };

// The last run that ends at or before a place. Runs of parts end inside message seq + 1 unless they hold its last part.
const RUN_ENDING_BY = `
  select through_seq as through, through_part as "throughPart", chain
  from run where lane = $1 and (through_seq, through_part) <= ($2, $3) order by through_seq desc, through_part desc limit 1`;

const EVERY_PART = Number.MAX_SAFE_INTEGER;

/**
 * The chain at `place`, which must not lie behind what is stored: a stored run's, or from there on computed over the stored
 * bytes. Null when they are no longer kept.
 */
export async function chainAt(tx: Tx, lane: number, place: Place): Promise<Uint8Array | null> {
  // In stored order, part p of message n lies at (n, p), and the end of message n behind all its parts.
  const [throughSeq, throughPart] = place.part > 0 ? [place.seq + 1, place.part] : [place.seq, EVERY_PART];
  if (throughSeq === 0) return CHAIN_START;
  const before = await tx.get<ChainRow>(RUN_ENDING_BY, lane, throughSeq, throughPart);
  let chain = before?.chain ?? CHAIN_START;
  let at: Place = before ? { seq: before.through, part: before.throughPart } : { seq: asSeq(0), part: 0 };
  const isThere = (): boolean => at.seq === throughSeq && (place.part === 0 || at.part === throughPart);
  if (isThere()) return chain;
  // The place lies within the next run.
  for (const piece of await piecesAfter(tx, lane, at, 1)) {
    for (const line of linesOf(piece)) {
      if (line.seq > throughSeq || (line.seq === throughSeq && line.part > throughPart)) break;
      chain = chainNext(chain, line.bytes);
      at = { seq: line.seq, part: line.part };
    }
  }
  return isThere() ? chain : null;
}

type StoredLine = { readonly seq: Seq; readonly part: number; readonly bytes: Uint8Array };

/** The stored lines of a piece, without their newlines. */
function* linesOf(piece: StoredPiece): Generator<StoredLine> {
  let from = 0;
  for (let at = 0; from < piece.bytes.byteLength; at++) {
    const end = piece.bytes.indexOf(0x0a, from);
    const bytes = piece.bytes.subarray(from, end);
    yield piece.part > 0
      ? { seq: piece.from, part: piece.part + at, bytes }
      : { seq: asSeq(piece.from + at), part: 0, bytes };
    from = end + 1;
  }
}

const PIECES = `
  select from_seq as "from", through_seq as through, part, through_part as "throughPart", body as bytes
  from run where lane = $1 and (through_seq, through_part) > ($2, $3) and bytes > 0
  order by through_seq, through_part limit $4`;

/** Stored runs behind (seq, part) in order, at most `limit`. */
export const piecesAfter = (tx: Tx, lane: number, after: Place, limit: number): Promise<StoredPiece[]> =>
  tx.all<StoredPiece>(PIECES, lane, after.seq, after.part, limit);

/**
 * The number of the first line that is not what is stored under its number, among the first `count`, of which the last is
 * known to differ. Once a chain differs it differs for ever, so the first difference is found by halving.
 */
export async function firstDifference(
  tx: Tx,
  lane: number,
  submission: Pick<Submission, "body" | "lines" | "chains">,
  count: number,
): Promise<Seq> {
  const line = (at: number): SubmittedLine => {
    const found = submission.lines[at];
    if (!found)
      throw new WaybillError("INTERNAL", `a submission of ${submission.lines.length} lines has no line ${at}`);
    return found;
  };
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const stored = await chainAt(tx, lane, placeOf(line(middle)));
    if (stored && sameChain(stored, chainAfter(submission, middle))) low = middle + 1;
    else high = middle;
  }
  return line(high).seq;
}
