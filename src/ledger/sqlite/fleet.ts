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
import { firstAt } from "./events.ts";
import type { Store } from "./store.ts";

export const fleetOn = (store: Store): Fleet => ({
  page: async (filter, limit, after) => page(store, filter, limit, after),
  of: async (terminal) => {
    const row = store.get<LineRow>(ONE, lastSign(store), terminal);
    return row ? lineOf(row) : null;
  },
  summary: async () => summary(store),
  day: async (terminal) => day(store, terminal),
});

const open = (what: string): string =>
  `exists (select 1 from lane l join lane_open x on x.lane = l.id where l.terminal = t.id and ${what} > 0)`;
/** Of terminal `t`; `?1` is when the last sign of life of one that is there may have been. */
const HEALTH = `case when ${open("x.dead")} then 'trouble' when t.state = 'revoked' then 'revoked'
  when t.last_seen_at is null or t.last_seen_at < ?1 then 'away' when ${open("x.retrying + x.held")} then 'waiting'
  else 'well' end`;

/** The lines of the terminals in `page`, a table of the statement with all columns of `terminal` and `health`. */
const LINES = `
  select t.id as terminal, t.tags, t.health, c.epoch, coalesce(m.received, 0) as received, coalesce(m.loaded, 0) as loaded,
         coalesce(m.waiting, 0) as waiting, coalesce(m.retrying, 0) as retrying, coalesce(m.held, 0) as held,
         coalesce(m.dead, 0) as dead, o.lag_ms as lagMs, t.last_seen_at as lastSeenAt, t.applied_through as appliedThrough
  from page t
  left join lane c on c.terminal = t.id and c.ended_at is null
  left join lane_out o on o.lane = c.id
  left join (
    select l.terminal, sum(max(i.received_through, p.loaded_through)) as received, sum(p.loaded_through) as loaded,
           sum(max(0, i.received_through - p.loaded_through)) as waiting,
           sum(x.retrying) as retrying, sum(x.held) as held, sum(x.dead) as dead
    from lane l join lane_in i on i.lane = l.id join lane_out p on p.lane = l.id left join lane_open x on x.lane = l.id
    where l.terminal in (select id from page) group by l.terminal
  ) m on m.terminal = t.id`;

const ONE = `with page as (select t.*, ${HEALTH} as health from terminal t where t.id = ?2) ${LINES}`;

const lastSign = (store: Store): number => store.now() - AWAY_MS;

function page(
  store: Store,
  { text = "", tags = {}, health }: FleetFilter,
  limit: number,
  after: TerminalId | null,
): TerminalLine[] {
  return store
    .all<LineRow>(
      `with page as (
         select t.*, ${HEALTH} as health from terminal t
         where t.id > ?2
           and (?3 = '' or instr(lower(t.id), ?3) > 0 or exists (
             select 1 from json_each(t.tags) g where instr(lower(g.value), ?3) > 0))
           and not exists (select 1 from json_each(?4) f where f.value is not (t.tags ->> ('$."' || f.key || '"')))
           and (?5 is null or ${HEALTH} = ?5)
         order by t.id limit ?6)
       ${LINES} order by t.id`,
      lastSign(store),
      after ?? "",
      text.toLowerCase(),
      JSON.stringify(tags),
      health ?? null,
      limit,
    )
    .map(lineOf);
}

function summary(store: Store): FleetSummary {
  const counts = store.all<HealthCount>(
    `select ${HEALTH} as health, count(*) as terminals from terminal t group by 1`,
    lastSign(store),
  );
  const first = store.all<LineRow>(
    `with known as materialized (select t.id, ${HEALTH} as health from terminal t),
     worst as materialized (
       select k.id, k.health, case k.health when 'trouble' then 0 when 'away' then 1 else 2 end as place
       from known k where k.health not in ('well', 'revoked')
       order by place, case place when 0 then (
         select sum(x.dead) from lane l join lane_open x on x.lane = l.id where l.terminal = k.id) end desc, k.id limit ?2),
     page as (select t.*, w.health, w.place from worst w join terminal t on t.id = w.id)
     ${LINES} order by t.place, m.dead desc, t.id`,
    lastSign(store),
    FIRST,
  );
  return { ...countsOf(counts), first: first.map(lineOf) };
}

/** The index of events by lane tells their ids, which grow with time: those before the day are left out without being read. */
function day(store: Store, terminal: TerminalId): DaySlot[] {
  const since = Math.floor((store.now() - DAY_MS) / SLOT_MS) * SLOT_MS;
  return store.all<DaySlot>(
    `select e.at / ${SLOT_MS} * ${SLOT_MS} as at,
            sum(case when e.kind = 'received' then e.through_seq - e.from_seq + 1 else 0 end) as received,
            sum(case when e.kind <> 'received' then e.through_seq - e.from_seq + 1 else 0 end) as loaded
     from lane l join event e indexed by event_of on e.lane = l.id
     where l.terminal = ?1 and e.id >= ?2 and e.at >= ?3 and e.kind in ('received', 'loaded', 'loaded late')
     group by 1 order by 1`,
    terminal,
    firstAt(store, since),
    since,
  );
}
