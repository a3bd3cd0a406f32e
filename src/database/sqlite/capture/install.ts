import { WaybillError } from "../../../base/errors.ts";
import type { CapturePlan, CaptureReport, CaptureRole } from "../../port.ts";
import { quoted, type Connection } from "../connection.ts";
import { OURS, type Catalog } from "../describe.ts";
import { ensureLayout, hasLayout, knownLayout } from "./layout.ts";
import { startResync } from "./resync.ts";
import { subjectOf, type Subject } from "./subject.ts";
import { hasTables, makeTables, widen, widthOf } from "./tables.ts";
import { EVENTS, triggerName, triggersFor, type Trigger } from "./triggers.ts";
import { isOff, readPlan, readPosition, setOff, writePlan } from "./store.ts";

/** Makes and checks our tables and triggers in the application's database. */
export class Installer {
  readonly #connection: Connection;
  readonly #catalog: Catalog;

  constructor(connection: Connection, catalog: Catalog) {
    this.#connection = connection;
    this.#catalog = catalog;
  }

  install(plan: CapturePlan): CaptureReport {
    if (this.#isDone(plan)) return { made: [], unchanged: plan.tables, removed: [], refused: [] };
    return this.#connection.immediate(() => {
      makeTables(this.#connection);
      writePlan(this.#connection, plan);
      const findings = this.#look(plan);
      const removed = this.#removeOthers(plan);
      if (!isOff(this.#connection)) this.#make(findings, plan.role);
      return {
        made: findings.flatMap((finding) => (finding.state === "stale" ? [finding.subject.table] : [])),
        unchanged: findings.flatMap((finding) => (finding.state === "sound" ? [finding.subject.table] : [])),
        removed,
        refused: findings.flatMap((finding) =>
          finding.state === "refused" ? [{ table: finding.table, why: finding.why }] : [],
        ),
      };
    });
  }

  /**
   * Makes triggers again that an application's migration has dropped or outdated, and begins to resynchronise their tables.
   * Reads only, unless there is something to mend.
   * @returns the tables whose rows may have changed unseen
   */
  mend(): readonly string[] {
    const plan = readPlan(this.#connection);
    if (plan === null || isOff(this.#connection)) return [];
    const needsWork = this.#connection.snapshot(() => this.#look(plan).some((finding) => finding.state === "stale"));
    if (!needsWork) return [];
    return this.#connection.immediate(() => this.#make(this.#look(plan), plan.role));
  }

  /** Off: our triggers are gone, and stay so over restarts. On: they are made again and every table is resynchronised. */
  switch(state: "on" | "off"): void {
    const plan = readPlan(this.#connection);
    if (plan === null) throw new WaybillError("STATE_CONFLICT", "capture is not installed");
    if ((state === "off") === isOff(this.#connection)) return;
    this.#connection.immediate(() => {
      setOff(this.#connection, state === "off");
      if (state === "off") this.#removeOthers({ ...plan, tables: [] });
      else this.#make(this.#look(plan), plan.role);
    });
  }

  /** @throws STATE_CONFLICT while changes wait, unless `lose` is set */
  remove(options: { readonly lose: boolean }): void {
    if (!hasTables(this.#connection)) return;
    this.#connection.immediate(() => {
      const { packedThrough, receivedThrough } = readPosition(this.#connection);
      const rows = Number(this.#connection.statement("select count(*) as n from waybill_outbox").get()?.["n"]);
      if (!options.lose && (rows > 0 || receivedThrough < packedThrough)) {
        throw new WaybillError(
          "STATE_CONFLICT",
          `${rows} changes and ${packedThrough - receivedThrough} messages wait to be sent`,
        );
      }
      const ours = this.#connection
        .statement(
          `select type, name from sqlite_schema where name like 'waybill\\_%' escape '\\' and type in ('trigger', 'table') order by type desc`,
        )
        .all();
      for (const { type, name } of ours)
        this.#connection.db.exec(`drop ${String(type)} if exists ${quoted(String(name))}`);
    });
  }

  /** True when install(plan) would change nothing, so that a start of the agent writes nothing. */
  #isDone(plan: CapturePlan): boolean {
    if (!hasTables(this.#connection)) return false;
    return this.#connection.snapshot(() => {
      if (JSON.stringify(readPlan(this.#connection)) !== JSON.stringify(plan) || isOff(this.#connection)) return false;
      return this.#look(plan).every((finding) => finding.state === "sound");
    });
  }

  #look(plan: CapturePlan): readonly Finding[] {
    const stored = new Map(this.#ourTriggers().map(({ name, sql }) => [name, sql]));
    const width = widthOf(this.#connection);
    return plan.tables.map((table): Finding => {
      const subject = subjectOf(this.#connection, this.#catalog.tables.get(table), table);
      if ("why" in subject) return { state: "refused", table, why: subject.why };
      const layout = subject.columns.length <= width ? knownLayout(this.#connection, subject) : null;
      const missing = EVENTS.some((event) => !stored.has(triggerName(event, table)));
      const same =
        layout !== null &&
        !this.#isOvertaken(table) &&
        triggersFor(subject, layout, plan.role).every(({ name, sql }) => stored.get(name) === sql);
      if (same) return { state: "sound", subject };
      // With all its triggers in place and the columns as they were, nothing was missed: only the wording or the order is new.
      return { state: "stale", subject, unseen: hasLayout(this.#connection, table) && (missing || layout === null) };
    });
  }

  /** Has the application made a trigger on the table after ours? SQLite would fire it before ours. */
  #isOvertaken(table: string): boolean {
    const sql = `select 1 from sqlite_schema as theirs join sqlite_schema as ours on ours.tbl_name = theirs.tbl_name
      where theirs.type = 'trigger' and theirs.tbl_name = ? collate nocase and theirs.name not like 'waybill\\_%' escape '\\'
        and ours.type = 'trigger' and ours.name like 'waybill\\_%' escape '\\' and ours.rowid < theirs.rowid limit 1`;
    return this.#connection.statement(sql).get(table) !== undefined;
  }

  /** Within the caller's transaction. @returns the tables that are being resynchronised */
  #make(findings: readonly Finding[], role: CaptureRole): readonly string[] {
    const remade: string[] = [];
    for (const finding of findings) {
      if (finding.state !== "stale") continue;
      const { subject, unseen } = finding;
      widen(this.#connection, subject.columns.length);
      const triggers = triggersFor(subject, ensureLayout(this.#connection, subject), role);
      for (const { name, sql } of triggers) {
        this.#connection.db.exec(`drop trigger if exists ${quoted(name)}`);
        this.#connection.db.exec(sql);
      }
      if (!unseen) continue;
      startResync(this.#connection, subject.table, null);
      remade.push(subject.table);
    }
    return remade;
  }

  /** Drops our triggers on tables that are not in the plan. */
  #removeOthers(plan: CapturePlan): readonly string[] {
    const kept = new Set(plan.tables.flatMap((table) => EVENTS.map((event) => triggerName(event, table))));
    const removed = new Set<string>();
    for (const trigger of this.#ourTriggers()) {
      if (kept.has(trigger.name)) continue;
      this.#connection.db.exec(`drop trigger ${quoted(trigger.name)}`);
      removed.add(trigger.table);
    }
    return [...removed];
  }

  /** Our triggers on the application's tables. */
  #ourTriggers(): readonly (Trigger & { readonly table: string })[] {
    const rows = this.#connection
      .statement(
        `select s.name, s.sql, s.tbl_name from sqlite_schema as s where s.type = 'trigger' and s.name like 'waybill\\_%' escape '\\'`,
      )
      .all();
    return rows
      .map((row) => ({ name: String(row["name"]), sql: String(row["sql"]), table: String(row["tbl_name"]) }))
      .filter(({ table }) => !table.toLowerCase().startsWith(OURS));
  }
}

type Finding =
  | { readonly state: "sound"; readonly subject: Subject }
  /** `unseen`: the table was captured before, and may have changed since without our seeing it. */
  | { readonly state: "stale"; readonly subject: Subject; readonly unseen: boolean }
  | { readonly state: "refused"; readonly table: string; readonly why: string };
