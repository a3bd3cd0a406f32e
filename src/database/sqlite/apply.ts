import { WaybillError, type FaultCode } from "../../base/errors.ts";
import { field, type Row } from "../../message/change.ts";
import type { Applied, Effect, Refusal } from "../port.ts";
import type { Connection } from "./connection.ts";
import type { Catalog, SqliteTable, SqliteTables } from "./describe.ts";
import { isSqliteError, translated } from "./errors.ts";
import { missingParent, rowName, verdictOn, type Verdict } from "./refusals.ts";
import { rowByKey } from "./rows.ts";
import { bind, planOf, type Plan, type Unplannable } from "./statements.ts";
import { Unfit } from "./values.ts";

/** Keeps our own triggers from taking an effect for the application's; opened and closed within the loading transaction. */
export type Gate = {
  open(table: string, origin: string | null): void;
  close(table: string): void;
};

/** Effects remembered for naming the one at fault when a commit is refused; beyond this it is told without a name. */
const REMEMBERED = 20_000;
const NOTHING: Row = {};

/** Applies effects one statement each, within the transaction that the caller has opened. */
export class Applier {
  readonly #connection: Connection;
  readonly #catalog: Catalog;
  readonly #gate: Gate;
  readonly #plans = new Map<string, Plan | Unplannable>();
  #plansOf = -1;
  #tables: SqliteTables = new Map();
  /** Neighbours are mostly alike: what was made for one is not looked up for the next. */
  #last: {
    readonly plan: Plan | Unplannable;
    readonly table: SqliteTable;
    readonly kind: Effect["kind"];
    readonly columns: readonly string[];
  } | null = null;
  /** Effects on tables with deferred foreign keys, in this transaction. */
  #owing: Effect[] = [];

  constructor(connection: Connection, catalog: Catalog, gate: Gate) {
    this.#connection = connection;
    this.#catalog = catalog;
    this.#gate = gate;
  }

  /** At the start of each transaction: the schema may have moved since the last. */
  begin(): void {
    this.#owing = [];
    const { version } = this.#catalog;
    if (version === this.#plansOf) return;
    this.#tables = this.#catalog.tables;
    this.#plans.clear();
    this.#last = null;
    this.#plansOf = version;
  }

  /**
   * @throws infrastructure faults; and a refusal of a row when the database has rolled the whole transaction back for it
   * (RAISE(ROLLBACK) in a trigger), for then nothing of the transaction is left.
   * @param isWhole the first refusal ends it, and the caller undoes all: no effect needs a savepoint of its own
   */
  apply(effects: readonly Effect[], isWhole = false): Applied {
    const tables = this.#tables;
    const refused: Refusal[] = [];
    const most = isWhole ? 1 : Number.POSITIVE_INFINITY;
    let absentDeletes = 0;
    let gated: Effect | null = null;
    try {
      for (let index = 0; index < effects.length && refused.length < most; index++) {
        const effect = effects[index] as Effect;
        const table = tables.get(effect.table);
        if (!table) {
          refused.push({
            index,
            code: "TABLE_UNKNOWN",
            detail: `${this.#connection.path} has no table ${effect.table}`,
          });
          continue;
        }
        if (gated !== null && (gated.table !== effect.table || gated.origin !== effect.origin)) {
          this.#gate.close(gated.table);
          gated = null;
        }
        if (gated === null && table.captured) {
          this.#gate.open(effect.table, effect.origin);
          gated = effect;
        }
        const outcome = table.foreignTriggers && !isWhole ? this.#guarded(effect, table) : this.#one(effect, table);
        if (outcome === "absent") absentDeletes++;
        else if (outcome !== "done") refused.push({ index, ...outcome });
        else if (table.deferredKeys && this.#owing.length < REMEMBERED) this.#owing.push(effect);
      }
    } finally {
      // Also when a fault is thrown: a gate that stayed open would hide the application's own changes. Were the transaction
      // over, the gate's row would be gone with it.
      if (gated !== null && this.#connection.db.isTransaction) this.#gate.close(gated.table);
    }
    return { refused, absentDeletes };
  }

  /** The first row of this transaction that names a parent which is not there: what a refused commit is about. */
  owed(): Verdict | null {
    for (const effect of this.#owing) {
      const table = this.#tables.get(effect.table);
      if (!table || effect.kind === "delete") continue;
      const now = rowByKey(this.#connection, table, { ...effect.key, ...effect.row });
      const verdict =
        now &&
        missingParent({ ...effect, row: now }, table, this.#catalog, this.#connection, rowName(table, effect.key));
      if (verdict) return verdict;
    }
    return null;
  }

  /** With a savepoint: RAISE(FAIL) in an application's trigger leaves what the statement had done so far. */
  #guarded(effect: Effect, table: SqliteTable): "done" | "absent" | Verdict {
    this.#connection.statement("savepoint waybill_effect").run();
    const outcome = this.#one(effect, table);
    if (typeof outcome !== "string") this.#connection.statement("rollback to waybill_effect").run();
    this.#connection.statement("release waybill_effect").run();
    return outcome;
  }

  #one(effect: Effect, table: SqliteTable): "done" | "absent" | Verdict {
    const refuse = (code: FaultCode, why: string): Verdict => ({
      code,
      detail: `${rowName(table, effect.key)}: ${why}`,
    });
    const row = effect.kind === "delete" ? NOTHING : (effect.row ?? NOTHING);
    for (const name of table.key) {
      if ((field(effect.key, name) ?? null) === null) return refuse("KEY_INVALID", `the key has no ${name}`);
    }
    if (table.key.length === 0) return refuse("KEY_INVALID", "the table has no key");
    try {
      const plan = this.#plan(table, effect.kind, row);
      if ("unknown" in plan) return refuse("COLUMN_UNKNOWN", `there is no column ${plan.unknown} to write`);
      const values = bind(plan, effect.key, row);
      if (values instanceof Unfit) return refuse("TYPE_REFUSED", values.why);
      if (plan.statement.run(...values).changes !== 0) return "done";
    } catch (thrown) {
      return this.#refusal(thrown, effect, table);
    }
    return this.#untouched(effect, table);
  }

  /** The statement went through and changed no row: because there was none, or because a trigger said RAISE(IGNORE). */
  #untouched(effect: Effect, table: SqliteTable): "done" | "absent" | Verdict {
    const ignored = (): Verdict => ({
      code: "ROW_REFUSED",
      detail: `${rowName(table, effect.key)}: a trigger of the database ignored the ${effect.kind}`,
    });
    const present = (): boolean => rowByKey(this.#connection, table, effect.key) !== null;
    switch (effect.kind) {
      case "insert":
        return ignored();
      case "keep":
        return !table.foreignTriggers || present() ? "done" : ignored();
      case "upsert": // of a key alone: there was nothing to overwrite
        return !table.foreignTriggers ||
          (Object.keys(effect.row ?? NOTHING).every((name) => table.key.includes(name)) && present())
          ? "done"
          : ignored();
      case "update":
        if (table.foreignTriggers && present()) return ignored();
        return { code: "ROW_MISSING", detail: `${rowName(table, effect.key)}: there is no row with this key` };
      case "delete":
        return table.foreignTriggers && present() ? ignored() : "absent";
    }
  }

  #refusal(thrown: unknown, effect: Effect, table: SqliteTable): Verdict {
    if (!isSqliteError(thrown)) throw thrown;
    const over = !this.#connection.db.isTransaction;
    const verdict = verdictOn(thrown, effect, table, this.#catalog, this.#connection);
    if (verdict && !over) return verdict;
    if (verdict)
      throw new WaybillError(verdict.code, `${verdict.detail}; it rolled the transaction back`, {
        cause: thrown,
        facts: { table: table.name, discreet: `${verdict.discreet ?? verdict.detail}; it rolled the transaction back` },
      });
    throw translated(thrown, `${effect.kind} ${table.name}`, rowName(table, effect.key));
  }

  #plan(table: SqliteTable, kind: Effect["kind"], row: Row): Plan | Unplannable {
    const columns = Object.keys(row);
    const last = this.#last;
    if (last && last.table === table && last.kind === kind && isSame(last.columns, columns)) return last.plan;
    const id = `${kind}\0${table.name}\0${columns.join("\0")}`;
    // As many as the connection keeps statements: a sender with ever other column sets must not fill the memory.
    if (this.#plans.size >= 500) this.#plans.clear();
    const made = this.#plans.get(id) ?? planOf(this.#connection, table, kind, columns);
    this.#last = { plan: made, table, kind, columns };
    this.#plans.set(id, made);
    return made;
  }
}

const isSame = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, at) => name === b[at]);
