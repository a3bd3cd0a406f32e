import { WaybillError, type FaultCode } from "../../base/errors.ts";
import type { Instant } from "../../base/clock.ts";
import { laneName, splitLane, type Epoch, type Seq, type TerminalId } from "../../base/ids.ts";
import type { StateKind } from "../../message/lifecycle.ts";
import type { ExceptionFilter, ExceptionGroup, ExceptionRow, Exceptions } from "../exceptions.ts";
import { NEVER_DUE } from "../pauses.ts";
import type { KeySets } from "../key-sets.ts";
import { searchKey } from "../search-key.ts";
import { lockTerminals } from "./due.ts";
import { countFollowers, waitingBehind } from "./followers.ts";
import { NOBODY_WAITS } from "../waiting.ts";
import { laneByName } from "./lane-row.ts";
import { discardOne, requeueOne, revisions } from "./orders.ts";
import type { Store } from "./store.ts";
import { storable, type SqlValue, type Tx } from "./tx.ts";

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
  groups: (filter, limit) => store.read((tx) => groups(tx, filter, limit)),
  waiting: (lane, seq) =>
    store.read(async (tx) => {
      const row = await laneByName(tx, lane);
      return row ? waitingBehind(tx, row.id, seq) : NOBODY_WAITS;
    }),
  touched: (lane, seq) =>
    store.read(async (tx) => {
      const row = await tx.get<{ sets: string | null }>(
        "select sets from exception where lane = $1 and seq = $2",
        (await laneByName(tx, lane))?.id ?? null,
        seq,
      );
      return row?.sets == null ? null : (JSON.parse(row.sets) as KeySets);
    }),
  revisions: (lane, seq) => store.read(async (tx) => revisions(tx, (await laneByName(tx, lane))?.id ?? null, seq)),
  requeue: (lane, seq, by, reason, revision, basedOn) =>
    store.write(async (tx) => {
      await lockTerminals(tx, [lane]);
      await requeueOne(tx, lane, seq, by, reason, revision, basedOn);
    }),
  discard: (lane, seq, by, reason) =>
    store.write(async (tx) => {
      await lockTerminals(tx, [lane]);
      await discardOne(tx, lane, seq, by, reason);
    }),
});

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
  readonly trace: string | null;
  readonly revision: number | null;
  readonly route: string | null;
};

const SELECT = `
  select e.id, e.lane, l.terminal, l.epoch, e.seq, e.fault, e.detail, e.attempts, e.due_at as "dueAt",
         case when o.leased_by is not null and e.claimed_fence = o.fence and e.verb = 'load' and e.closed_at is null
           then 'processing' else e.state end as state,
         b.terminal as "behindTerminal", b.epoch as "behindEpoch", e.behind_seq as "behindSeq", e.behind_on as "behindOn",
         e.tables, e.since, e.trace, e.revision, e.route
  from exception e join lane l on l.id = e.lane join lane_out o on o.lane = e.lane left join lane b on b.id = e.behind_lane`;

const ONE = `${SELECT} where l.terminal = $1 and l.epoch = $2 and e.seq = $3`;

// Each part of the filter is always there and says yes when nobody asked: one statement, prepared once.
export const MATCHES = `e.state = any ($1::text[])
    and ($2::text is null or l.terminal = $2) and ($3::text is null or e.fault = $3)
    and ($4::text is null or e.tables ? $4)
    and ($5::text is null or exists (select from message_key k
      where k.value = $5 and k.terminal = l.terminal and k.lane = e.lane and k.seq = e.seq))
    and ($6::bigint is null or e.since >= $6) and ($7::bigint is null or e.since < $7)`;
export const filterValues = (filter: ExceptionFilter): SqlValue[] => [
  filter.states ?? OPEN_STATES,
  filter.terminal ?? null,
  filter.fault ?? null,
  filter.table ?? null,
  filter.key === undefined ? null : storable(searchKey(filter.key)),
  filter.since ?? null,
  filter.until ?? null,
];

const LIST = `${SELECT}
  where ${MATCHES} and e.id > $8 order by e.id limit $9`;

async function list(
  tx: Tx,
  filter: ExceptionFilter,
  limit: number,
  after: string | null,
): ReturnType<Exceptions["list"]> {
  const rows = await tx.all<StoredRow>(
    LIST,
    ...filterValues(filter),
    readCursor(after),
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
  dueAt: row.dueAt === NEVER_DUE ? null : row.dueAt,
  behind:
    row.behindTerminal === null || row.behindEpoch === null || row.behindSeq === null
      ? null
      : { lane: laneName(row.behindTerminal, row.behindEpoch), seq: row.behindSeq, on: row.behindOn ?? "" },
  route: row.route,
  tables: JSON.parse(row.tables) as string[],
  since: row.since,
  trace: row.trace,
  edited: row.revision !== null,
  revision: row.revision,
  holds: await countFollowers(tx, row.lane, row.seq),
});

async function groups(tx: Tx, filter: ExceptionFilter, limit: number): Promise<ExceptionGroup[]> {
  const rows = await tx.all<Omit<ExceptionGroup, "tables"> & { readonly tables: string }>(
    `select g.fault, g.tables, g.messages, g.terminals, g.since, n.since as newest, n.detail
     from (select e.fault, e.tables, count(*) as messages, count(distinct l.terminal) as terminals, min(e.since) as since,
                  max(e.id) as last
           from exception e join lane l on l.id = e.lane where ${MATCHES} group by e.fault, e.tables) g
     join exception n on n.id = g.last order by g.messages desc, g.last desc limit $8`,
    ...filterValues(filter),
    limit,
  );
  return rows.map((group) => ({ ...group, tables: JSON.parse(group.tables) as string[] }));
}
