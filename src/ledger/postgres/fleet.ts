import type { TerminalId } from "../../base/ids.ts";
import {
  AWAY_MS,
  countsOf,
  DAY_MS,
  FIRST,
  SLOT_MS,
  type DaySlot,
  type Fleet,
  type FleetFilter,
  type FleetSummary,
  lineOf,
  type HealthCount,
  type LineRow,
  type TerminalLine,
} from "../fleet.ts";
import type { Store } from "./store.ts";
import { json, storable, type Tx } from "./tx.ts";

export const fleetOn = (store: Store): Fleet => ({
  page: (filter, limit, after) => store.read((tx) => page(tx, filter, limit, after)),
  of: (terminal) =>
    store.read(async (tx) => {
      const row = await tx.get<LineRow>(ONE, lastSign(tx), terminal);
      return row ? lineOf(row) : null;
    }),
  summary: () => store.read(summary),
  day: (terminal) => store.read((tx) => day(tx, terminal)),
});

const open = (what: string): string =>
  `exists (select from lane l join lane_open x on x.lane = l.id where l.terminal = t.id and ${what} > 0)`;
/** Of terminal `t`; `$1` is when the last sign of life of one that is there may have been. */
const HEALTH = `case when ${open("x.dead")} then 'trouble' when t.state = 'revoked' then 'revoked'
  when t.last_seen_at is null or t.last_seen_at < $1 then 'away' when ${open("x.retrying + x.held")} then 'waiting'
  else 'well' end`;

/** The lines of the terminals in `page`, a table of the statement with all columns of `terminal` and `health`. */
const LINES = `
  select t.id as terminal, t.tags, t.health, c.epoch, coalesce(m.received, 0) as received, coalesce(m.loaded, 0) as loaded,
         coalesce(m.waiting, 0) as waiting, coalesce(m.retrying, 0) as retrying, coalesce(m.held, 0) as held,
         coalesce(m.dead, 0) as dead, o.lag_ms as "lagMs", t.last_seen_at as "lastSeenAt", t.applied_through as "appliedThrough"
  from page t
  left join lane c on c.terminal = t.id and c.ended_at is null
  left join lane_out o on o.lane = c.id
  left join (
    select l.terminal, sum(greatest(i.received_through, p.loaded_through))::bigint as received,
           sum(p.loaded_through)::bigint as loaded,
           sum(greatest(0, i.received_through - p.loaded_through))::bigint as waiting,
           sum(x.retrying)::bigint as retrying, sum(x.held)::bigint as held, sum(x.dead)::bigint as dead
    from lane l join lane_in i on i.lane = l.id join lane_out p on p.lane = l.id left join lane_open x on x.lane = l.id
    where l.terminal in (select id from page) group by l.terminal
  ) m on m.terminal = t.id`;

const ONE = `with page as (select t.*, ${HEALTH} as health from terminal t where t.id = $2) ${LINES}`;

const lastSign = (tx: Tx): number => tx.now() - AWAY_MS;

async function page(
  tx: Tx,
  { text = "", tags = {}, health }: FleetFilter,
  limit: number,
  after: TerminalId | null,
): Promise<TerminalLine[]> {
  const rows = await tx.all<LineRow>(
    `with known as (
       select t.*, ${HEALTH} as health from terminal t
       where t.id > $2
         and ($3 = '' or strpos(lower(t.id), $3) > 0 or exists (
           select from jsonb_each_text(t.tags) g where strpos(lower(g.value), $3) > 0))
         and t.tags @> $4::jsonb),
     page as (select * from known where $5::text is null or health = $5 order by id limit $6)
     ${LINES} order by t.id`,
    lastSign(tx),
    after ?? "",
    storable(text.toLowerCase()),
    json(tags),
    health ?? null,
    limit,
  );
  return rows.map(lineOf);
}

async function summary(tx: Tx): Promise<FleetSummary> {
  const counts = await tx.all<HealthCount>(
    `select ${HEALTH} as health, count(*) as terminals from terminal t group by 1`,
    lastSign(tx),
  );
  const first = await tx.all<LineRow>(
    `with known as (
       select t.*, ${HEALTH} as health,
              (select sum(x.dead) from lane l join lane_open x on x.lane = l.id where l.terminal = t.id) as letters
       from terminal t),
     page as (
       select * from known where health not in ('well', 'revoked')
       order by case health when 'trouble' then 0 when 'away' then 1 else 2 end, letters desc nulls last, id limit $2)
     ${LINES} order by case t.health when 'trouble' then 0 when 'away' then 1 else 2 end, m.dead desc nulls last, t.id`,
    lastSign(tx),
    FIRST,
  );
  return { ...countsOf(counts), first: first.map(lineOf) };
}

function day(tx: Tx, terminal: TerminalId): Promise<DaySlot[]> {
  const since = Math.floor((tx.now() - DAY_MS) / SLOT_MS) * SLOT_MS;
  return tx.all<DaySlot>(
    `select e.at / $2 * $2 as at,
            coalesce(sum(e.through_seq - e.from_seq + 1) filter (where e.kind = 'received'), 0)::bigint as received,
            coalesce(sum(e.through_seq - e.from_seq + 1) filter (where e.kind <> 'received'), 0)::bigint as loaded
     from lane l join event e on e.lane = l.id
     where l.terminal = $1 and e.at >= $3 and e.kind in ('received', 'loaded', 'loaded late')
     group by 1 order by 1`,
    terminal,
    SLOT_MS,
    since,
  );
}
