import type { Instant } from "../../base/clock.ts";
import { laneName, type Epoch, type TerminalId } from "../../base/ids.ts";
import { DEAD_LOOKED_AT, HELD_LOOKED_AT } from "../alert-rows.ts";
import type { AlertLimits, AlertSight } from "../alerts.ts";
import type { Store } from "./store.ts";

const DAY_MS = 86_400_000;

/** Reads lanes, terminals and what is off the happy path, never messages or events. */
export function lookForTrouble(store: Store, limits: AlertLimits): AlertSight {
  const { heldMs, silent, skewMs, most } = limits;
  return {
    at: store.now(),
    dead: dead(store, most),
    held: heldMs === null ? NONE : held(store, heldMs, most),
    silent: silent === null ? NONE : silentTerminals(store, silent, most),
    skewed: skewMs === null ? NONE : skewed(store, skewMs, most),
    backlog: backlog(store),
    restores: restores(store),
  };
}

const NONE = { rows: [], count: 0 };

/** Rows that carry the count of all as `total`. */
function listed<Row extends { readonly total: number }>(
  rows: readonly Row[],
): {
  readonly rows: Omit<Row, "total">[];
  readonly count: number;
} {
  return { rows: rows.map(({ total: _, ...row }) => row), count: rows[0]?.total ?? 0 };
}

function dead(store: Store, most: number): AlertSight["dead"] {
  type Row = Omit<AlertSight["dead"][number], "tables"> & { readonly tables: string };
  return store
    .all<Row>(
      `select fault, tables, count(*) as messages, count(distinct lane) as lanes, min(since) as since
       from (select fault, tables, lane, since from exception where state = 'dead' limit ?)
       group by fault, tables order by messages desc, since limit ?`,
      DEAD_LOOKED_AT,
      most,
    )
    .map(({ tables, ...row }) => ({ ...row, tables: JSON.parse(tables) as string[] }));
}

function held(store: Store, heldMs: number, most: number): AlertSight["held"] {
  type Row = { terminal: TerminalId; epoch: Epoch; messages: number; since: Instant; total: number };
  const { rows, count } = listed(
    store.all<Row>(
      `select l.terminal, l.epoch, h.messages, h.since, count(*) over () as total
       from (select lane, count(*) as messages, min(since) as since
             from (select lane, since from exception where state = 'held' and since <= ?1 order by since limit ?2)
             group by lane) h
       join lane l on l.id = h.lane order by h.since limit ?3`,
      store.now() - heldMs,
      HELD_LOOKED_AT,
      most,
    ),
  );
  return { rows: rows.map(({ terminal, epoch, ...row }) => ({ lane: laneName(terminal, epoch), ...row })), count };
}

function silentTerminals(
  store: Store,
  { factor, leastMs, newMs }: NonNullable<AlertLimits["silent"]>,
  most: number,
): AlertSight["silent"] {
  type Row = AlertSight["silent"]["rows"][number] & { readonly total: number };
  return listed(
    store.all<Row>(
      `select id as terminal, last_seen_at as lastSeenAt,
              case when gap_before_ms is not null then max(coalesce(gap_ms, 0), gap_before_ms) end as usualMs, count(*) over () as total
       from terminal, alert_watch w
       where state = 'enrolled' and ?1 - max(last_seen_at, w.since) >
         case when gap_before_ms is null then ?2 else max(?3, ?4 * max(coalesce(gap_ms, 0), gap_before_ms)) end
       order by last_seen_at, id limit ?5`,
      store.now(),
      newMs,
      leastMs,
      factor,
      most,
    ),
  );
}

function skewed(store: Store, skewMs: number, most: number): AlertSight["skewed"] {
  type Row = { terminal: TerminalId; skewMs: number; total: number };
  return listed(
    store.all<Row>(
      `select id as terminal, skew_ms as skewMs, count(*) over () as total from terminal
       where state = 'enrolled' and abs(skew_ms) > ? order by abs(skew_ms) desc, id limit ?`,
      skewMs,
      most,
    ),
  );
}

function backlog(store: Store): AlertSight["backlog"] {
  type Row = { messages: number; lanes: number; oldestAt: Instant | null; terminal: TerminalId; epoch: Epoch };
  // Of the columns without an aggregate SQLite takes those of the row with the min().
  const row = store.get<Row>(
    `select sum(waiting) as messages, count(*) as lanes, min(at) as oldestAt, l.terminal, l.epoch
     from (select o.lane, i.received_through - o.loaded_through as waiting,
                  (select received_at from run r where r.lane = o.lane and r.through_seq > o.loaded_through
                   order by r.through_seq, r.through_part limit 1) as at
           from lane_out o join lane_in i on i.lane = o.lane where i.received_through > o.loaded_through) b
     join lane l on l.id = b.lane`,
  );
  if (!row || row.lanes === 0) return { messages: 0, lanes: 0, oldestAt: null, lane: null };
  const { messages, lanes, oldestAt, terminal, epoch } = row;
  return { messages, lanes, oldestAt, lane: laneName(terminal, epoch) };
}

function restores(store: Store): AlertSight["restores"] {
  const row = store.get<AlertSight["restores"]>(
    `select (select count(*) from restored) as restored,
            (select coalesce(sum(through_seq - from_seq + 1), 0) from missing where noted_at > ?) as missing,
            (select count(*) from epoch_ask where allowed_by is null) as asks`,
    store.now() - DAY_MS,
  );
  return row ?? { restored: 0, missing: 0, asks: 0 };
}
