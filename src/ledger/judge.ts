import { laneName, seq, type Epoch, type Seq } from "../base/ids.ts";
import type { ErrorFacts, FaultCode } from "../base/errors.ts";
import { CHAIN_START, sameChain } from "../message/chain.ts";
import { chainAfter, isAfter, isSame, placeOf, type Place } from "./lines.ts";
import type { Acknowledgement, Refused, Submission, SubmittedLine } from "./port.ts";

/** As far as a lane is stored: a whole message, and so many parts of the one after it. */
export type Tip = {
  readonly receivedThrough: Seq;
  /** After `receivedThrough`. */
  readonly chain: Uint8Array;
  /** Parts of the next message that are stored. */
  readonly part: number;
  /** After that part; null when there is none. */
  readonly partChain: Uint8Array | null;
};
/** A lane before its terminal's first request is stored. */
export const UNBEGUN: Tip = { receivedThrough: seq(0), chain: CHAIN_START, part: 0, partChain: null };

export type Accepted = {
  /** So many of the lines, from the first, are stored already, and are the same. */
  readonly known: number;
  /** Whole messages among them. */
  readonly duplicates: number;
  /** Everything up to here will never come, and the rest follows behind it; null when nothing is lost. */
  readonly skipTo: Seq | null;
  /** Something is to be stored. */
  readonly isNews: boolean;
};

/**
 * What becomes of a submission. One judge for every ledger: it is pure, and yields a place whenever it must be told the lane's
 * chain there (null: no longer kept), which one adapter answers at once and another by and by. It asks only for places at or
 * before the tip, and for none while all is well.
 * @param current the terminal's open lane; null when it has none
 */
export function* judge(
  submission: Submission,
  current: (Tip & { readonly epoch: Epoch }) | null,
): Generator<Place, Accepted | Refused, Uint8Array | null> {
  const { terminal, epoch, lines } = submission;
  const name = laneName(terminal, epoch);
  if (current && current.epoch !== epoch) {
    const what = `epoch ${epoch} of terminal ${terminal} has ended, ${current.epoch} has begun`;
    return refused("EPOCH_CLOSED", what, { epoch: current.epoch });
  }
  const disorder = firstDisorder(submission);
  if (disorder !== null) {
    return refused("SEQUENCE_GAP", `the lines of ${name} do not follow each other at number ${disorder}`, {
      expected: disorder,
    });
  }
  const lane = current ?? UNBEGUN;
  const skipTo = skipOf(submission, lane);
  const tip: Place = skipTo === null ? { seq: lane.receivedThrough, part: lane.part } : { seq: skipTo, part: 0 };
  const start: Place = { seq: submission.after, part: submission.part };
  if (isAfter(start, tip)) {
    const expected = tip.seq + 1;
    const what = `${name} is stored through ${tip.seq}; the request begins behind ${start.seq}`;
    return refused("SEQUENCE_GAP", what, tip.part > 0 ? { expected, part: tip.part + 1 } : { expected });
  }
  const known = countKnown(lines, tip);
  const broken = skipTo === null ? yield* firstBroken(submission, lane, known) : null;
  if (broken !== null) {
    return refused("CHAIN_BROKEN", `${name}/${broken} is known with other content`, { seq: broken });
  }
  const duplicates = lines.slice(0, known).filter((line) => !line.more).length;
  return { known, duplicates, skipTo, isNews: lines.length > known || skipTo !== null };
}

const refused = (code: FaultCode, what: string, facts: ErrorFacts): Refused => ({ refused: code, what, facts });

/** The first number that does not follow from the one before; null when all do. Order within a request is not trusted. */
function firstDisorder({ after, part, lines }: Submission): number | null {
  let place: Place = { seq: after, part };
  for (const line of lines) {
    const next = place.seq + 1;
    const follows =
      line.seq === next && (place.part > 0 ? line.part === place.part + 1 : line.part === 0 || line.part === 1);
    if (!follows || (line.part === 0 && line.more)) return next;
    place = placeOf(line);
  }
  return null;
}

/**
 * Where the hub goes on when the sender no longer has the next number (it was given up there, or acknowledged to a ledger
 * that was since restored): behind the lost ones. Null when nothing is lost.
 */
function skipOf({ oldest, after, part, chain }: Submission, lane: Tip): Seq | null {
  if (oldest === null || oldest <= lane.receivedThrough + 1) return null;
  // The sender's word for the chain before `oldest` is all there is; it holds from here on.
  return after === oldest - 1 && part === 0 && chain.byteLength === 32 ? after : null;
}

/** How many of the lines, from the first, lie at or before the tip. */
function countKnown(lines: readonly SubmittedLine[], tip: Place): number {
  const fresh = lines.findIndex((line) => isAfter(placeOf(line), tip));
  return fresh < 0 ? lines.length : fresh;
}

/**
 * The first number that has come with other content than is stored; null when all agree. Since each chain covers all that
 * came before, one comparison, at the last known line, is enough while all is well.
 */
function* firstBroken(
  submission: Submission,
  lane: Tip,
  known: number,
): Generator<Place, Seq | null, Uint8Array | null> {
  const { lines } = submission;
  const tip: Place = { seq: lane.receivedThrough, part: lane.part };
  const start: Place = { seq: submission.after, part: submission.part };
  const last = lines[known - 1];
  const joint = last ? placeOf(last) : start;
  // A message that began in parts goes on with the next part; nothing else may follow what is stored of it.
  if (lines.length > known && !isSame(joint, tip)) return seq(tip.seq + 1);
  const lastChain = last ? chainAfter(submission, known - 1) : submission.chain;
  if (yield* agrees(lane, joint, lastChain)) return null;
  if (!last || !(yield* agrees(lane, start, submission.chain))) return start.part > 0 ? seq(start.seq + 1) : start.seq;
  // Once a chain differs it differs for ever, so the first difference is found by halving.
  let low = 0;
  let high = known - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const line = lines[middle];
    if (line && (yield* agrees(lane, placeOf(line), chainAfter(submission, middle)))) low = middle + 1;
    else high = middle;
  }
  return (lines[high] ?? last).seq;
}

function* agrees(lane: Tip, place: Place, chain: Uint8Array): Generator<Place, boolean, Uint8Array | null> {
  const { receivedThrough, part, partChain } = lane;
  const isAtTip = place.seq === receivedThrough && (place.part === part || place.part === 0);
  const stored = isAtTip ? (place.part > 0 ? partChain : lane.chain) : yield place;
  return stored !== null && sameChain(stored, chain);
}

/** Where the lane stands when the lines behind the first `known` are stored, and whether a message became whole by them. */
export function tipAfter(before: Tip, submission: Submission, known: number): Tip & { readonly isWhole: boolean } {
  const { lines } = submission;
  const last = lines.at(-1);
  if (!last || lines.length === known) return { ...before, isWhole: false };
  const end = placeOf(last);
  const whole = lines.findLastIndex((line) => !line.more);
  return {
    receivedThrough: end.seq,
    chain: whole >= known ? chainAfter(submission, whole) : before.chain,
    part: end.part,
    partChain: end.part > 0 ? chainAfter(submission, lines.length - 1) : null,
    isWhole: whole >= known,
  };
}

export function acknowledgement(
  { receivedThrough, chain, part }: Tip,
  of: Pick<Acknowledgement, "loadedThrough" | "open" | "duplicates">,
): Acknowledgement {
  return {
    receivedThrough,
    chain,
    duplicates: of.duplicates,
    loadedThrough: of.loadedThrough,
    open: of.open,
    partial: part > 0 ? { seq: seq(receivedThrough + 1), part } : null,
  };
}
