import type { Upkeep, UpkeepFacts } from "../port.ts";
import { partitionsAhead } from "./partitions.ts";
import type { Store } from "./store.ts";
import type { Tx } from "./tx.ts";

/** Small tables that every batch writes to: dead rows of theirs are what a claim has to step over. */
const HOT = ["lane_in", "lane_out", "exception", "update_head", "seat"] as const;

export const upkeepOn = (store: Store): Upkeep => ({
  look: () =>
    store.read(async (tx): Promise<UpkeepFacts> => ({
      oldestSnapshot: await oldestSnapshot(tx),
      deadRows: await deadRows(tx, store.address.schema),
      ...(await partitionsAhead(tx)),
      replicationLagSeconds: await replicationLag(tx),
    })),
});

/**
 * Whoever keeps vacuum from clearing rows away longest: a session's transaction, or one that was prepared and forgotten.
 * Other users' sessions are seen with the right pg_read_all_stats.
 */
async function oldestSnapshot(tx: Tx): Promise<UpkeepFacts["oldestSnapshot"]> {
  const row = await tx.get<{ seconds: number; by: string }>(
    `select h.seconds::float8 as seconds, h.by from (
       select extract(epoch from clock_timestamp() - xact_start) as seconds, age(backend_xmin) as age,
              format('session %s of %s', pid, coalesce(nullif(application_name, ''), usename::text)) as by
       from pg_stat_activity
       where backend_xmin is not null and datname = current_database() and pid <> pg_backend_pid()
       union all
       select extract(epoch from clock_timestamp() - prepared), age(transaction), format('prepared transaction %s', gid)
       from pg_prepared_xacts where database = current_database()
     ) h order by h.age desc limit 1`,
  );
  return row === undefined ? null : { seconds: row.seconds, by: row.by };
}

async function deadRows(tx: Tx, schema: string): Promise<UpkeepFacts["deadRows"]> {
  const rows = await tx.all<{ name: string; dead: number; live: number }>(
    `select relname as name, n_dead_tup as dead, n_live_tup as live from pg_stat_user_tables
     where schemaname = $1 and relname = any ($2) order by relname`,
    schema,
    HOT,
  );
  return rows.map(({ name, dead, live }) => ({ table: name, dead, live }));
}

async function replicationLag(tx: Tx): Promise<number | null> {
  const row = await tx.get<{ seconds: number | null }>(
    "select max(extract(epoch from replay_lag))::float8 as seconds from pg_stat_replication",
  );
  return row?.seconds ?? null;
}
