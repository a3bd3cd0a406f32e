import { readFileSync, readdirSync } from "node:fs";
import { instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { SYSTEM } from "../../base/ids.ts";
import { LOCK } from "./lock.ts";
import { makePartitionsIn } from "./partitions.ts";
import { newerThan, type Store } from "./store.ts";

const FOLDER = new URL("./migrations/", import.meta.url);
type Migration = { readonly version: number; readonly name: string; readonly safeFor: number; readonly sql: string };

/** Files `0001-name.sql`, numbered without gaps, each beginning with the oldest form that may still work after it. */
export function migrations(): readonly Migration[] {
  const names = readdirSync(FOLDER)
    .filter((name) => name.endsWith(".sql"))
    .toSorted();
  return names.map((name, at) => {
    const sql = readFileSync(new URL(name, FOLDER), "utf8");
    const safeFor = Number(/^-- safe for: (\d+)\n/.exec(sql)?.[1]);
    if (Number(name.slice(0, 4)) !== at + 1 || !(safeFor >= 1 && safeFor <= at + 1)) {
      throw new WaybillError("INTERNAL", `migration ${name} should be number ${at + 1} and say what it is safe for`);
    }
    return { version: at + 1, name, safeFor, sql };
  });
}

/**
 * Brings the ledger to the newest form in one transaction, alone: hubs that start together wait for the first. Hubs that
 * run meanwhile go on when the steps are safe for them, and stop at their next transaction when not.
 * @throws SCHEMA_NEWER; CONFIG_INVALID when the schema is another program's.
 */
export async function migrate(store: Store): Promise<void> {
  const known = migrations();
  const { schema } = store.address;
  await store.script(async (client) => {
    try {
      await client.query("begin");
      await client.query(LOCK, [schema]);
      await client.query(`create schema if not exists "${schema}"`);
      await client.query(`set local search_path = "${schema}"`);
      const found = await client.query<{ ours: boolean; tables: number }>(
        `select bool_or(tablename = 'ledger_form') as ours, count(*)::int as tables from pg_tables where schemaname = $1`,
        [schema],
      );
      const { ours, tables } = found.rows[0] ?? { ours: false, tables: 0 };
      if (!ours && tables > 0) {
        throw new WaybillError("CONFIG_INVALID", `the schema ${schema} named for the ledger is another program's`);
      }
      if (!ours) await client.query(FORM);
      const forms = await client.query<{ version: number; safe: number }>(
        "select coalesce(max(version), 0)::int as version, coalesce(max(safe_for), 0)::int as safe from ledger_form",
      );
      const { version, safe } = forms.rows[0] ?? { version: 0, safe: 0 };
      if (safe > known.length) throw newerThan(known.length, safe);
      const steps = known.slice(version);
      for (const step of steps) await client.query(step.sql);
      // Before the first event: one in the default partition would keep its week there for good.
      const { rows: clock } = await client.query<{ now: number }>("select ledger_now()::float8 as now");
      await makePartitionsIn(store.tx(client, instant(clock[0]?.now ?? 0)));
      for (const step of steps) {
        await client.query("insert into ledger_form (version, safe_for, name) values ($1, $2, $3)", [
          step.version,
          step.safeFor,
          step.name,
        ]);
        await client.query(
          `insert into event (at, lane, from_seq, through_seq, span, kind, actor, detail)
           values (ledger_now(), null, 0, 0, 0, 'ledger migrated', $1, $2)`,
          [SYSTEM, step.name],
        );
      }
      await client.query("commit");
    } catch (thrown) {
      await client.query("rollback").catch(() => undefined); // a broken connection has rolled back by itself
      throw thrown;
    }
  });
  store.form = known.length;
}

const FORM = `create table ledger_form (
  version integer primary key,
  safe_for integer not null check (safe_for between 1 and version), -- the oldest form a process must know to work with this one
  name text not null,
  made_at timestamptz not null default now()
)`;

/** A reader does not migrate: it says so when the ledger is not (yet, or any more) one it can read. */
export async function requireForm(store: Store): Promise<void> {
  store.form = migrations().length;
  try {
    await store.read(async () => undefined);
  } catch (thrown) {
    if (thrown instanceof WaybillError && thrown.code === "INTERNAL") {
      throw new WaybillError("DATABASE_UNAVAILABLE", "the ledger has not been opened by this version yet", {
        cause: thrown,
      });
    }
    throw thrown;
  }
}
