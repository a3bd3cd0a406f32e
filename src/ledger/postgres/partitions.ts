import type { Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { LOCK } from "./lock.ts";
import type { Store } from "./store.ts";
import type { SqlValue, Tx } from "./tx.ts";

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;
/** Weeks that have their partitions before they begin: a hub that is away so long makes them at its start. */
const WEEKS_AHEAD = 4;
const TABLES = ["run", "event"] as const;
export type Partitioned = (typeof TABLES)[number];
const AT = { run: "received_at", event: "at" } as const satisfies Record<Partitioned, string>;

/** Makes the partitions of this week and the next ones where they are not there. Any hub may, at any time. */
export const makePartitions = (store: Store): Promise<void> =>
  store.write(async (tx) => {
    await tx.run(LOCK, store.address.schema);
    await makePartitionsIn(tx);
  });

/** Within a transaction that holds the lock. */
export async function makePartitionsIn(tx: Tx): Promise<void> {
  const present = new Set(await partitions(tx));
  const week = Math.floor(tx.now() / WEEK_MS);
  for (const table of TABLES) {
    const column = AT[table];
    for (let at = week; at <= week + WEEKS_AHEAD; at++) {
      const name = `${table}_${at}`;
      if (present.has(name)) continue;
      const [from, until] = [at * WEEK_MS, (at + 1) * WEEK_MS];
      // Rows that came before their partition stay in the default one, which then covers the week alone.
      const early = await tx.get(
        `select from ${table}_rest where ${column} >= $1 and ${column} < $2 limit 1`,
        from,
        until,
      );
      if (early) continue;
      await tx.run(`create table ${name} partition of ${table} for values from (${from}) to (${until})`);
    }
  }
}

/** What of a table with weekly partitions stays when a week goes. SQL over the partition's rows `r`, with `values` for its `$1` …; the first is the time up to which rows go. */
export type Weekly = {
  readonly table: Partitioned;
  /** Columns by which one row is found again; an index begins with them. */
  readonly key: readonly string[];
  readonly joins: string;
  readonly stays: string;
  readonly bytes: string;
  readonly at: string;
  readonly values: readonly SqlValue[];
};

/** Weeks that have a partition and ended before, the oldest first. */
export async function weeksBefore(tx: Tx, table: Partitioned, before: number): Promise<readonly number[]> {
  return (await weeksOf(tx, table)).filter((week) => (week + 1) * WEEK_MS <= before);
}

/** A week with more rows that stay is left for a later pass: moving them would take long. */
const MOST_MOVED = 20_000;
/** Dropping needs a moment alone with the table. Whoever works on it is not made to wait for longer than this. */
const ALONE_MS = 100;
const TRIES = 5;

/**
 * Drops a week's partition. Rows of it that stay move to the default partition in the same transaction; which they are is found before,
 * without a lock. That a row became unfinished in between needs a centre restored to a copy older than the time that messages are kept.
 */
export async function dropWeek(
  store: Store,
  { table, key, joins, stays, bytes, at, values }: Weekly,
  week: number,
): Promise<{ readonly removed: number; readonly bytes: number }> {
  const name = `${table}_${week}`;
  const types = key.map((_, place) => `$${place + 1}::bigint[]`).join(", ");
  const columns = key.join(", ");
  const { kept, size } = await store.read(async (tx) => ({
    kept: await tx.all<Readonly<Record<string, number>>>(
      `select ${key.map((column) => `r.${column}`).join(", ")} from ${name} r ${joins} where r.${at} < $1 and ${stays} limit ${MOST_MOVED + 1}`,
      ...values,
    ),
    size: await tx.get<{ rows: number; bytes: number }>(
      `select count(*)::bigint as rows, coalesce(sum(${bytes}), 0)::bigint as bytes from ${name} r`,
    ),
  }));
  if (kept.length > MOST_MOVED) return { removed: 0, bytes: 0 };
  for (let tries = 1; ; tries++) {
    try {
      const moved = await store.write(async (tx) => {
        await tx.run(LOCK, store.address.schema);
        await tx.run(`set local lock_timeout = ${ALONE_MS}`);
        await tx.run(`alter table ${table} detach partition ${name}`);
        const back = await tx.all<{ bytes: number }>(
          `insert into ${table} as r select * from ${name} where (${columns}) in (select * from unnest(${types}))
           returning ${bytes}::bigint as bytes`,
          ...key.map((column) => kept.map((row) => row[column] ?? 0)),
        );
        await tx.run(`drop table ${name}`);
        return back;
      });
      return {
        removed: (size?.rows ?? 0) - moved.length,
        bytes: (size?.bytes ?? 0) - moved.reduce((sum, row) => sum + row.bytes, 0),
      };
    } catch (thrown) {
      if (!(thrown instanceof WaybillError) || thrown.code !== "DATABASE_BUSY") throw thrown;
      if (tries === TRIES) return { removed: 0, bytes: 0 }; // the next pass finds it again
    }
  }
}

/** By the server's statistics: rows of the weeks that ended before, and of the default partition as far as counting goes quickly. */
export async function outlookOfWeeks(
  tx: Tx,
  table: Partitioned,
  before: number,
): Promise<{ readonly about: number; readonly oldest: Instant | null }> {
  const weeks = await weeksBefore(tx, table, before);
  const column = AT[table];
  const over = await tx.get<{ n: number }>(
    "select coalesce(sum(greatest(reltuples, 0)), 0)::bigint as n from pg_class where oid = any ($1::regclass[]::oid[])",
    weeks.map((week) => `${table}_${week}`),
  );
  const rest = await tx.get<{ n: number; oldest: Instant | null }>(
    `select count(*) filter (where at < $1)::int as n, min(at) as oldest
     from (select ${column} as at from ${table}_rest limit 10000) r`,
    before,
  );
  let oldest = rest?.oldest ?? null;
  for (const week of await weeksOf(tx, table)) {
    const row = await tx.get<{ at: Instant }>(`select ${column} as at from ${table}_${week} limit 1`);
    if (!row) continue;
    if (oldest === null || row.at < oldest) oldest = row.at; // the first one stored is near the front
    break;
  }
  return { about: (over?.n ?? 0) + (rest?.n ?? 0), oldest };
}

/** The oldest first. */
async function weeksOf(tx: Tx, table: Partitioned): Promise<readonly number[]> {
  const names = (await partitions(tx)).map((name) => name.split("_"));
  return names
    .filter(([of, week]) => of === table && week !== undefined && /^\d+$/.test(week))
    .map(([, week]) => Number(week))
    .toSorted((a, b) => a - b);
}

/** How far the partitions made ahead reach, and whether any row came to the default ones. */
export async function partitionsAhead(
  tx: Tx,
): Promise<{ readonly partitionsEndInSeconds: number; readonly rowsOutsidePartitions: boolean }> {
  const ends: number[] = [];
  for (const table of TABLES) ends.push(((await weeksOf(tx, table)).at(-1) ?? -1) + 1);
  const end = Math.min(...ends) * WEEK_MS;
  const rest = await tx.get<{ any: boolean }>(
    "select exists (select from run_rest) or exists (select from event_rest) as any",
  );
  return {
    partitionsEndInSeconds: Math.max(0, (end - tx.now()) / 1_000),
    rowsOutsidePartitions: rest?.any ?? false,
  };
}

/** Names of our own making: `run_2968`, `event_rest`. */
async function partitions(tx: Tx): Promise<string[]> {
  const rows = await tx.all<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent in ('run'::regclass, 'event'::regclass) order by c.relname`,
  );
  return rows.map(({ name }) => name);
}
