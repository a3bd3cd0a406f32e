import { actor, laneName, seq, type Seq } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import type { FaultCode, ErrorFacts } from "../../base/errors.ts";
import { CHAIN_START, sameChain } from "../../message/chain.ts";
import type { Acknowledgement, Refused, Submission, SubmittedLine } from "../port.ts";
import { isBlocked } from "./due.ts";
import { beginLane } from "./epochs.ts";
import { record } from "./events.ts";
import { currentLane, laneById, laneByName, nameOf, openCounts, type LaneRow } from "./lane-row.ts";
import {
  chainAt,
  chainAfter,
  cutIntoRuns,
  firstDifference,
  isAfter,
  placeOf,
  storeGap,
  storeRun,
  type Place,
} from "./runs.ts";
import { searchKey } from "../search-key.ts";
import type { Store } from "./store.ts";

/** What of a lane an append is judged by. */
type Standing = Pick<
  LaneRow,
  "id" | "terminal" | "epoch" | "receivedThrough" | "chain" | "part" | "partChain" | "loadedThrough"
>;

const refused = (code: FaultCode, what: string, facts: ErrorFacts): Refused => ({ refused: code, what, facts });

/** Judges and stores one submission within the caller's transaction. A refusal has written nothing. */
export function appendOne(store: Store, submission: Submission): Acknowledgement | Refused {
  const { terminal, epoch } = submission;
  const known = laneByName(store, laneName(terminal, epoch));
  const current = known?.endedAt === null ? known : currentLane(store, terminal);
  if (current && current !== known) {
    const what = `epoch ${epoch} of terminal ${terminal} has ended, ${current.epoch} has begun`;
    return refused("EPOCH_CLOSED", what, { epoch: current.epoch });
  }
  const disorder = firstDisorder(submission);
  if (disorder !== null) {
    const what = `the lines of ${terminal}/${epoch} do not follow each other at number ${disorder}`;
    return refused("SEQUENCE_GAP", what, { expected: disorder });
  }
  const lane = current ?? unbegun(submission);
  const skipTo = skipOf(submission, lane);
  const tip = skipTo ?? { seq: lane.receivedThrough, part: lane.part };
  const start: Place = { seq: submission.after, part: submission.part };
  if (isAfter(start, tip)) {
    const expected = tip.seq + 1;
    const what = `${nameOf(lane)} is stored through ${tip.seq}; the request begins behind ${start.seq}`;
    return refused("SEQUENCE_GAP", what, tip.part > 0 ? { expected, part: tip.part + 1 } : { expected });
  }
  const overlap = countKnown(submission.lines, tip);
  const broken = skipTo ? null : firstBroken(store, lane, submission, tip, start, overlap);
  if (broken !== null) {
    const what = `${nameOf(lane)}/${broken} is known with other content`;
    return refused("CHAIN_BROKEN", what, { seq: broken });
  }
  const fresh = submission.lines.length > overlap;
  const stored =
    fresh || skipTo
      ? storeFresh(store, current?.id ?? beginLane(store, terminal, epoch), submission, overlap, skipTo)
      : lane;
  const duplicates = submission.lines.slice(0, overlap).filter((line) => !line.more).length;
  return acknowledgementOf(store, stored, duplicates);
}

/** The lane a terminal's first request would begin; it is begun only if the request is stored. */
const unbegun = ({ terminal, epoch }: Submission): Standing => {
  const start = { chain: CHAIN_START, receivedThrough: seq(0), loadedThrough: seq(0) };
  return { id: NOT_BEGUN, terminal, epoch, ...start, part: 0, partChain: null };
};
const NOT_BEGUN = 0;

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
function skipOf({ oldest, after, part, chain }: Submission, lane: Standing): Place | null {
  if (oldest === null || oldest <= lane.receivedThrough + 1) return null;
  // The sender's word for the chain before `oldest` is all there is; it holds from here on.
  return after === oldest - 1 && part === 0 && chain.byteLength === 32 ? { seq: after, part: 0 } : null;
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
function firstBroken(
  store: Store,
  lane: Standing,
  submission: Submission,
  tip: Place,
  start: Place,
  overlap: number,
): Seq | null {
  const ours = (place: Place): Uint8Array | null => {
    if (place.seq === tip.seq && place.part === tip.part) return lane.partChain ?? lane.chain;
    if (place.seq === tip.seq && place.part === 0) return lane.chain;
    return chainAt(store, lane.id, place);
  };
  const agrees = (place: Place, chain: Uint8Array): boolean => {
    const stored = ours(place);
    return stored !== null && sameChain(stored, chain);
  };
  const last = submission.lines[overlap - 1];
  const joint = last ? placeOf(last) : start;
  const hasFresh = submission.lines.length > overlap;
  // A message that began in parts goes on with the next part; nothing else may follow what is stored of it.
  if (hasFresh && (joint.seq !== tip.seq || joint.part !== tip.part)) return seq(tip.seq + 1);
  const lastChain = last ? chainAfter(submission, overlap - 1) : submission.chain;
  if (agrees(joint, lastChain)) return null;
  if (!last || !agrees(start, submission.chain)) return start.part > 0 ? seq(start.seq + 1) : start.seq;
  return firstDifference(store, lane.id, submission, overlap);
}

function storeFresh(
  store: Store,
  laneId: number,
  submission: Submission,
  overlap: number,
  skipTo: Place | null,
): Standing {
  const now = store.now();
  if (skipTo) skip(store, laneById(store, laneId), skipTo.seq, submission.chain, now);
  const before = laneById(store, laneId);
  const fresh = submission.lines.slice(overlap);
  const last = fresh.at(-1);
  if (!last) return before;
  for (const run of cutIntoRuns(submission, overlap)) storeRun(store, laneId, run, now);
  rememberKeys(store, before, fresh);

  const lastWhole = submission.lines.findLastIndex((line) => !line.more);
  const wholeIsFresh = lastWhole >= overlap;
  const chain = wholeIsFresh ? chainAfter(submission, lastWhole) : before.chain;
  const end = placeOf(last);
  const partChain = end.part > 0 ? chainAfter(submission, submission.lines.length - 1) : null;
  store.run(
    "update lane_in set received_through = ?, chain = ?, part = ?, part_chain = ?, received_at = ? where lane = ?",
    end.seq,
    chain,
    end.part,
    partChain,
    now,
    laneId,
  );
  if (wholeIsFresh) {
    record(store, {
      lane: laneId,
      from: seq(before.receivedThrough + 1),
      through: end.seq,
      kind: "received",
      actor: actor(`terminal:${before.terminal}`),
      detail: "",
    });
    wake(store, before, end.seq, now);
  }
  return { ...before, receivedThrough: end.seq, chain, part: end.part, partChain };
}

/** The common case of `reconsider`, without reading the lane again: most appends find it waiting for work already. */
function wake(store: Store, lane: LaneRow, receivedThrough: Seq, now: Instant): void {
  if (lane.leasedBy !== null || receivedThrough <= lane.loadedThrough) return;
  const due = Math.max(now, lane.notBefore);
  if (lane.workAt !== null && lane.workAt <= due) return;
  if (!isBlocked(store, lane)) store.run("update lane_out set work_at = ? where lane = ?", due, lane.id);
}

function rememberKeys(store: Store, lane: LaneRow, lines: readonly SubmittedLine[]): void {
  for (const line of lines) {
    for (const value of line.search) {
      store.run(
        "insert or ignore into message_key (terminal, value, lane, seq) values (?, ?, ?, ?)",
        lane.terminal,
        searchKey(value),
        lane.id,
        line.seq,
      );
    }
  }
}

/** Notes that (received, through] will never come. An unfinished message among them is given up with the rest. */
function skip(store: Store, lane: LaneRow, through: Seq, chain: Uint8Array, now: Instant): void {
  const from = seq(lane.receivedThrough + 1);
  store.run("delete from run where lane = ? and through_seq > ?", lane.id, lane.receivedThrough);
  storeGap(store, lane.id, from, through, chain, now);
  // What the centre is known to have loaded is not missing, even when this ledger never had it or has lost it.
  const lost = seq(Math.max(from, lane.loadedThrough + 1));
  if (lost <= through) {
    store.run(
      "insert into missing (lane, from_seq, through_seq, noted_at) values (?, ?, ?, ?)",
      lane.id,
      lost,
      through,
      now,
    );
    const detail = "the terminal no longer has these messages";
    record(store, {
      lane: lane.id,
      from: lost,
      through,
      kind: "missing",
      actor: actor(`terminal:${lane.terminal}`),
      detail,
    });
  }
  store.run(
    "update lane_in set received_through = ?, chain = ?, part = 0, part_chain = null where lane = ?",
    through,
    chain,
    lane.id,
  );
  wake(store, lane, through, now);
}

function acknowledgementOf(store: Store, lane: Standing, duplicates: number): Acknowledgement {
  return {
    receivedThrough: lane.receivedThrough,
    chain: lane.chain,
    duplicates,
    loadedThrough: lane.loadedThrough,
    open: lane.id === NOT_BEGUN ? { retrying: 0, held: 0, dead: 0 } : openCounts(store, lane.id),
    partial: lane.part > 0 ? { seq: seq(lane.receivedThrough + 1), part: lane.part } : null,
  };
}
