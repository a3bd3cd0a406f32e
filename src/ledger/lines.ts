import { seq as asSeq, type Seq } from "../base/ids.ts";
import { CHAIN_START, chainNext } from "../message/chain.ts";
import type { StoredPiece } from "./bytes.ts";
import type { Submission, SubmittedLine } from "./port.ts";

/**
 * Lines of a lane, and places between them: what both ledgers know about them without looking at what is stored. Pure.
 */

/** A place in a lane: behind message `seq`, or behind part `part` (> 0) of message `seq` + 1. */
export type Place = { readonly seq: Seq; readonly part: number };

export const isAfter = (a: Place, b: Place): boolean => a.seq > b.seq || (a.seq === b.seq && a.part > b.part);
export const isSame = (a: Place, b: Place): boolean => a.seq === b.seq && a.part === b.part;
/** The place behind a line. */
export const placeOf = (line: Pick<SubmittedLine, "seq" | "part" | "more">): Place =>
  line.more ? { seq: asSeq(line.seq - 1), part: line.part } : { seq: line.seq, part: 0 };

/** What of a submission is stored; `chains` holds 32 bytes a line. */
type Lines = Pick<Submission, "body" | "lines" | "chains">;

/** The chain after line `at` of a submission. */
export const chainAfter = ({ chains }: Pick<Lines, "chains">, at: number): Uint8Array =>
  chains.subarray(at * 32, at * 32 + 32);

/** Lines that are stored together as one row: so many bytes at most, or one line. A claim by bytes can stop only between runs. */
const RUN_BYTES = 256 * 1024;

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

/**
 * Where stored lines lie: by message and part. The end of a message lies behind all its parts, so a place between two
 * messages is that of the first one's last part, whichever that is.
 */
export type Stored = { readonly seq: number; readonly part: number };

export const EVERY_PART = Number.MAX_SAFE_INTEGER;
/** The last stored line before a place, which is to be looked for at or below this. */
export const storedBefore = (place: Place): Stored =>
  place.part > 0 ? { seq: place.seq + 1, part: place.part } : { seq: place.seq, part: EVERY_PART };
/** Does a run that ends at `end` end at the place whose last stored line is `wanted`? */
export const endsAt = (end: Stored, wanted: Stored): boolean =>
  end.seq === wanted.seq && (wanted.part === EVERY_PART || end.part === wanted.part);

/** What the chain is computed from: the last stored line before a piece, with the chain behind it. */
type Link = Stored & { readonly chain: Uint8Array };
/** Before the first line of a lane. */
const BEGINNING: Link = { seq: 0, part: 0, chain: CHAIN_START };

/**
 * The chain at the place before which `wanted` lies, computed over a stored piece from the link before it; null when it does not lie in
 * the piece, or when lines between the two are no longer kept, so that nothing can be computed.
 * @param link null: nothing is stored before the piece
 */
export function chainWithin(piece: StoredPiece, link: Link | null, wanted: Stored): Uint8Array | null {
  const before = link ?? BEGINNING;
  if (!follows(before, piece)) return null;
  let chain = before.chain;
  let end: Stored | null = null;
  for (const line of linesOf(piece)) {
    if (line.seq > wanted.seq || (line.seq === wanted.seq && line.part > wanted.part)) break;
    chain = chainNext(chain, line.bytes);
    end = line;
  }
  return end && endsAt(end, wanted) ? chain : null;
}

/** Is the piece's first line the very next one? After one part of a message that may be its next part or the next message. */
const follows = (before: Stored, piece: StoredPiece): boolean =>
  piece.from === before.seq + 1 ? piece.part <= 1 : piece.from === before.seq && piece.part === before.part + 1;

/** The lines of a piece, without their newlines. */
function* linesOf(piece: StoredPiece): Generator<Stored & { readonly bytes: Uint8Array }> {
  let from = 0;
  for (let at = 0; from < piece.bytes.byteLength; at++) {
    const end = piece.bytes.indexOf(0x0a, from);
    const bytes = piece.bytes.subarray(from, end);
    yield piece.part > 0 ? { seq: piece.from, part: piece.part + at, bytes } : { seq: piece.from + at, part: 0, bytes };
    from = end + 1;
  }
}
