import { instant, later, type Instant } from "../../base/clock.ts";
import { LOCK } from "./lock.ts";
import type { Store } from "./store.ts";
import type { Tx } from "./tx.ts";

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;
/** Weeks that have their partitions before they begin: a hub that is away so long makes them at its start. */
const WEEKS_AHEAD = 4;
const TABLES = ["run", "event"] as const;

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
    const column = table === "run" ? "received_at" : "at";
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

/**
 * Drops whole weeks that ended before `before`: of events all, of runs only those whose every message is loaded in order or
 * given up and named by no open exception (I7). Gives the names of what was dropped.
 */
export const dropPartitions = (store: Store, before: Instant): Promise<readonly string[]> =>
  store.write(async (tx) => {
    await tx.run(LOCK, store.address.schema);
    const dropped: string[] = [];
    for (const name of await partitions(tx)) {
      const [table, week] = name.split("_");
      if (week === undefined || !/^\d+$/.test(week)) continue;
      if (later(instant(Number(week) * WEEK_MS), WEEK_MS) > before) continue;
      if (table === "run" && (await holdsUnfinished(tx, name))) continue;
      await tx.run(`drop table ${name}`);
      dropped.push(name);
    }
    return dropped;
  });

/** How far the partitions made ahead reach, and whether any row came to the default ones. */
export async function partitionsAhead(
  tx: Tx,
): Promise<{ readonly partitionsEndInSeconds: number; readonly rowsOutsidePartitions: boolean }> {
  const weeks = (await partitions(tx)).map((name) => name.split("_") as [table: string, week: string]);
  const last = (table: string): number =>
    Math.max(0, ...weeks.filter(([of, week]) => of === table && week !== "rest").map(([, week]) => Number(week) + 1));
  const end = Math.min(...TABLES.map(last)) * WEEK_MS;
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

const holdsUnfinished = async (tx: Tx, partition: string): Promise<boolean> =>
  (await tx.get(
    `select from ${partition} r join lane_out o on o.lane = r.lane
     where r.through_seq > o.loaded_through
        or exists (select from exception e where e.lane = r.lane and e.closed_at is null
                   and e.seq between r.from_seq and r.through_seq) limit 1`,
  )) !== undefined;
