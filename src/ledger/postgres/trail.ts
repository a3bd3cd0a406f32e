import type { Instant } from "../../base/clock.ts";
import { laneName, type Epoch, type LaneName, type Seq, type TerminalId, type UpdateId } from "../../base/ids.ts";
import { LOOKED_BACK_EVENTS, PAGE_EVENTS } from "../events.ts";
import type { Event, EventFilter, Overview, Trail } from "../trail.ts";
import { arrivalsOf } from "./arrivals.ts";
import { note, WIDEST_SPAN } from "./events.ts";
import { laneByName } from "./lane-row.ts";
import { searchKey } from "../search-key.ts";
import { stateOf } from "./message-state.ts";
import type { Store } from "./store.ts";
import { json, storable, type Tx } from "./tx.ts";

export const trailOn = (store: Store): Trail => ({
  of: (lane, n) => store.read((tx) => eventsOf(tx, lane, n)),
  recent: (limit, before) =>
    store.read(async (tx) => (await tx.all<EventRow>(RECENT, before ?? Number.MAX_SAFE_INTEGER, limit)).map(shown)),
  newest: (filter, limit, before) => store.read((tx) => newest(tx, filter, limit, before)),
  state: (lane, n) =>
    store.read(async (tx) => {
      const row = await laneByName(tx, lane);
      return row ? stateOf(tx, row.id, n) : null;
    }),
  arrivals: (lane, before, span, limitBytes) => store.read((tx) => arrivalsOf(tx, lane, before, span, limitBytes)),
  find: (terminal, value, limit) => store.read((tx) => find(tx, terminal, storable(searchKey(value)), limit)),
  findAnywhere: (value, tags, at, limit) =>
    store.read((tx) => findAnywhere(tx, storable(searchKey(value)), tags, at === null ? null : storable(at), limit)),
  page: (filter, after) => store.read((tx) => page(tx, filter, after)),
  overview: () => store.read(overview),
  note: (kind, lane, by, detail) =>
    store.write(async (tx) => {
      const row = lane === null ? undefined : await laneByName(tx, lane);
      note(tx, kind, by, detail, row?.id ?? null);
    }),
});

async function find(tx: Tx, terminal: TerminalId, value: string, limit: number): ReturnType<Trail["find"]> {
  const rows = await tx.all<{ epoch: Epoch; seq: Seq }>(
    `select l.epoch, k.seq from message_key k join lane l on l.id = k.lane
     where k.terminal = $1 and k.value = $2 order by k.lane desc, k.seq desc limit $3`,
    terminal,
    value,
    limit,
  );
  return rows.map((row) => ({ lane: laneName(terminal, row.epoch), seq: row.seq }));
}

async function findAnywhere(
  tx: Tx,
  value: string,
  tags: Readonly<Record<string, string>>,
  at: string | null,
  limit: number,
): ReturnType<Trail["findAnywhere"]> {
  const rows = await tx.all<{ terminal: TerminalId; epoch: Epoch; seq: Seq }>(
    `select k.terminal, l.epoch, k.seq from message_key k join lane l on l.id = k.lane
     where k.value = $1 and ($2::jsonb = '{}' or exists (select from terminal t where t.id = k.terminal and t.tags @> $2))
       and ($3::text is null or k.terminal = $3 or exists (
         select from terminal t, jsonb_each_text(t.tags) g where t.id = k.terminal and g.value = $3))
     order by k.terminal, k.lane desc, k.seq desc limit $4`,
    value,
    json(tags),
    at,
    limit,
  );
  return rows.map((row) => ({ lane: laneName(row.terminal, row.epoch), seq: row.seq }));
}

type EventRow = Omit<Event, "lane"> & { readonly terminal: TerminalId | null; readonly epoch: Epoch | null };

const SELECT = `
  select e.id, e.at, l.terminal, l.epoch, e.from_seq as "from", e.through_seq as through, e.kind, e.actor, e.detail,
         x.trace, e.request_trace as "requestTrace"
  from event e left join lane l on l.id = e.lane
       left join exception x on x.lane = e.lane and x.seq = e.from_seq and e.through_seq = e.from_seq`;
const RECENT = `${SELECT} where e.id < $1 order by e.id desc limit $2`;

const PAGE = `${SELECT}
  where e.id > $1 and e.id <= $2 and ($3::bigint is null or e.at >= $3) and ($4::bigint is null or e.at < $4)
    and ($5::text is null or l.terminal = $5) and ($6::text is null or e.kind = $6) and ($7::text is null or e.actor = $7)
  order by e.id`;

async function page(tx: Tx, filter: EventFilter, given: number): ReturnType<Trail["page"]> {
  const { since, until, terminal, kind, actor } = filter;
  const bounds = await tx.get<{ first: number | null; last: number | null }>(
    // Ids are drawn before the commit, so within one instant they need not be in order: the edge is taken generously.
    `select (select min(id) from event where at >= $1) as first, (select max(id) from event) as last`,
    since ?? 0,
  );
  if (bounds?.first == null || bounds.last === null) return { events: [], next: null };
  const after = Math.max(given, bounds.first - 1);
  const through = after + PAGE_EVENTS;
  const events = await tx.all<EventRow>(
    PAGE,
    after,
    through,
    since ?? null,
    until ?? null,
    terminal ?? null,
    kind ?? null,
    actor === undefined ? null : storable(actor),
  );
  return { events: events.map(shown), next: through < bounds.last ? through : null };
}

const NEWEST = `${SELECT}
  where e.id < $1 and e.id >= $2 and ($3::bigint is null or e.at >= $3) and ($4::bigint is null or e.at < $4)
    and ($5::text is null or l.terminal = $5) and ($6::text is null or e.kind = $6) and ($7::text is null or e.actor = $7)
  order by e.id desc limit $8`;

async function newest(tx: Tx, filter: EventFilter, limit: number, given: number | null): ReturnType<Trail["newest"]> {
  const { since, until, terminal, kind, actor } = filter;
  const bounds = await tx.get<{ first: number | null; last: number | null }>(
    "select (select min(id) from event where at >= $1) as first, (select max(id) from event) as last",
    since ?? 0,
  );
  if (bounds?.first == null || bounds.last === null) return { events: [], next: null };
  const before = given ?? bounds.last + 1;
  const first = Math.max(bounds.first, before - LOOKED_BACK_EVENTS);
  const events = await tx.all<EventRow>(
    NEWEST,
    before,
    first,
    since ?? null,
    until ?? null,
    terminal ?? null,
    kind ?? null,
    actor === undefined ? null : storable(actor),
    limit,
  );
  const next = events.length === limit ? (events.at(-1)?.id ?? null) : first > bounds.first ? first : null;
  return { events: events.map(shown), next };
}

const shown = ({ terminal, epoch, ...event }: EventRow): Event => ({
  ...event,
  lane: terminal === null || epoch === null ? null : laneName(terminal, epoch),
});

/** One look-up per span: an event whose numbers fit in 2^k began less than 2^k before the one asked for. */
async function eventsOf(tx: Tx, lane: LaneName, n: Seq): Promise<Event[]> {
  const row = await laneByName(tx, lane);
  if (!row) return [];
  const events = await tx.all<EventRow>(
    `with recursive span (k) as (select 0::bigint union all select k + 1 from span where k < ${WIDEST_SPAN})
       select e.id, e.at, l.terminal, l.epoch, e.from_seq as "from", e.through_seq as through, e.kind, e.actor, e.detail,
              x.trace, e.request_trace as "requestTrace"
       from span join event e on e.lane = $1 and e.span = k and e.from_seq > $2 - (1::bigint << k::int) and e.from_seq <= $2
       join lane l on l.id = e.lane
       left join exception x on x.lane = e.lane and x.seq = e.from_seq and e.through_seq = e.from_seq
       where e.through_seq >= $2 order by e.id`,
    row.id,
    n,
  );
  return events.map(shown);
}

/** Reads one row a lane, never the messages. */
async function overview(tx: Tx): Promise<Overview> {
  const totals = await tx.get<{ received: number; loaded: number; backlog: number; lost: number }>(
    `select coalesce(sum(greatest(i.received_through, o.loaded_through)), 0)::bigint as received,
            coalesce(sum(o.loaded_through), 0)::bigint as loaded,
            coalesce(sum(greatest(0, i.received_through - o.loaded_through)), 0)::bigint as backlog,
            coalesce((select sum(through_seq - from_seq + 1) from missing), 0)::bigint as lost
     from lane_in i join lane_out o on o.lane = i.lane`,
  );
  const trouble = await tx.get<{ retrying: number; held: number; dead: number; discarded: number }>(
    `select coalesce(sum(retrying), 0)::bigint as retrying, coalesce(sum(held), 0)::bigint as held,
            coalesce(sum(dead), 0)::bigint as dead, coalesce(sum(discarded), 0)::bigint as discarded from lane_open`,
  );
  const { retrying, held, dead, discarded } = trouble ?? { retrying: 0, held: 0, dead: 0, discarded: 0 };
  const oldest = await tx.get<{ at: Instant | null }>(
    `select min((select received_at from run r where r.lane = o.lane and r.through_seq > o.loaded_through
                 order by r.through_seq, r.through_part limit 1)) as at
     from lane_out o join lane_in i on i.lane = o.lane where i.received_through > o.loaded_through`,
  );
  const enrolled = await tx.get<{ n: number }>("select count(*) as n from terminal where state = 'enrolled'");
  const head = await tx.get<{ id: UpdateId }>("select id from update_head");
  return {
    terminals: enrolled?.n ?? 0,
    received: totals?.received ?? 0,
    loaded: (totals?.loaded ?? 0) - retrying - held - dead - discarded - (totals?.lost ?? 0),
    backlog: totals?.backlog ?? 0,
    oldestReceivedAt: oldest?.at ?? null,
    retrying,
    held,
    dead,
    discarded: discarded + (totals?.lost ?? 0),
    updatesHead: head?.id ?? (0 as UpdateId),
  };
}
