import { WaybillError } from "../../base/errors.ts";
import { type Actor, type LaneName, type Seq, type By, actorOf } from "../../base/ids.ts";
import { moved } from "../../message/lifecycle.ts";
import type { Revision } from "../exceptions.ts";
import { reconsider } from "./due.ts";
import { recordOne } from "./events.ts";
import { laneByName, type LaneRow } from "./lane-row.ts";
import { stateOf } from "./message-state.ts";
import type { Store } from "./store.ts";

/** What operators order, within the caller's transaction. @throws NOT_FOUND, STATE_CONFLICT: then nothing was written. */
export function requeueOne(
  store: Store,
  lane: LaneName,
  seq: Seq,
  by: By,
  reason: string,
  line: Uint8Array | null,
  basedOn?: number | null,
): void {
  const row = ordered(store, lane, seq, "requeue");
  if (basedOn !== undefined) requireRevision(store, row, lane, seq, basedOn);
  const n = line ? addRevision(store, row, seq, by, reason, line) : null;
  store.run(
    `update exception set state = 'received', attempts = 0, due_at = ?, order_by = ?, order_reason = ?,
       revision = coalesce(?, revision)
     where lane = ? and seq = ?`,
    store.now(),
    actorOf(by),
    reason,
    n,
    row.id,
    seq,
  );
  recordOne(store, row.id, seq, "requeued", by, n === null ? reason : `${reason} (edited, revision ${n})`);
  reconsider(store, row.id, store.now());
}

/** See `requeueOne`. */
export function discardOne(store: Store, lane: LaneName, seq: Seq, by: By, reason: string): void {
  const row = ordered(store, lane, seq, "discard");
  store.run(
    "update exception set verb = 'discard', due_at = ?, order_by = ?, order_reason = ? where lane = ? and seq = ?",
    store.now(),
    actorOf(by),
    reason,
    row.id,
    seq,
  );
  recordOne(store, row.id, seq, "discard ordered", by, reason);
  reconsider(store, row.id, store.now());
}

export const revisions = (store: Store, lane: number | null, seq: Seq): Revision[] =>
  store.all<Revision>(
    `select n, made_by as "by", made_at as "at", reason, line from revision where lane = ? and seq = ? order by n`,
    lane,
    seq,
  );

/** An edit is made of what its author saw: of two who edit at once, the second must look again. */
function requireRevision(store: Store, row: LaneRow, lane: LaneName, seq: Seq, seen: number | null): void {
  const { revision = null } =
    store.get<{ revision: number | null }>("select revision from exception where lane = ? and seq = ?", row.id, seq) ??
    {};
  if (revision === seen) return;
  const what = `message ${lane}/${seq} has been edited meanwhile: it is at revision ${revision ?? 0} now, not ${seen ?? 0}`;
  throw new WaybillError("STATE_CONFLICT", what, { facts: { revision } });
}

/** The lane of a message that the order may be given for, by the one table of moves. @throws NOT_FOUND, STATE_CONFLICT. */
function ordered(store: Store, name: LaneName, seq: Seq, verb: "requeue" | "discard"): LaneRow {
  const lane = laneByName(store, name);
  const state = lane ? stateOf(store, lane.id, seq) : null;
  if (!lane || state === null) throw new WaybillError("NOT_FOUND", `there is no message ${name}/${seq}`);
  if (moved(state, verb) === null) {
    throw new WaybillError("STATE_CONFLICT", `message ${name}/${seq} is ${state}; ${verb} is not possible`, {
      facts: { state },
    });
  }
  const pending = store.get<{ by: Actor }>(
    `select order_by as "by" from exception where lane = ? and seq = ? and verb = 'discard'`,
    lane.id,
    seq,
  );
  if (pending) {
    const what = `${pending.by} has ordered that message ${name}/${seq} be discarded`;
    throw new WaybillError("STATE_CONFLICT", what, { facts: { state } });
  }
  return lane;
}

function addRevision(store: Store, lane: LaneRow, seq: Seq, by: By, reason: string, line: Uint8Array): number {
  const last = store.get<{ n: number | null }>(
    "select max(n) as n from revision where lane = ? and seq = ?",
    lane.id,
    seq,
  );
  const n = (last?.n ?? 0) + 1;
  store.run(
    "insert into revision (lane, seq, n, line, made_by, made_at, reason) values (?, ?, ?, ?, ?, ?, ?)",
    lane.id,
    seq,
    n,
    line,
    actorOf(by),
    store.now(),
    reason,
  );
  return n;
}
