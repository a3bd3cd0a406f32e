import { actor, seq, type Seq } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { acknowledgement, judge, tipAfter, UNBEGUN, type Accepted } from "../judge.ts";
import { cutIntoRuns } from "../lines.ts";
import type { Acknowledgement, Refused, Submission, SubmittedLine } from "../port.ts";
import { searchKey } from "../search-key.ts";
import { isBlocked } from "./due.ts";
import { beginLane } from "./epochs.ts";
import { record } from "./events.ts";
import { currentLane, laneById, openCounts, type LaneRow } from "./lane-row.ts";
import { chainAt, storeGap, storeRun } from "./runs.ts";
import type { Store } from "./store.ts";

/** Judges and stores one submission within the caller's transaction. A refusal has written nothing. */
export function appendOne(store: Store, submission: Submission): Acknowledgement | Refused {
  const current = currentLane(store, submission.terminal) ?? null;
  const judged = judgement(store, submission, current);
  if ("refused" in judged) return judged;
  const { duplicates } = judged;
  if (!judged.isNews && !current) return acknowledgement(UNBEGUN, { duplicates, loadedThrough: seq(0), open: NONE });
  const id = current?.id ?? beginLane(store, submission.terminal, submission.epoch);
  const lane = judged.isNews ? storeNews(store, id, submission, judged) : laneById(store, id);
  const { loadedThrough } = lane;
  return acknowledgement(lane, { duplicates, loadedThrough, open: openCounts(store, id) });
}
const NONE = { retrying: 0, held: 0, dead: 0 };

function judgement(store: Store, submission: Submission, current: LaneRow | null): Accepted | Refused {
  const judging = judge(submission, current);
  let step = judging.next();
  while (!step.done) step = judging.next(current ? chainAt(store, current.id, step.value) : null);
  return step.value;
}

function storeNews(store: Store, id: number, submission: Submission, { known, skipTo }: Accepted): LaneRow {
  const now = store.now();
  if (skipTo !== null) skip(store, laneById(store, id), skipTo, submission.chain, now);
  const before = laneById(store, id);
  if (submission.lines.length === known) return before;
  for (const run of cutIntoRuns(submission, known)) storeRun(store, id, run, now);
  const fresh = submission.lines.slice(known);
  rememberKeys(store, before, fresh);
  for (const line of fresh) rememberImprint(store, id, line);
  const { isWhole, ...tip } = tipAfter(before, submission, known);
  store.run(
    `update lane_in set sent_after = received_through, received_through = ?, chain = ?, part = ?, part_chain = ?, received_at = ?
     where lane = ?`,
    tip.receivedThrough,
    tip.chain,
    tip.part,
    tip.partChain,
    now,
    id,
  );
  if (isWhole) {
    record(store, {
      lane: id,
      from: seq(before.receivedThrough + 1),
      through: tip.receivedThrough,
      kind: "received",
      by: actor(`terminal:${before.terminal}`),
      detail: "",
    });
    wake(store, before, tip.receivedThrough, now);
  }
  return { ...before, ...tip };
}

/** The common case of `reconsider`, without reading the lane again: most appends find it waiting for work already. */
function wake(store: Store, lane: LaneRow, receivedThrough: Seq, now: Instant): void {
  // A restored ledger that gets again what the centre has loaded: late messages among it may be tried now.
  const again = lane.receivedThrough < lane.loadedThrough;
  if (lane.leasedBy !== null || (receivedThrough <= lane.loadedThrough && !again)) return;
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

function rememberImprint(store: Store, lane: number, { imprint, seq: of }: SubmittedLine): void {
  if (!imprint) return;
  const { id, content } = imprint;
  store.run(
    "insert or ignore into imprint (lane, id, seq, content) values (?, unhex(?), ?, unhex(?))",
    lane,
    id,
    of,
    content,
  );
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
      by: actor(`terminal:${lane.terminal}`),
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
