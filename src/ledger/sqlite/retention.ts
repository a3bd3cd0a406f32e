import { instant, type Instant } from "../../base/clock.ts";
import { updateId } from "../../base/ids.ts";
import { MARKS_A_PERIOD, type Keep, type Retention, type RetentionKind, type RetentionStep } from "../retention.ts";
import type { Store } from "./store.ts";
import { dropStrands } from "./strands.ts";

export const retentionOn = (store: Store): Retention => ({
  step: async (kind, keep, after, rows) => store.write(() => STEPS[kind](store, keep, after, rows)),
  outlook: async (keep) => {
    const now = store.now();
    return [
      { kind: "messages", ...span(store, "run", "received_at", now - keep.messagesMs) },
      { kind: "exceptions", ...closed(store, now - keep.messagesMs) },
      { kind: "events", ...span(store, "event", "at", now - keep.eventsMs) },
      { kind: "updates", ...spentUpdates(store, keep) },
      { kind: "history", ...oldMinutes(store, now - keep.historyMs) },
    ];
  },
  space: async () => {
    const pragma = (name: "page_size" | "page_count" | "freelist_count"): number =>
      Object.values(store.get<Record<string, number>>(`pragma ${name}`) ?? {})[0] ?? 0;
    const [size, free] = [pragma("page_size"), pragma("freelist_count")];
    return { usedBytes: (pragma("page_count") - free) * size, reusableBytes: free * size };
  },
});

type Step = (store: Store, keep: Keep, after: number, rows: number) => RetentionStep;

type Row = { readonly id: number; readonly bytes: number; readonly old: 0 | 1; readonly spent: 0 | 1 };

/** From a page in the order of coming: rows of the table that may go, up to the first that is still in its time. */
function removePage(
  store: Store,
  table: "run" | "event" | "message_key",
  page: readonly Row[],
  rows: number,
): RetentionStep {
  const fresh = page.findIndex(({ old }) => old === 0);
  const seen = fresh < 0 ? page : page.slice(0, fresh);
  const spent = seen.filter((row) => row.spent === 1);
  if (spent.length > 0)
    store.run(
      `delete from ${table} where id in (select value from json_each(?))`,
      JSON.stringify(spent.map(({ id }) => id)),
    );
  const isLast = fresh >= 0 || page.length < rows;
  return {
    removed: spent.length,
    bytes: spent.reduce((sum, { bytes }) => sum + bytes, 0),
    next: isLast ? null : (page.at(-1)?.id ?? null),
  };
}

/** Gaps (runs without bytes) stay: they link what is before and behind them, and cost nothing. */
const SPENT_RUNS = `
  select p.id, p.bytes, p.received_at < ?3 as old,
         p.bytes > 0 and p.through_seq < i.sent_after
         and p.through_seq <= coalesce((select max(m.through) from loaded_mark m where m.lane = p.lane and m.at <= ?3), 0)
         and not exists (select 1 from exception e where e.lane = p.lane and e.seq between p.from_seq and p.through_seq
           and (e.closed_at is null or e.closed_at >= ?3 or e.state = 'discarded')) as spent
  from (select id, lane, from_seq, through_seq, bytes, received_at from run where id > ?1 order by id limit ?2) p
  join lane_in i on i.lane = p.lane order by p.id`;

function messages(store: Store, keep: Keep, after: number, rows: number): RetentionStep {
  const now = store.now();
  if (after === 0) markLanes(store, keep, now);
  const page = store.all<Row>(SPENT_RUNS, after, rows, now - keep.messagesMs);
  return removePage(store, "run", page, rows);
}

/** Notes how far the lanes are that got on since the last note, and forgets notes that later ones make needless. */
function markLanes(store: Store, keep: Keep, now: Instant): void {
  const due = now - keep.messagesMs / MARKS_A_PERIOD;
  const newest = store.get<{ at: number | null }>("select max(at) as at from loaded_mark")?.at ?? null;
  if (newest !== null && newest > due) return;
  store.run(
    `insert into loaded_mark (lane, at, through)
     select o.lane, ?, o.loaded_through from lane_out o
     where o.loaded_through > coalesce((select max(m.through) from loaded_mark m where m.lane = o.lane), 0)`,
    now,
  );
  store.run(
    `delete from loaded_mark where at < (
       select max(m.at) from loaded_mark m where m.lane = loaded_mark.lane and m.at <= ?)`,
    now - keep.messagesMs,
  );
}

// A value goes when its message's line has gone. Values come in the order of messages, so the first whose line is in its time is the last to be looked at.
const SPENT_KEYS = `
  select id, 0 as bytes, coalesce(at < ?3, 1) as old, at is null as spent
  from (
    select k.id, (select case when r.from_seq <= k.seq then r.received_at end from run r
                  where r.lane = k.lane and r.through_seq >= k.seq order by r.through_seq, r.through_part limit 1) as at
    from (select id, lane, seq from message_key where id > ?1 order by id limit ?2) k)
  order by id`;

const keys: Step = (store, keep, after, rows) =>
  removePage(store, "message_key", store.all<Row>(SPENT_KEYS, after, rows, store.now() - keep.messagesMs), rows);

/** Those that were loaded late. A discarded one is all that says so (I1). */
function exceptions(store: Store, keep: Keep, after: number, rows: number): RetentionStep {
  const page = store.all<{ id: number; lane: number; seq: number; spent: 0 | 1 }>(
    `select id, lane, seq, closed_at < ? as spent from exception where state = 'loaded' and id > ? order by id limit ?`,
    store.now() - keep.messagesMs,
    after,
    rows,
  );
  const spent = page.filter((row) => row.spent === 1);
  for (const { id, lane, seq } of spent) {
    store.run("delete from revision where lane = ? and seq = ?", lane, seq);
    store.run("delete from exception where id = ?", id);
  }
  return { removed: spent.length, bytes: 0, next: page.length < rows ? null : (page.at(-1)?.id ?? null) };
}

const SPENT_EVENTS = `
  select p.id, 0 as bytes, p.at < ?3 as old,
         p.lane is null or p.through_seq <= o.loaded_through and not exists (
           select 1 from exception e where e.lane = p.lane and e.seq between p.from_seq and p.through_seq
             and (e.closed_at is null or e.state = 'discarded')) as spent
  from (select id, at, lane, from_seq, through_seq from event where id > ?1 order by id limit ?2) p
  left join lane_out o on o.lane = p.lane order by p.id`;

const events: Step = (store, keep, after, rows) =>
  removePage(store, "event", store.all<Row>(SPENT_EVENTS, after, rows, store.now() - keep.eventsMs), rows);

/**
 * Up to where every terminal has applied the log that may come back for it. One that never applied anything since long before takes none:
 * it sends only.
 */
const UPDATES_DONE = `
  select coalesce(
    (select min(max(applied_through, began_after)) from terminal
     where state = 'enrolled' and coalesce(last_seen_at, enrolled_at) >= ?1 and (applied_through > 0 or enrolled_at >= ?2)),
    (select id from update_head)) as through`;

const updatesDone = (store: Store, keep: Keep): number =>
  store.get<{ through: number }>(UPDATES_DONE, store.now() - keep.awayMs, store.now() - keep.updatesMs)?.through ?? 0;

function updates(store: Store, keep: Keep, _: number, rows: number): RetentionStep {
  const done = updatesDone(store, keep);
  const page = store.all<{ id: number; bytes: number; at: Instant }>(
    "select id, bytes, at from update_entry where id <= ? order by id limit ?",
    done,
    rows,
  );
  const fresh = page.findIndex(({ at }) => at >= store.now() - keep.updatesMs);
  const spent = fresh < 0 ? page : page.slice(0, fresh);
  const last = spent.at(-1);
  if (last === undefined) return NOTHING;
  store.run("delete from update_entry where id <= ?", last.id);
  store.run("update update_head set gone_through = max(gone_through, ?)", last.id);
  dropStrands(store, updateId(last.id));
  const bytes = spent.reduce((sum, entry) => sum + entry.bytes, 0);
  return { removed: spent.length, bytes, next: spent.length < rows ? null : last.id };
}

const history: Step = (store, keep) => ({
  ...NOTHING,
  removed: store.run("delete from minute where at < ?", store.now() - keep.historyMs),
});

function lists(store: Store, keep: Keep, after: number, rows: number): RetentionStep {
  const before = store.now() - keep.eventsMs;
  if (after === 0) {
    const tokens = store.run("delete from token where coalesce(used_at, expires_at) < ?", before);
    return { removed: tokens, bytes: 0, next: 1 };
  }
  const bulk = store.get<{ id: number }>("select id from bulk where ended_at < ? order by id limit 1", before);
  if (!bulk) return NOTHING;
  const removed = store.run(
    "delete from bulk_item where bulk = ?1 and n in (select n from bulk_item where bulk = ?1 limit ?2)",
    bulk.id,
    rows,
  );
  if (removed < rows) store.run("delete from bulk where id = ?", bulk.id);
  return { removed, bytes: 0, next: 1 };
}

const NOTHING: RetentionStep = { removed: 0, bytes: 0, next: null };

const STEPS: Readonly<Record<RetentionKind, Step>> = { messages, keys, exceptions, events, updates, history, lists };

// ── outlook ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Outlook = { readonly about: number; readonly oldest: Instant | null };
/** Counting stops here: an outlook is a word to people, and must not read millions of rows. */
const COUNTED = 10_000;

/** Ids grow with time: what lies before the first row in its time is found by halving, and counted by its ids. */
function span(store: Store, table: "run" | "event", column: "received_at" | "at", before: number): Outlook {
  const row = (from: number) =>
    store.get<{ id: number; at: Instant }>(
      `select id, ${column} as at from ${table} where id >= ? order by id limit 1`,
      from,
    );
  const first = row(0);
  if (!first) return { about: 0, oldest: null };
  let low = first.id;
  let high = (store.get<{ id: number }>(`select max(id) as id from ${table}`)?.id ?? 0) + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const found = row(middle);
    if (found && found.at < before) low = found.id + 1;
    else high = middle;
  }
  return { about: low - first.id, oldest: first.at };
}

function closed(store: Store, before: number): Outlook {
  const of = "from exception where state = 'loaded'";
  return {
    about:
      store.get<{ n: number }>(
        `select count(*) as n from (select closed_at ${of} limit ?) where closed_at < ?`,
        COUNTED,
        before,
      )?.n ?? 0,
    oldest: store.get<{ at: Instant }>(`select closed_at as at ${of} order by id limit 1`)?.at ?? null,
  };
}

function spentUpdates(store: Store, keep: Keep): Outlook {
  const done = updatesDone(store, keep);
  return {
    about:
      store.get<{ n: number }>(
        "select count(*) as n from (select at from update_entry where id <= ? order by id limit ?) where at < ?",
        done,
        COUNTED,
        store.now() - keep.updatesMs,
      )?.n ?? 0,
    oldest: store.get<{ at: Instant }>("select at from update_entry order by id limit 1")?.at ?? null,
  };
}

function oldMinutes(store: Store, before: number): Outlook {
  const row = store.get<{ n: number }>("select count(*) as n from minute where at < ?", before);
  const oldest = store.get<{ at: number | null }>("select min(at) as at from minute")?.at ?? null;
  return { about: row?.n ?? 0, oldest: oldest === null ? null : instant(oldest) };
}
