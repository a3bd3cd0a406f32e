import { seq as asSeq, type Seq } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { CHAIN_START, chainNext, sameChain } from "../../message/chain.ts";
import type { StoredPiece, SubmittedLine } from "../port.ts";
import type { Store } from "./store.ts";

/** A place in a lane: behind message `seq`, or behind part `part` (> 0) of message `seq` + 1. */
export type Place = { readonly seq: Seq; readonly part: number };

export const isAfter = (a: Place, b: Place): boolean => a.seq > b.seq || (a.seq === b.seq && a.part > b.part);
/** The place behind a line. */
export const placeOf = (line: SubmittedLine): Place =>
  line.more ? { seq: asSeq(line.seq - 1), part: line.part } : { seq: line.seq, part: 0 };

/** Lines that are stored together as one row: so many bytes at most, or one line. A claim by bytes can stop only between runs. */
const RUN_BYTES = 256 * 1024;

export type RunWrite = {
  readonly lines: readonly SubmittedLine[];
  readonly body: Uint8Array;
  /** After the last line. */
  readonly chain: Uint8Array;
};

/** Cuts lines first…last of a submission into runs: whole messages together, parts of one message together. */
export function cutIntoRuns(
  submission: { readonly body: Uint8Array; readonly lines: readonly SubmittedLine[]; readonly chains: Uint8Array },
  first: number,
): RunWrite[] {
  const { body, lines, chains } = submission;
  const runs: RunWrite[] = [];
  let start = first;
  for (let at = first; at < lines.length; at++) {
    const line = lines[at]!;
    const next = lines[at + 1];
    const begin = start === 0 ? 0 : lines[start - 1]!.end;
    const joins =
      next !== undefined &&
      (line.part === 0 ? next.part === 0 : next.part > 0 && next.seq === line.seq) &&
      next.end - begin <= RUN_BYTES;
    if (joins) continue;
    runs.push({
      lines: lines.slice(start, at + 1),
      body: body.subarray(begin, line.end),
      chain: chains.subarray(at * 32, at * 32 + 32),
    });
    start = at + 1;
  }
  return runs;
}

export function storeRun(store: Store, lane: number, run: RunWrite, now: Instant): void {
  const first = run.lines[0]!;
  const last = run.lines.at(-1)!;
  let changes = 0;
  for (const line of run.lines) changes += line.changes;
  store.run(
    `insert into run (lane, from_seq, through_seq, part, through_part, bytes, changes, committed_at, received_at, chain, body)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    lane,
    first.seq,
    last.seq,
    first.part,
    last.part,
    run.body.byteLength,
    changes,
    last.at,
    now,
    run.chain,
    run.body,
  );
}

/** A run without bytes: numbers that never came, and the chain behind them as their sender gave it. */
export function storeGap(store: Store, lane: number, from: Seq, through: Seq, chain: Uint8Array, now: Instant): void {
  store.run(
    `insert into run (lane, from_seq, through_seq, part, through_part, bytes, changes, committed_at, received_at, chain, body)
     values (?, ?, ?, 0, 0, 0, 0, ?, ?, ?, x'')`,
    lane,
    from,
    through,
    now,
    now,
    chain,
  );
}

type ChainRow = { readonly from: Seq; readonly through: Seq; readonly part: number; readonly throughPart: number; readonly chain: Uint8Array };

// The last run that ends at or before a place. Runs of parts end inside message seq + 1 unless they hold its last part.
const RUN_ENDING_BY = `
  select from_seq as "from", through_seq as through, part, through_part as throughPart, chain
  from run where lane = ? and (through_seq, through_part) <= (?, ?) order by through_seq desc, through_part desc limit 1`;

const EVERY_PART = Number.MAX_SAFE_INTEGER;

/**
 * The chain at `place`, which must not lie behind what is stored: a stored run's, or from there on computed over the stored
 * bytes. Null when they are no longer kept.
 */
export function chainAt(store: Store, lane: number, place: Place): Uint8Array | null {
  // In stored order, part p of message n lies at (n, p), and the end of message n behind all its parts.
  const [throughSeq, throughPart] = place.part > 0 ? [place.seq + 1, place.part] : [place.seq, EVERY_PART];
  if (throughSeq === 0) return CHAIN_START;
  const before = store.get<ChainRow>(RUN_ENDING_BY, lane, throughSeq, throughPart);
  let chain = before?.chain ?? CHAIN_START;
  let at: Place = before ? { seq: before.through, part: before.throughPart } : { seq: asSeq(0), part: 0 };
  if (at.seq === throughSeq && (place.part === 0 || at.part === throughPart)) return chain;
  for (const line of storedLines(store, lane, at)) {
    if (line.seq > throughSeq || (line.seq === throughSeq && line.part > throughPart)) break;
    chain = chainNext(chain, line.bytes);
    at = { seq: line.seq, part: line.part };
  }
  const reached = at.seq === throughSeq && (place.part === 0 || at.part === throughPart);
  return reached ? chain : null;
}

type StoredLine = { readonly seq: Seq; readonly part: number; readonly bytes: Uint8Array };

/** The stored lines behind (seq, part) in stored order, without their newlines. */
function* storedLines(store: Store, lane: number, after: Place): Generator<StoredLine> {
  for (const piece of piecesAfter(store, lane, after)) {
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
}

const PIECES = `
  select from_seq as "from", through_seq as through, part, through_part as throughPart, body as bytes
  from run where lane = ? and (through_seq, through_part) > (?, ?) and bytes > 0 order by through_seq, through_part`;

/** Stored runs behind (seq, part) in order, read one by one. */
export const piecesAfter = (store: Store, lane: number, after: Place): Generator<StoredPiece> =>
  store.each<StoredPiece>(PIECES, lane, after.seq, after.part);

/**
 * The number of the first of `lines` that is not what is stored under its number; the last of them is known to differ.
 * Once a chain differs it differs for ever, so the first difference is found by halving.
 */
export function firstDifference(
  store: Store,
  lane: number,
  lines: readonly SubmittedLine[],
  chains: Uint8Array,
): Seq {
  let low = 0;
  let high = lines.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const stored = chainAt(store, lane, placeOf(lines[middle]!));
    if (stored && sameChain(stored, chains.subarray(middle * 32, middle * 32 + 32))) low = middle + 1;
    else high = middle;
  }
  return lines[high]!.seq;
}
