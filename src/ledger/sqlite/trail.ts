import type { Instant } from "../../base/clock.ts";
import { laneName, type Epoch, type LaneName, type Seq, type TerminalId, type UpdateId } from "../../base/ids.ts";
import { LOOKED_BACK_EVENTS, PAGE_EVENTS } from "../events.ts";
import type { Event, EventFilter, Overview, Trail } from "../trail.ts";
import { arrivalsOf } from "./arrivals.ts";
import { firstAt, lastEvent, note, WIDEST_SPAN } from "./events.ts";
import { laneByName } from "./lane-row.ts";
import { searchKey } from "../search-key.ts";
import { stateOf } from "./message-state.ts";
import type { Store } from "./store.ts";

export const trailOn = (store: Store): Trail => ({
  of: async (lane, n) => eventsOf(store, lane, n),
  recent: async (limit, before) =>
    store
      .all<EventRow>(`${SELECT} where e.id < ? order by e.id desc limit ?`, before ?? Number.MAX_SAFE_INTEGER, limit)
      .map(shown),
  newest: async (filter, limit, before) => newest(store, filter, limit, before),
  state: async (lane, n) => {
    const row = laneByName(store, lane);
    return row ? stateOf(store, row.id, n) : null;
  },
  arrivals: async (lane, before, span, limitBytes) => arrivalsOf(store, lane, before, span, limitBytes),
  find: async (terminal, value, limit) =>
    store
      .all<{ epoch: Epoch; seq: Seq }>(
        `select l.epoch, k.seq from message_key k join lane l on l.id = k.lane
         where k.terminal = ? and k.value = ? order by k.lane desc, k.seq desc limit ?`,
        terminal,
        searchKey(value),
        limit,
      )
      .map((row) => ({ lane: laneName(terminal, row.epoch), seq: row.seq })),
  findAnywhere: async (value, tags, at, limit) =>
    store
      .all<{ terminal: TerminalId; epoch: Epoch; seq: Seq }>(
        `select k.terminal, l.epoch, k.seq from message_key k join lane l on l.id = k.lane
         where k.value = ?1 and not exists (
           select 1 from json_each(?2) t where t.value is not (select tags ->> ('$."' || t.key || '"') from terminal where id = k.terminal))
           and (?3 is null or k.terminal = ?3 or exists (
             select 1 from terminal t, json_each(t.tags) g where t.id = k.terminal and g.value = ?3))
         order by k.terminal, k.lane desc, k.seq desc limit ?4`,
        searchKey(value),
        JSON.stringify(tags),
        at,
        limit,
      )
      .map((row) => ({ lane: laneName(row.terminal, row.epoch), seq: row.seq })),
  page: async (filter, after) => page(store, filter, after),
  overview: async () => overview(store),
  note: async (kind, lane, by, detail) =>
    store.write(() => note(store, kind, by, detail, lane === null ? null : (laneByName(store, lane)?.id ?? null))),
});

type EventRow = Omit<Event, "lane"> & { readonly terminal: TerminalId | null; readonly epoch: Epoch | null };

const SELECT = `
  select e.id, e.at, l.terminal, l.epoch, e.from_seq as "from", e.through_seq as through, e.kind, e.actor, e.detail,
         x.trace, e.request_trace as "requestTrace"
  from event e left join lane l on l.id = e.lane
       left join exception x on x.lane = e.lane and x.seq = e.from_seq and e.through_seq = e.from_seq`;

const PAGE = `${SELECT}
  where e.id > ?1 and e.id <= ?2 and (?3 is null or e.at >= ?3) and (?4 is null or e.at < ?4)
    and (?5 is null or l.terminal = ?5) and (?6 is null or e.kind = ?6) and (?7 is null or e.actor = ?7)
  order by e.id`;

function page(store: Store, filter: EventFilter, given: number): Awaited<ReturnType<Trail["page"]>> {
  const { since, until, terminal, kind, actor } = filter;
  const after = Math.max(given, since === undefined ? 0 : firstAt(store, since) - 1);
  const through = after + PAGE_EVENTS;
  const events = store.all<EventRow>(
    PAGE,
    after,
    through,
    since ?? null,
    until ?? null,
    terminal ?? null,
    kind ?? null,
    actor ?? null,
  );
  const end = until === undefined ? Number.MAX_SAFE_INTEGER : firstAt(store, until);
  return { events: events.map(shown), next: through < Math.min(lastEvent(store) + 1, end) ? through : null };
}

const NEWEST = `${SELECT}
  where e.id < ?1 and e.id >= ?2 and (?3 is null or e.at >= ?3) and (?4 is null or e.at < ?4)
    and (?5 is null or l.terminal = ?5) and (?6 is null or e.kind = ?6) and (?7 is null or e.actor = ?7)
  order by e.id desc limit ?8`;

function newest(
  store: Store,
  filter: EventFilter,
  limit: number,
  given: number | null,
): Awaited<ReturnType<Trail["newest"]>> {
  const { since, until, terminal, kind, actor } = filter;
  const before = given ?? lastEvent(store) + 1;
  const first = Math.max(1, before - LOOKED_BACK_EVENTS, since === undefined ? 0 : firstAt(store, since));
  const events = store.all<EventRow>(
    NEWEST,
    before,
    first,
    since ?? null,
    until ?? null,
    terminal ?? null,
    kind ?? null,
    actor ?? null,
    limit,
  );
  const next =
    events.length === limit ? (events.at(-1)?.id ?? null) : first === before - LOOKED_BACK_EVENTS ? first : null;
  return { events: events.map(shown), next };
}

const shown = ({ terminal, epoch, ...event }: EventRow): Event => ({
  ...event,
  lane: terminal === null || epoch === null ? null : laneName(terminal, epoch),
});

/** One look-up per span: an event whose numbers fit in 2^k began less than 2^k before the one asked for. */
function eventsOf(store: Store, lane: LaneName, n: Seq): Event[] {
  const row = laneByName(store, lane);
  if (!row) return [];
  return store
    .all<EventRow>(
      `with recursive span (k) as (select 0 union all select k + 1 from span where k < ${WIDEST_SPAN})
       select e.id, e.at, l.terminal, l.epoch, e.from_seq as "from", e.through_seq as through, e.kind, e.actor, e.detail,
              x.trace, e.request_trace as "requestTrace"
       from span cross join event e on e.lane = ?1 and e.span = k and e.from_seq > ?2 - (1 << k) and e.from_seq <= ?2
       join lane l on l.id = e.lane
       left join exception x on x.lane = e.lane and x.seq = e.from_seq and e.through_seq = e.from_seq
       where e.through_seq >= ?2 order by e.id`,
      row.id,
      n,
    )
    .map(shown);
}

type Trouble = {
  readonly retrying: number;
  readonly held: number;
  readonly dead: number;
  readonly discarded: number;
};

/** Reads one row a lane, never the messages. */
function overview(store: Store): Overview {
  const totals = store.get<{ received: number; loaded: number; backlog: number; lost: number }>(
    `select coalesce(sum(max(i.received_through, o.loaded_through)), 0) as received,
            coalesce(sum(o.loaded_through), 0) as loaded,
            coalesce(sum(max(0, i.received_through - o.loaded_through)), 0) as backlog,
            coalesce((select sum(through_seq - from_seq + 1) from missing), 0) as lost
     from lane_in i join lane_out o on o.lane = i.lane`,
  );
  const { retrying, held, dead, discarded } = store.get<Trouble>(
    `select coalesce(sum(retrying), 0) as retrying, coalesce(sum(held), 0) as held, coalesce(sum(dead), 0) as dead,
            coalesce(sum(discarded), 0) as discarded from lane_open`,
  ) ?? { retrying: 0, held: 0, dead: 0, discarded: 0 };
  const oldest = store.get<{ at: Instant | null }>(
    `select min((select received_at from run r where r.lane = o.lane and r.through_seq > o.loaded_through
                 order by r.through_seq, r.through_part limit 1)) as at
     from lane_out o join lane_in i on i.lane = o.lane where i.received_through > o.loaded_through`,
  );
  return {
    terminals: store.get<{ n: number }>("select count(*) as n from terminal where state = 'enrolled'")?.n ?? 0,
    received: totals?.received ?? 0,
    loaded: (totals?.loaded ?? 0) - retrying - held - dead - discarded - (totals?.lost ?? 0),
    backlog: totals?.backlog ?? 0,
    oldestReceivedAt: oldest?.at ?? null,
    retrying,
    held,
    dead,
    discarded: discarded + (totals?.lost ?? 0),
    updatesHead: store.get<{ id: UpdateId }>("select id from update_head")?.id ?? (0 as UpdateId),
  };
}
