import { WaybillError } from "../../../base/errors.ts";
import type { CapturePlan, CaptureReport } from "../../port.ts";
import { LOAD, quoted, type Connection } from "../connection.ts";
import type { Catalog, PostgresTable } from "../describe.ts";
import { INSTALLING } from "../load.ts";
import { ensureLayout, hasLayout, knownLayout } from "./layout.ts";
import { startResync } from "./resync.ts";
import { readPlan, readPosition, setOff, writePlan } from "./store.ts";
import { hasTables, makeTables } from "./tables.ts";
import {
  dropSql,
  functionSql,
  ROW_TRIGGER,
  rowFunction,
  rowSource,
  TRUNCATE_TRIGGER,
  triggerSql,
  truncateFunction,
  truncateSource,
} from "./triggers.ts";

/** Makes and checks our tables and triggers in the application's database. */
export class Installer {
  readonly #connection: Connection;
  readonly #catalog: Catalog;

  constructor(connection: Connection, catalog: Catalog) {
    this.#connection = connection;
    this.#catalog = catalog;
  }

  async install(plan: CapturePlan): Promise<CaptureReport> {
    await this.#catalog.refresh();
    if (!(await hasTables(this.#connection))) {
      await this.#connection.transaction(LOAD, async () => {
        await this.#connection.script(INSTALLING);
        await makeTables(this.#connection);
      });
    }
    const { plan: known, off } = await readPlan(this.#connection);
    if (JSON.stringify(known) !== JSON.stringify(plan)) await writePlan(this.#connection, plan);
    const removed = await this.#removeOthers(plan);
    const findings = await this.#look(plan);
    if (!off) await this.#make(findings, plan);
    const among = (state: Finding["state"]): string[] =>
      findings.filter((finding) => finding.state === state).map((finding) => finding.name);
    return {
      made: among("stale"),
      unchanged: among("sound"),
      removed,
      refused: findings.flatMap((one) => (one.state === "refused" ? [{ table: one.name, why: one.why }] : [])),
    };
  }

  /**
   * Makes triggers again that a migration has dropped or outdated, and begins to resynchronise their tables. Reads only, unless
   * there is something to mend.
   * @returns the tables whose rows may have changed unseen
   */
  async mend(): Promise<readonly string[]> {
    const { plan, off } = await readPlan(this.#connection);
    if (plan === null || off) return [];
    return this.#make(await this.#look(plan), plan);
  }

  async switch(state: "on" | "off"): Promise<void> {
    const { plan, off } = await readPlan(this.#connection);
    if (plan === null || off === (state === "off")) return;
    await this.#catalog.refresh();
    const tables = plan.tables.flatMap((name) => this.#catalog.tables.get(name) ?? []);
    if (state === "off") {
      for (const table of tables) await this.#drop(table);
      await setOff(this.#connection, true);
    } else {
      await setOff(this.#connection, false);
      await this.#make(await this.#look(plan), plan);
    }
    await this.#catalog.refresh();
  }

  /** @throws STATE_CONFLICT while changes wait, unless `lose` is set */
  async remove(options: { readonly lose: boolean }): Promise<void> {
    if (!(await hasTables(this.#connection))) return;
    await this.#catalog.refresh();
    await this.#connection.transaction(LOAD, async () => {
      for (const table of this.#catalog.tables.values())
        if (table.captured) await this.#connection.script(dropSql(table, await this.#leaves(table)));
      const { receivedThrough, packedThrough } = await readPosition(this.#connection);
      const [[rows] = []] = await this.#connection.query("select count(*) from public.waybill_outbox");
      if (!options.lose && (rows !== "0" || receivedThrough < packedThrough)) {
        const messages = packedThrough - receivedThrough;
        throw new WaybillError("STATE_CONFLICT", `${rows} changes and ${messages} messages wait to be sent`);
      }
      const ours = await this.#connection.query(
        `select 'function', p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname ~ '^waybill_(capture|truncate)_[0-9]+$'
         union all select 'table', c.oid::regclass::text from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relname like 'waybill\\_%' and c.relkind = 'r'`,
      );
      for (const [kind, name] of ours) await this.#connection.script(`drop ${kind} ${name}`);
    });
    await this.#catalog.refresh();
  }

  async #look(plan: CapturePlan): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    for (const name of plan.tables) findings.push(await this.#lookAt(name, plan));
    return findings;
  }

  async #lookAt(name: string, { role }: CapturePlan): Promise<Finding> {
    const table = this.#catalog.tables.get(name);
    const why = table ? unfit(table) : "there is no such table (views and foreign tables cannot be captured)";
    if (!table || why !== null) return { state: "refused", name, why: why ?? "" };
    const layout = await knownLayout(this.#connection, table);
    const leaves = await this.#leaves(table);
    const rows = await this.#connection.query(
      `select t.tgname, p.prosrc from pg_trigger t join pg_proc p on p.oid = t.tgfoid
       where t.tgrelid = any ($1::regclass[]) and t.tgname = any ($2::text[]) and t.tgenabled = 'A'`,
      [...new Set([table.sql, ...leaves])],
      [ROW_TRIGGER, TRUNCATE_TRIGGER],
    );
    const count = (trigger: string, source: string): number =>
      rows.filter(([called, stored]) => called === trigger && stored === source).length;
    // A partitioned table has the row trigger itself, and its clone on each leaf.
    const places = new Set([table.sql, ...leaves]).size;
    const isSound =
      layout !== null &&
      count(ROW_TRIGGER, rowSource(table, layout, role)) >= places &&
      count(TRUNCATE_TRIGGER, truncateSource(table, layout)) === leaves.length;
    if (isSound) return { state: "sound", name, table };
    // With the trigger in place and the columns as they were, nothing was missed: only the wording is new, or a leaf.
    const missing = !rows.some(([called]) => called === ROW_TRIGGER);
    const unseen = (await hasLayout(this.#connection, name)) && (missing || layout === null);
    return { state: "stale", name, table, leaves, unseen };
  }

  /**
   * One transaction for each table, which keeps its writers waiting for moments only. Of several processes that find the same
   * to do, one does it: each looks again when it is its turn. @returns the tables being resynchronised
   */
  async #make(findings: readonly Finding[], plan: CapturePlan): Promise<readonly string[]> {
    const remade: string[] = [];
    for (const finding of findings) {
      if (finding.state !== "stale") continue;
      const remakes = await this.#connection.transaction(LOAD, async () => {
        await this.#connection.script(INSTALLING);
        const now = await this.#lookAt(finding.name, plan);
        if (now.state !== "stale") return false;
        const { table, leaves, unseen } = now;
        const layout = await ensureLayout(this.#connection, table);
        await this.#connection.script(functionSql(rowFunction(layout), rowSource(table, layout, plan.role)));
        await this.#connection.script(functionSql(truncateFunction(layout), truncateSource(table, layout)));
        await this.#connection.script(triggerSql(table, layout, leaves));
        if (unseen) await startResync(this.#connection, table.name, null);
        return unseen;
      });
      if (remakes) remade.push(finding.name);
    }
    if (findings.some(({ state }) => state === "stale")) await this.#catalog.refresh();
    return remade;
  }

  /** Drops our triggers on tables that are not in the plan. */
  async #removeOthers(plan: CapturePlan): Promise<readonly string[]> {
    const others = [...this.#catalog.tables.values()].filter(
      (table) => table.captured && !plan.tables.includes(table.name),
    );
    for (const table of others) await this.#drop(table);
    if (others.length > 0) await this.#catalog.refresh();
    return others.map((table) => table.name);
  }

  async #drop(table: PostgresTable): Promise<void> {
    const sql = dropSql(table, await this.#leaves(table));
    await this.#connection.transaction(LOAD, () => this.#connection.script(sql));
  }

  /** The table itself, or the partitions that hold its rows. */
  async #leaves(table: PostgresTable): Promise<readonly string[]> {
    if (!table.partitioned) return [table.sql];
    const rows = await this.#connection.query(
      `select n.nspname, c.relname from pg_partition_tree($1::regclass) p
       join pg_class c on c.oid = p.relid join pg_namespace n on n.oid = c.relnamespace where p.isleaf order by 1, 2`,
      table.sql,
    );
    return rows.map(([schema, name]) => `${quoted(schema ?? "")}.${quoted(name ?? "")}`);
  }
}

function unfit(table: PostgresTable): string | null {
  if (table.key.length === 0)
    return "it has no key: declare a PRIMARY KEY, or a UNIQUE constraint over NOT NULL columns";
  const generated = table.columns.find((column) => column.generated && table.key.includes(column.name));
  return generated ? `its key column ${generated.name} is generated; declare a key of stored columns` : null;
}

type Finding =
  | { readonly state: "sound"; readonly name: string; readonly table: PostgresTable }
  /** `unseen`: the table was captured before, and may have changed since without our seeing it. */
  | {
      readonly state: "stale";
      readonly name: string;
      readonly table: PostgresTable;
      readonly leaves: readonly string[];
      readonly unseen: boolean;
    }
  | { readonly state: "refused"; readonly name: string; readonly why: string };
