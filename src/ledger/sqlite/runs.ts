import { seq as asSeq, type Seq } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { CHAIN_START, chainNext, sameChain } from "../../message/chain.ts";
import type { StoredPiece, Submission, SubmittedLine } from "../port.ts";
import type { Store } from "./store.ts";

/** A place in a lane: behind message `seq`, or behind part `part` (> 0) of message `seq` + 1. */
export type Place = { readonly seq: Seq; readonly part: number };

export const isAfter = (a: Place, b: Place): boolean => a.seq > b.seq || (a.seq === b.seq && a.part > b.part);
/** The place behind a line. */
export const placeOf = (line: SubmittedLine): Place =>
  line.more ? { seq: asSeq(line.seq - 1), part: line.part } : { seq: line.seq, part: 0 };

/** Lines that are stored together as one row: so many bytes at most, or one line. A claim by bytes can stop only between runs. */
const RUN_BYTES = 256 * 1024;

/** What of a submission is stored; `chains` holds 32 bytes a line. */
type Lines = Pick<Submission, "body" | "lines" | "chains">;

/** The chain after line `at` of a submission. */
export const chainAfter = ({ chains }: Pick<Lines, "chains">, at: number): Uint8Array =>
  chains.subarray(at * 32, at * 32 + 32);

export type RunWrite = {
  readonly first: SubmittedLine;
  readonly last: SubmittedLine;
  readonly changes: number;
  readonly body: Uint8Array;
  /** After the last line. */
  readonly chain: Uint8Array;
};

/** Cuts lines `from`… of a submission into runs: whole messages together, parts of one message together. */
export function cutIntoRuns(submission: Lines, from: number): RunWrite[] {
  const runs: RunWrite[] = [];
  let begin = submission.lines[from - 1]?.end ?? 0;
  let first: SubmittedLine | null = null;
  let changes = 0;
  for (const [at, line] of submission.lines.entries()) {
    if (at < from) continue;
    first ??= line;
    changes += line.changes;
    const next = submission.lines[at + 1];
    if (next && areKin(line, next) && next.end - begin <= RUN_BYTES) continue;
    const body = submission.body.subarray(begin, line.end);
    runs.push({ first, last: line, changes, body, chain: chainAfter(submission, at) });
    begin = line.end;
    first = null;
    changes = 0;
  }
  return runs;
}

const areKin = (line: SubmittedLine, next: SubmittedLine): boolean =>
  line.part === 0 ? next.part === 0 : next.part > 0 && next.seq === line.seq;

export function storeRun(store: Store, lane: number, run: RunWrite, now: Instant): void {
  const { first, last, changes, body, chain } = run;
  store.run(
    `insert into run (lane, from_seq, through_seq, part, through_part, bytes, changes, committed_at, received_at, chain, body)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    lane,
    first.seq,
    last.seq,
    first.part,
    last.part,
    body.byteLength,
    changes,
    last.at,
    now,
    chain,
    body,
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

type ChainRow = {
  readonly from: Seq;
  readonly through: Seq;
  readonly part: number;
  readonly throughPart: number;
  readonly chain: Uint8Array;
};

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
 * The number of the first line that is not what is stored under its number, among the first `count`, of which the last is
 * known to differ. Once a chain differs it differs for ever, so the first difference is found by halving.
 */
export function firstDifference(store: Store, lane: number, submission: Lines, count: number): Seq {
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
    const stored = chainAt(store, lane, placeOf(line(middle)));
    if (stored && sameChain(stored, chainAfter(submission, middle))) low = middle + 1;
    else high = middle;
  }
  return line(high).seq;
}
