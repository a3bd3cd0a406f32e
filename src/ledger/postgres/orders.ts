import { WaybillError } from "../../base/errors.ts";
import { type Actor, type LaneName, type Seq, type By, actorOf } from "../../base/ids.ts";
import { moved } from "../../message/lifecycle.ts";
import type { Revision } from "../exceptions.ts";
import { reconsider } from "./due.ts";
import { recordOne } from "./events.ts";
import { laneByName, type LaneRow } from "./lane-row.ts";
import { stateOf } from "./message-state.ts";
import { storable, type Tx } from "./tx.ts";

/** What operators order, within the transaction of a caller that holds the locks of the lane's terminal. @throws NOT_FOUND, STATE_CONFLICT: then nothing was written. */
export async function requeueOne(
  tx: Tx,
  lane: LaneName,
  seq: Seq,
  by: By,
  reason: string,
  line: Uint8Array | null,
  basedOn?: number | null,
): Promise<void> {
  const row = await ordered(tx, lane, seq, "requeue");
  if (basedOn !== undefined) await requireRevision(tx, row, lane, seq, basedOn);
  const n = line ? await addRevision(tx, row, seq, by, reason, line) : null;
  await tx.run(
    `update exception set state = 'received', attempts = 0, due_at = $1, order_by = $2, order_reason = $3,
       revision = coalesce($4, revision)
     where lane = $5 and seq = $6`,
    tx.now(),
    actorOf(by),
    storable(reason),
    n,
    row.id,
    seq,
  );
  recordOne(tx, row.id, seq, "requeued", by, n === null ? reason : `${reason} (edited, revision ${n})`);
  await reconsider(tx, [row.id], tx.now());
}

/** See `requeueOne`. */
export async function discardOne(tx: Tx, lane: LaneName, seq: Seq, by: By, reason: string): Promise<void> {
  const row = await ordered(tx, lane, seq, "discard");
  await tx.run(
    "update exception set verb = 'discard', due_at = $1, order_by = $2, order_reason = $3 where lane = $4 and seq = $5",
    tx.now(),
    actorOf(by),
    storable(reason),
    row.id,
    seq,
  );
  recordOne(tx, row.id, seq, "discard ordered", by, reason);
  await reconsider(tx, [row.id], tx.now());
}

export const revisions = (tx: Tx, lane: number | null, seq: Seq): Promise<Revision[]> =>
  tx.all<Revision>(
    `select n, made_by as "by", made_at as "at", reason, line from revision where lane = $1 and seq = $2 order by n`,
    lane,
    seq,
  );

/** An edit is made of what its author saw: of two who edit at once, the second must look again. */
async function requireRevision(tx: Tx, row: LaneRow, lane: LaneName, seq: Seq, seen: number | null): Promise<void> {
  const found = await tx.get<{ revision: number | null }>(
    "select revision from exception where lane = $1 and seq = $2",
    row.id,
    seq,
  );
  const revision = found?.revision ?? null;
  if (revision === seen) return;
  const what = `message ${lane}/${seq} has been edited meanwhile: it is at revision ${revision ?? 0} now, not ${seen ?? 0}`;
  throw new WaybillError("STATE_CONFLICT", what, { facts: { revision } });
}

/** The lane of a message that the order may be given for, by the one table of moves. @throws NOT_FOUND, STATE_CONFLICT. */
async function ordered(tx: Tx, name: LaneName, seq: Seq, verb: "requeue" | "discard"): Promise<LaneRow> {
  const lane = await laneByName(tx, name);
  const state = lane ? await stateOf(tx, lane.id, seq) : null;
  if (!lane || state === null) throw new WaybillError("NOT_FOUND", `there is no message ${name}/${seq}`);
  if (moved(state, verb) === null) {
    throw new WaybillError("STATE_CONFLICT", `message ${name}/${seq} is ${state}; ${verb} is not possible`, {
      facts: { state },
    });
  }
  const pending = await tx.get<{ by: Actor }>(
    `select order_by as "by" from exception where lane = $1 and seq = $2 and verb = 'discard'`,
    lane.id,
    seq,
  );
  if (pending) {
    const what = `${pending.by} has ordered that message ${name}/${seq} be discarded`;
    throw new WaybillError("STATE_CONFLICT", what, { facts: { state } });
  }
  return lane;
}

async function addRevision(tx: Tx, lane: LaneRow, seq: Seq, by: By, reason: string, line: Uint8Array): Promise<number> {
  const last = await tx.get<{ n: number | null }>(
    "select max(n) as n from revision where lane = $1 and seq = $2",
    lane.id,
    seq,
  );
  const n = (last?.n ?? 0) + 1;
  await tx.run(
    "insert into revision (lane, seq, n, line, made_by, made_at, reason) values ($1, $2, $3, $4, $5, $6, $7)",
    lane.id,
    seq,
    n,
    line,
    actorOf(by),
    tx.now(),
    storable(reason),
  );
  return n;
}
