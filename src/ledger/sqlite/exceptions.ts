import { WaybillError, type FaultCode } from "../../base/errors.ts";
import type { Instant } from "../../base/clock.ts";
import { laneName, type Actor, type Epoch, type LaneName, type Seq, type TerminalId } from "../../base/ids.ts";
import { moved, type StateKind } from "../../message/lifecycle.ts";
import type { ExceptionFilter, ExceptionRow, Exceptions } from "../port.ts";
import { reconsider } from "./due.ts";
import { recordOne } from "./events.ts";
import { countFollowers } from "./followers.ts";
import { laneByName, type LaneRow } from "./lane-row.ts";
import { stateOf } from "./message-state.ts";
import type { Store } from "./store.ts";

/** What is looked at when nobody says which states: all that is not over. */
const OPEN_STATES = ["received", "retrying", "held", "dead"] as const;

export const exceptionsOn = (store: Store): Exceptions => ({
  list: async (filter, limit, after) => list(store, filter, limit, after),
  get: async (lane, seq) => {
    const row = store.get<StoredRow>(
      `${SELECT} where l.id = ? and e.seq = ?`,
      laneByName(store, lane)?.id ?? null,
      seq,
    );
    return row ? shown(store, row) : null;
  },
  requeue: async (lane, seq, by, reason, revision) =>
    store.write(() => {
      const row = ordered(store, lane, seq, "requeue");
      const n = revision ? addRevision(store, row, seq, by, revision) : null;
      store.run(
        `update exception set state = 'received', attempts = 0, due_at = ?, order_by = ?, order_reason = ?,
           revision = coalesce(?, revision)
         where lane = ? and seq = ?`,
        store.now(),
        by,
        reason,
        n,
        row.id,
        seq,
      );
      recordOne(store, row.id, seq, "requeued", by, n === null ? reason : `${reason} (edited, revision ${n})`);
      reconsider(store, row.id, store.now());
    }),
  discard: async (lane, seq, by, reason) =>
    store.write(() => {
      const row = ordered(store, lane, seq, "discard");
      store.run(
        "update exception set verb = 'discard', due_at = ?, order_by = ?, order_reason = ? where lane = ? and seq = ?",
        store.now(),
        by,
        reason,
        row.id,
        seq,
      );
      recordOne(store, row.id, seq, "discard ordered", by, reason);
      reconsider(store, row.id, store.now());
    }),
});

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

function addRevision(store: Store, lane: LaneRow, seq: Seq, by: Actor, line: Uint8Array): number {
  const last = store.get<{ n: number | null }>(
    "select max(n) as n from revision where lane = ? and seq = ?",
    lane.id,
    seq,
  );
  const n = (last?.n ?? 0) + 1;
  store.run(
    "insert into revision (lane, seq, n, line, made_by, made_at) values (?, ?, ?, ?, ?, ?)",
    lane.id,
    seq,
    n,
    line,
    by,
    store.now(),
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
  select e.id, e.lane, l.terminal, l.epoch, e.seq, e.fault, e.detail, e.attempts, e.due_at as dueAt,
         case when o.leased_by is not null and e.claimed_fence = o.fence and e.verb = 'load' and e.closed_at is null
           then 'processing' else e.state end as state,
         b.terminal as behindTerminal, b.epoch as behindEpoch, e.behind_seq as behindSeq, e.behind_on as behindOn,
         e.tables, e.since, e.revision
  from exception e join lane l on l.id = e.lane join lane_out o on o.lane = e.lane left join lane b on b.id = e.behind_lane`;

// Each part of the filter is always there and says yes when nobody asked: one statement, prepared once.
const LIST = `${SELECT}
  where e.state in (select value from json_each(?)) and e.id > ?
    and (?3 is null or l.terminal = ?3) and (?4 is null or e.fault = ?4)
    and (?5 is null or exists (select 1 from json_each(e.tables) t where t.value = ?5))
  order by e.id limit ?6`;

function list(
  store: Store,
  filter: ExceptionFilter,
  limit: number,
  after: string | null,
): Awaited<ReturnType<Exceptions["list"]>> {
  const rows = store.all<StoredRow>(
    LIST,
    JSON.stringify(filter.states ?? OPEN_STATES),
    readCursor(after),
    filter.terminal ?? null,
    filter.fault ?? null,
    filter.table ?? null,
    limit + 1, // one more tells whether there is a next page
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    rows: page.map((row) => shown(store, row)),
    next: rows.length > limit && last ? String(last.id) : null,
  };
}

function readCursor(after: string | null): number {
  if (after === null) return 0;
  if (!/^\d{1,15}$/.test(after))
    throw new WaybillError("REQUEST_INVALID", "`after` is not the `next` of a page before");
  return Number(after);
}

const shown = (store: Store, row: StoredRow): ExceptionRow => ({
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
  holds: countFollowers(store, row.lane, row.seq),
});
