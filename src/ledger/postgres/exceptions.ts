import { WaybillError, type FaultCode } from "../../base/errors.ts";
import type { Instant } from "../../base/clock.ts";
import {
  laneName,
  splitLane,
  type Actor,
  type Epoch,
  type LaneName,
  type Seq,
  type TerminalId,
} from "../../base/ids.ts";
import { moved, type StateKind } from "../../message/lifecycle.ts";
import type { ExceptionFilter, ExceptionRow, Exceptions } from "../port.ts";
import { lockTerminals, reconsider } from "./due.ts";
import { recordOne } from "./events.ts";
import { countFollowers } from "./followers.ts";
import { laneByName, type LaneRow } from "./lane-row.ts";
import { stateOf } from "./message-state.ts";
import type { Store } from "./store.ts";
import { storable, type Tx } from "./tx.ts";

/** What is looked at when nobody says which states: all that is not over. */
const OPEN_STATES = ["received", "retrying", "held", "dead"] as const;

export const exceptionsOn = (store: Store): Exceptions => ({
  list: (filter, limit, after) => store.read((tx) => list(tx, filter, limit, after)),
  get: (lane, seq) =>
    store.read(async (tx) => {
      const { terminal, epoch } = splitLane(lane);
      const row = await tx.get<StoredRow>(ONE, terminal, epoch, seq);
      return row ? shown(tx, row) : null;
    }),
  requeue: (lane, seq, by, reason, revision) =>
    store.write(async (tx) => {
      const row = await ordered(tx, lane, seq, "requeue");
      const n = revision ? await addRevision(tx, row, seq, by, revision) : null;
      await tx.run(
        `update exception set state = 'received', attempts = 0, due_at = $1, order_by = $2, order_reason = $3,
           revision = coalesce($4, revision)
         where lane = $5 and seq = $6`,
        tx.now(),
        by,
        storable(reason),
        n,
        row.id,
        seq,
      );
      recordOne(tx, row.id, seq, "requeued", by, n === null ? reason : `${reason} (edited, revision ${n})`);
      await reconsider(tx, [row.id], tx.now());
    }),
  discard: (lane, seq, by, reason) =>
    store.write(async (tx) => {
      const row = await ordered(tx, lane, seq, "discard");
      await tx.run(
        "update exception set verb = 'discard', due_at = $1, order_by = $2, order_reason = $3 where lane = $4 and seq = $5",
        tx.now(),
        by,
        storable(reason),
        row.id,
        seq,
      );
      recordOne(tx, row.id, seq, "discard ordered", by, reason);
      await reconsider(tx, [row.id], tx.now());
    }),
});

/** The lane of a message that the order may be given for, by the one table of moves. @throws NOT_FOUND, STATE_CONFLICT. */
async function ordered(tx: Tx, name: LaneName, seq: Seq, verb: "requeue" | "discard"): Promise<LaneRow> {
  await lockTerminals(tx, [name]);
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

async function addRevision(tx: Tx, lane: LaneRow, seq: Seq, by: Actor, line: Uint8Array): Promise<number> {
  const last = await tx.get<{ n: number | null }>(
    "select max(n) as n from revision where lane = $1 and seq = $2",
    lane.id,
    seq,
  );
  const n = (last?.n ?? 0) + 1;
  await tx.run(
    "insert into revision (lane, seq, n, line, made_by, made_at) values ($1, $2, $3, $4, $5, $6)",
    lane.id,
    seq,
    n,
    line,
    by,
    tx.now(),
  );
  return n;
}

type StoredRow = {
  readonly id: number;
  readonly lane: number;
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  readonly seq: Seq;
  readonly state: StateKind;
  readonly fault: FaultCode | null;
  readonly detail: string;
  readonly attempts: number;
  readonly dueAt: Instant | null;
  readonly behindTerminal: TerminalId | null;
  readonly behindEpoch: Epoch | null;
  readonly behindSeq: Seq | null;
  readonly behindOn: string | null;
  readonly tables: string;
  readonly since: Instant;
  readonly revision: number | null;
};

const SELECT = `
  select e.id, e.lane, l.terminal, l.epoch, e.seq, e.fault, e.detail, e.attempts, e.due_at as "dueAt",
         case when o.leased_by is not null and e.claimed_fence = o.fence and e.verb = 'load' and e.closed_at is null
           then 'processing' else e.state end as state,
         b.terminal as "behindTerminal", b.epoch as "behindEpoch", e.behind_seq as "behindSeq", e.behind_on as "behindOn",
         e.tables, e.since, e.revision
  from exception e join lane l on l.id = e.lane join lane_out o on o.lane = e.lane left join lane b on b.id = e.behind_lane`;

const ONE = `${SELECT} where l.terminal = $1 and l.epoch = $2 and e.seq = $3`;

// Each part of the filter is always there and says yes when nobody asked: one statement, prepared once.
const LIST = `${SELECT}
  where e.state = any ($1::text[]) and e.id > $2
    and ($3::text is null or l.terminal = $3) and ($4::text is null or e.fault = $4)
    and ($5::text is null or e.tables ? $5)
  order by e.id limit $6`;

async function list(
  tx: Tx,
  filter: ExceptionFilter,
  limit: number,
  after: string | null,
): ReturnType<Exceptions["list"]> {
  const rows = await tx.all<StoredRow>(
    LIST,
    filter.states ?? OPEN_STATES,
    readCursor(after),
    filter.terminal ?? null,
    filter.fault ?? null,
    filter.table ?? null,
    limit + 1, // one more tells whether there is a next page
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    rows: await Promise.all(page.map((row) => shown(tx, row))),
    next: rows.length > limit && last ? String(last.id) : null,
  };
}

function readCursor(after: string | null): number {
  if (after === null) return 0;
  if (!/^\d{1,15}$/.test(after))
    throw new WaybillError("REQUEST_INVALID", "`after` is not the `next` of a page before");
  return Number(after);
}

const shown = async (tx: Tx, row: StoredRow): Promise<ExceptionRow> => ({
  lane: laneName(row.terminal, row.epoch),
  seq: row.seq,
  state: row.state,
  fault: row.fault,
  detail: row.detail,
  attempts: row.attempts,
  dueAt: row.dueAt,
  behind:
    row.behindTerminal === null || row.behindEpoch === null || row.behindSeq === null
      ? null
      : { lane: laneName(row.behindTerminal, row.behindEpoch), seq: row.behindSeq, on: row.behindOn ?? "" },
  tables: JSON.parse(row.tables) as string[],
  since: row.since,
  edited: row.revision !== null,
  holds: await countFollowers(tx, row.lane, row.seq),
});
