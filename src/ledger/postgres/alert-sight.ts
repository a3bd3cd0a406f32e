import type { Instant } from "../../base/clock.ts";
import { laneName, type Epoch, type TerminalId } from "../../base/ids.ts";
import { DEAD_LOOKED_AT, HELD_LOOKED_AT } from "../alert-rows.ts";
import type { AlertLimits, AlertSight } from "../alerts.ts";
import type { Tx } from "./tx.ts";

const DAY_MS = 86_400_000;

/** Reads lanes, terminals and what is off the happy path, never messages or events. */
export async function lookForTrouble(tx: Tx, limits: AlertLimits): Promise<AlertSight> {
  const { heldMs, silent, skewMs, most } = limits;
  return {
    at: tx.now(),
    dead: await dead(tx, most),
    held: heldMs === null ? NONE : await held(tx, heldMs, most),
    silent: silent === null ? NONE : await silentTerminals(tx, silent, most),
    skewed: skewMs === null ? NONE : await skewed(tx, skewMs, most),
    backlog: await backlog(tx),
    restores: await restores(tx),
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

async function dead(tx: Tx, most: number): Promise<AlertSight["dead"]> {
  type Row = Omit<AlertSight["dead"][number], "tables"> & { readonly tables: string };
  const rows = await tx.all<Row>(
    `select fault, tables, count(*) as messages, count(distinct lane) as lanes, min(since) as since
     from (select fault, tables, lane, since from exception where state = 'dead' limit $1) d
     group by fault, tables order by messages desc, since limit $2`,
    DEAD_LOOKED_AT,
    most,
  );
  return rows.map(({ tables, ...row }) => ({ ...row, tables: JSON.parse(tables) as string[] }));
}

async function held(tx: Tx, heldMs: number, most: number): Promise<AlertSight["held"]> {
  type Row = { terminal: TerminalId; epoch: Epoch; messages: number; since: Instant; total: number };
  const { rows, count } = listed(
    await tx.all<Row>(
      `select l.terminal, l.epoch, h.messages, h.since, count(*) over () as total
       from (select lane, count(*) as messages, min(since) as since
             from (select lane, since from exception where state = 'held' and since <= $1 order by since limit $2) e
             group by lane) h
       join lane l on l.id = h.lane order by h.since limit $3`,
      tx.now() - heldMs,
      HELD_LOOKED_AT,
      most,
    ),
  );
  return { rows: rows.map(({ terminal, epoch, ...row }) => ({ lane: laneName(terminal, epoch), ...row })), count };
}

async function silentTerminals(
  tx: Tx,
  { factor, leastMs, newMs }: NonNullable<AlertLimits["silent"]>,
  most: number,
): Promise<AlertSight["silent"]> {
  type Row = AlertSight["silent"]["rows"][number] & { readonly total: number };
  return listed(
    await tx.all<Row>(
      `select id as terminal, last_seen_at as "lastSeenAt",
              case when gap_before_ms is not null then greatest(gap_ms, gap_before_ms) end as "usualMs", count(*) over () as total
       from terminal, alert_watch w
       where state = 'enrolled' and last_seen_at is not null and $1::bigint - greatest(last_seen_at, w.since) >
         case when gap_before_ms is null then $2::float8
              else greatest($3::float8, $4::float8 * greatest(gap_ms, gap_before_ms)) end
       order by last_seen_at, id limit $5`,
      tx.now(),
      newMs,
      leastMs,
      factor,
      most,
    ),
  );
}

async function skewed(tx: Tx, skewMs: number, most: number): Promise<AlertSight["skewed"]> {
  type Row = { terminal: TerminalId; skewMs: number; total: number };
  return listed(
    await tx.all<Row>(
      `select id as terminal, skew_ms as "skewMs", count(*) over () as total from terminal
       where state = 'enrolled' and abs(skew_ms) > $1 order by abs(skew_ms) desc, id limit $2`,
      skewMs,
      most,
    ),
  );
}

async function backlog(tx: Tx): Promise<AlertSight["backlog"]> {
  type Row = { messages: number; lanes: number; oldestAt: Instant | null; terminal: TerminalId; epoch: Epoch };
  const row = await tx.get<Row>(
    `select sum(waiting) over ()::bigint as messages, count(*) over () as lanes, at as "oldestAt", l.terminal, l.epoch
     from (select o.lane, i.received_through - o.loaded_through as waiting,
                  (select received_at from run r where r.lane = o.lane and r.through_seq > o.loaded_through
                   order by r.through_seq, r.through_part limit 1) as at
           from lane_out o join lane_in i on i.lane = o.lane where i.received_through > o.loaded_through) b
     join lane l on l.id = b.lane order by at nulls last limit 1`,
  );
  if (row === undefined) return { messages: 0, lanes: 0, oldestAt: null, lane: null };
  const { messages, lanes, oldestAt, terminal, epoch } = row;
  return { messages, lanes, oldestAt, lane: laneName(terminal, epoch) };
}

async function restores(tx: Tx): Promise<AlertSight["restores"]> {
  const row = await tx.get<AlertSight["restores"]>(
    `select (select count(*) from restored) as restored,
            (select coalesce(sum(through_seq - from_seq + 1), 0)::bigint from missing where noted_at > $1) as missing,
            (select count(*) from epoch_ask where allowed_by is null) as asks`,
    tx.now() - DAY_MS,
  );
  return row ?? { restored: 0, missing: 0, asks: 0 };
}
