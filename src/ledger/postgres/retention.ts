import type { Instant } from "../../base/clock.ts";
import { updateId } from "../../base/ids.ts";
import {
  MARKS_A_PERIOD,
  type Keep,
  type Retention,
  type RetentionKind,
  type RetentionOutlook,
  type RetentionStep,
} from "../retention.ts";
import { dropWeek, outlookOfWeeks, weeksBefore, type Weekly } from "./partitions.ts";
import type { Store } from "./store.ts";
import { dropStrands } from "./strands.ts";
import type { Tx } from "./tx.ts";

export const retentionOn = (store: Store): Retention => ({
  step: (kind, keep, after, rows) => STEPS[kind](store, keep, after, rows),
  outlook: (keep) => store.read((tx) => outlook(tx, keep)),
  space: () =>
    store.read(async (tx) => {
      const row = await tx.get<{ bytes: number }>(
        `select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint as bytes from pg_class
         where relnamespace = $1::text::regnamespace and relkind = 'r'`,
        store.address.schema,
      );
      return { usedBytes: row?.bytes ?? 0, reusableBytes: 0 };
    }),
});

type Step = (store: Store, keep: Keep, after: number, rows: number) => Promise<RetentionStep>;
const NOTHING: RetentionStep = { removed: 0, bytes: 0, next: null };

/** `next` of messages and events is the week that was looked at last, and this once only the default partition is left. */
const REST = -1;

// ── messages and events: by the week, and the default partition by the row ──────────────────────────────────────────

/** Runs that stay, of the partition `r`. Gaps (runs without bytes) do: they link what is before and behind them, and cost nothing. */
const keptRuns = (keep: Keep, now: Instant): Weekly => ({
  table: "run",
  key: ["lane", "through_seq", "through_part"],
  joins: `join lane_in i on i.lane = r.lane
      left join (select lane, max(through) as through from loaded_mark where at <= $1 group by lane) m on m.lane = r.lane`,
  stays: `(r.bytes = 0 or r.through_seq >= i.sent_after or r.through_seq > coalesce(m.through, 0)
      or exists (select from exception e where e.lane = r.lane and e.seq between r.from_seq and r.through_seq
                 and (e.closed_at is null or e.closed_at >= $1 or e.state = 'discarded')))`,
  bytes: "r.bytes",
  at: "received_at",
  values: [now - keep.messagesMs],
});
const keptEvents = (keep: Keep, now: Instant): Weekly => ({
  table: "event",
  key: ["id", "at"],
  joins: "left join lane_out o on o.lane = r.lane",
  stays: `(r.lane is not null and (r.through_seq > o.loaded_through
      or exists (select from exception e where e.lane = r.lane and e.seq between r.from_seq and r.through_seq
                 and (e.closed_at is null or e.state = 'discarded'))))`,
  bytes: "0",
  at: "at",
  values: [now - keep.eventsMs],
});

async function messages(store: Store, keep: Keep, after: number, rows: number): Promise<RetentionStep> {
  if (after === 0) await store.write((tx) => markLanes(tx, keep));
  return weekly(store, keptRuns, keep.messagesMs, keep, after, rows);
}
const events: Step = (store, keep, after, rows) => weekly(store, keptEvents, keep.eventsMs, keep, after, rows);

async function weekly(
  store: Store,
  what: (keep: Keep, now: Instant) => Weekly,
  keptMs: number,
  keep: Keep,
  after: number,
  rows: number,
): Promise<RetentionStep> {
  if (after !== REST) {
    const { week, of } = await store.read(async (tx) => {
      const found = what(keep, tx.now());
      return { of: found, week: (await weeksBefore(tx, found.table, tx.now() - keptMs)).find((each) => each > after) };
    });
    if (week === undefined) return { ...NOTHING, next: REST };
    return { ...(await dropWeek(store, of, week)), next: week };
  }
  return store.write(async (tx) => {
    const { table, joins, stays, bytes, at, values } = what(keep, tx.now());
    const gone = await tx.all<{ bytes: number }>(
      `delete from ${table}_rest r where ctid = any (array(
         select r.ctid from ${table}_rest r ${joins} where r.${at} < $1 and not ${stays} limit ${rows}))
       returning ${bytes}::bigint as bytes`,
      ...values,
    );
    const removed = gone.reduce((sum, row) => sum + row.bytes, 0);
    return { removed: gone.length, bytes: removed, next: gone.length < rows ? null : REST };
  });
}

/** Notes how far the lanes are that got on since the last note, and forgets notes that later ones make needless. */
async function markLanes(tx: Tx, keep: Keep): Promise<void> {
  const now = tx.now();
  const newest = await tx.get<{ at: number | null }>("select max(at) as at from loaded_mark");
  if (newest?.at != null && newest.at > now - keep.messagesMs / MARKS_A_PERIOD) return;
  await tx.run(
    `insert into loaded_mark (lane, at, through)
     select o.lane, $1, o.loaded_through from lane_out o
     where o.loaded_through > coalesce((select max(m.through) from loaded_mark m where m.lane = o.lane), 0)
     on conflict do nothing`,
    now,
  );
  await tx.run(
    `delete from loaded_mark d where d.at < (select max(m.at) from loaded_mark m where m.lane = d.lane and m.at <= $1)`,
    now - keep.messagesMs,
  );
}

// ── the rest: by the row ───────────────────────────────────────────────────────────────────────────────────────────

/** A value goes when its message's line has gone. Values come in the order of messages, so the first whose line is in its time is the last to be looked at. */
function keys(store: Store, keep: Keep, after: number, rows: number): Promise<RetentionStep> {
  return store.write(async (tx) => {
    const page = await tx.all<{ id: number; at: Instant | null }>(
      `select k.id, r.at from (select id, lane, seq from message_key where id > $1 order by id limit $2) k
       left join lateral (
         select case when from_seq <= k.seq then received_at end as at from run
         where lane = k.lane and through_seq >= k.seq order by through_seq, through_part limit 1) r on true
       order by k.id`,
      after,
      rows,
    );
    const fresh = page.findIndex(({ at }) => at !== null && at >= tx.now() - keep.messagesMs);
    const spent = (fresh < 0 ? page : page.slice(0, fresh)).filter(({ at }) => at === null);
    if (spent.length > 0)
      await tx.run(
        "delete from message_key where id = any ($1::bigint[])",
        spent.map(({ id }) => id),
      );
    const isLast = fresh >= 0 || page.length < rows;
    return { removed: spent.length, bytes: 0, next: isLast ? null : (page.at(-1)?.id ?? null) };
  });
}

/** Those that were loaded late. A discarded one is all that says so (I1). */
function exceptions(store: Store, keep: Keep, after: number, rows: number): Promise<RetentionStep> {
  return store.write(async (tx) => {
    const page = await tx.all<{ id: number; lane: number; seq: number; spent: boolean }>(
      `select id, lane, seq, closed_at < $1 as spent from exception where state = 'loaded' and id > $2 order by id limit $3`,
      tx.now() - keep.messagesMs,
      after,
      rows,
    );
    const spent = page.filter((row) => row.spent);
    if (spent.length > 0) {
      await tx.run(
        "delete from revision where (lane, seq) in (select * from unnest($1::bigint[], $2::bigint[]))",
        spent.map(({ lane }) => lane),
        spent.map(({ seq }) => seq),
      );
      await tx.run(
        "delete from exception where id = any ($1::bigint[])",
        spent.map(({ id }) => id),
      );
    }
    return { removed: spent.length, bytes: 0, next: page.length < rows ? null : (page.at(-1)?.id ?? null) };
  });
}

/**
 * Up to where every terminal has applied the log that may come back for it. One that never applied anything since long before takes none:
 * it sends only.
 */
const UPDATES_DONE = `
  select coalesce(
    (select min(greatest(applied_through, began_after)) from terminal
     where state = 'enrolled' and coalesce(last_seen_at, enrolled_at) >= $1 and (applied_through > 0 or enrolled_at >= $2)),
    (select id from update_head)) as through`;

const updatesDone = async (tx: Tx, keep: Keep): Promise<number> =>
  (await tx.get<{ through: number }>(UPDATES_DONE, tx.now() - keep.awayMs, tx.now() - keep.updatesMs))?.through ?? 0;

function updates(store: Store, keep: Keep, _: number, rows: number): Promise<RetentionStep> {
  return store.write(async (tx) => {
    const page = await tx.all<{ id: number; bytes: number; at: Instant }>(
      "select id, bytes, at from update_entry where id <= $1 order by id limit $2",
      await updatesDone(tx, keep),
      rows,
    );
    const fresh = page.findIndex(({ at }) => at >= tx.now() - keep.updatesMs);
    const spent = fresh < 0 ? page : page.slice(0, fresh);
    const last = spent.at(-1);
    if (last === undefined) return NOTHING;
    await tx.run("delete from update_entry where id <= $1", last.id);
    await tx.run("update update_head set gone_through = greatest(gone_through, $1)", last.id);
    await dropStrands(tx, updateId(last.id));
    const bytes = spent.reduce((sum, entry) => sum + entry.bytes, 0);
    return { removed: spent.length, bytes, next: spent.length < rows ? null : last.id };
  });
}

const history: Step = (store, keep) =>
  store.write(async (tx) => ({
    ...NOTHING,
    removed: await tx.run("delete from minute where at < $1", tx.now() - keep.historyMs),
  }));

function lists(store: Store, keep: Keep, after: number, rows: number): Promise<RetentionStep> {
  return store.write(async (tx) => {
    const before = tx.now() - keep.eventsMs;
    if (after === 0) {
      const tokens = await tx.run("delete from token where coalesce(used_at, expires_at) < $1", before);
      return { removed: tokens, bytes: 0, next: 1 };
    }
    const bulk = await tx.get<{ id: number }>("select id from bulk where ended_at < $1 order by id limit 1", before);
    if (!bulk) return NOTHING;
    const removed = await tx.run(
      "delete from bulk_item where bulk = $1 and n in (select n from bulk_item where bulk = $1 limit $2)",
      bulk.id,
      rows,
    );
    if (removed < rows) await tx.run("delete from bulk where id = $1", bulk.id);
    return { removed, bytes: 0, next: 1 };
  });
}

const STEPS: Readonly<Record<RetentionKind, Step>> = { messages, keys, exceptions, events, updates, history, lists };

// ── outlook ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Counting stops here: an outlook is a word to people, and must not read millions of rows. */
const COUNTED = 10_000;

async function outlook(tx: Tx, keep: Keep): Promise<readonly RetentionOutlook[]> {
  const now = tx.now();
  const counted = async (from: string, at: string, before: number, order: string): Promise<Outlook> => {
    const row = await tx.get<{ about: number; oldest: Instant | null }>(
      `select count(*) filter (where at < $1)::int as about, min(at) as oldest
       from (select ${at} as at from ${from} order by ${order} limit ${COUNTED}) f`,
      before,
    );
    return row ?? { about: 0, oldest: null };
  };
  const done = await updatesDone(tx, keep);
  return [
    { kind: "messages", ...(await outlookOfWeeks(tx, "run", now - keep.messagesMs)) },
    {
      kind: "exceptions",
      ...(await counted("exception where state = 'loaded'", "closed_at", now - keep.messagesMs, "id")),
    },
    { kind: "events", ...(await outlookOfWeeks(tx, "event", now - keep.eventsMs)) },
    { kind: "updates", ...(await counted(`update_entry where id <= ${done}`, "at", now - keep.updatesMs, "id")) },
    { kind: "history", ...(await counted("minute", "at", now - keep.historyMs, "at")) },
  ];
}
type Outlook = Pick<RetentionOutlook, "about" | "oldest">;
