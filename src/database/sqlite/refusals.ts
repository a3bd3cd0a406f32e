import type { FaultCode } from "../../base/errors.ts";
import { field, type Row } from "../../message/change.ts";
import type { Effect } from "../port.ts";
import type { Connection } from "./connection.ts";
import type { Catalog, SqliteTable } from "./describe.ts";
import { faultOf, type SqliteError } from "./errors.ts";
import { boundValues, hasRow, keyColumns } from "./rows.ts";
import { shownValue, toSql, Unfit, type SqlValue } from "./values.ts";

export type Verdict = { readonly code: FaultCode; readonly detail: string; readonly discreet?: string };

/** `table sale_id=S-9`: which row is spoken of. */
export function rowName(table: SqliteTable, key: Row): string {
  return `${table.name} ${table.key.map((name) => `${name}=${shownValue(field(key, name))}`).join(" ")}`;
}

/**
 * Why SQLite refused a row, found by its extended code and by looking at the rows concerned: SQLite has one code for both
 * ends of a foreign key, one for every unique value, and says in text alone which column it was. Called after the
 * statement was undone, within the same transaction. Null: not the row's fault.
 */
export function verdictOn(
  error: SqliteError,
  effect: Effect,
  table: SqliteTable,
  catalog: Catalog,
  connection: Connection,
): Verdict | null {
  const code = faultOf(error);
  const what = rowName(table, effect.key);
  // A trigger says what it likes; SQLite itself names tables and columns only.
  const said = (as: FaultCode): Verdict => ({
    code: as,
    detail: `${what}: ${error.message}`,
    discreet: `${what}: ${as === "ROW_REFUSED" ? `refused, code ${error.errcode}` : error.message}`,
  });
  switch (code) {
    case "UNIQUE_VIOLATED":
      return takenValue(effect, table, connection, what) ?? said(code);
    case "PARENT_MISSING":
    case "ROW_REFUSED": {
      // ON DELETE RESTRICT comes with the code of a RAISE in a trigger.
      const reference = effect.kind === "delete" ? null : missingParent(effect, table, catalog, connection, what);
      const named = reference ?? namingChild(effect, table, catalog, connection, what);
      return named ?? said(code === "PARENT_MISSING" && effect.kind === "delete" ? "CHILD_EXISTS" : code);
    }
    case "NULL_REFUSED":
    case "CHECK_VIOLATED":
    case "TYPE_REFUSED":
    case "VALUE_TOO_LARGE":
      return said(code);
    case "INTERNAL":
      // SQLITE_ERROR from a statement that was prepared well: an expression of a trigger, check or generated column failed on this row.
      return (error.errcode & 0xff) === 1 ? said("ROW_REFUSED") : null;
    default:
      return null;
  }
}

/** The row as it would be after the effect, as far as the effect tells. */
const after = (effect: Effect): Row => ({ ...effect.key, ...effect.row });

function takenValue(effect: Effect, table: SqliteTable, connection: Connection, what: string): Verdict | null {
  const row = after(effect);
  for (const unique of [table.key, ...table.uniques]) {
    const values = valuesOf(table, unique, row);
    if (values === null || !hasRow(connection, table, unique, values)) continue;
    const shown = unique.map((name) => `${name}=${shownValue(field(row, name))}`).join(", ");
    if (sameNames(unique, table.key)) {
      if (effect.kind === "insert")
        return { code: "ROW_EXISTS", detail: `${what}: a row with this key is there already` };
      // An update or upsert finds its own row by its key; only a changed key can meet another's.
      if (!keyMoves(effect, table)) continue;
    }
    return { code: "UNIQUE_VIOLATED", detail: `${what}: another row has ${shown}` };
  }
  return null;
}

/** The first parent the row names that is not there. */
export function missingParent(
  effect: Effect,
  table: SqliteTable,
  catalog: Catalog,
  connection: Connection,
  what: string,
): Verdict | null {
  const row = after(effect);
  for (const foreign of table.foreignKeys) {
    const values = valuesOf(table, foreign.columns, row);
    const parent = catalog.tables.get(foreign.parent);
    const shown = foreign.columns.map((name) => `${name}=${shownValue(field(row, name))}`).join(", ");
    if (!parent)
      return {
        code: "PARENT_MISSING",
        detail: `${what}: ${shown} names table ${foreign.parent}, which does not exist`,
      };
    if (values === null || hasRow(connection, parent, foreign.parentColumns, values)) continue;
    const own = parent === table ? valuesOf(table, foreign.parentColumns, row) : null;
    if (own?.every((value, at) => value === values[at])) continue; // the row names itself, and is not there while it is refused
    return { code: "PARENT_MISSING", detail: `${what}: ${shown} names a row of ${foreign.parent} that is not there` };
  }
  return null;
}

/** A row that names the row that was to go, or whose key was to change. */
function namingChild(
  effect: Effect,
  table: SqliteTable,
  catalog: Catalog,
  connection: Connection,
  what: string,
): Verdict | null {
  if (effect.kind !== "delete" && effect.kind !== "update" && effect.kind !== "upsert") return null;
  for (const child of catalog.tables.values()) {
    for (const foreign of child.foreignKeys) {
      if (foreign.parent !== table.name || !sameNames(foreign.parentColumns, table.key)) continue;
      const values = valuesOf(table, foreign.parentColumns, effect.key);
      if (values === null || !hasRow(connection, child, foreign.columns, values)) continue;
      return {
        code: "CHILD_EXISTS",
        detail: `${what}: rows of ${child.name} name it by ${foreign.columns.join(", ")}`,
      };
    }
  }
  return null;
}

/** Null when one is absent, null, or no value of its column: such a row has no unique value and names no parent. */
function valuesOf(table: SqliteTable, names: readonly string[], row: Row): SqlValue[] | null {
  const values: SqlValue[] = [];
  for (const name of names) {
    const one = table.columns.find((known) => known.name === name);
    const given = field(row, name);
    if (!one || given === undefined || given === null) return null;
    const bound = toSql(one.kind, given, one.affinity);
    if (bound instanceof Unfit) return null;
    values.push(bound);
  }
  return values;
}

function keyMoves(effect: Effect, table: SqliteTable): boolean {
  const columns = keyColumns(table);
  const [from, to] = [boundValues(columns, effect.key), boundValues(columns, after(effect))];
  return from instanceof Unfit || to instanceof Unfit || from.some((value, at) => value !== to[at]);
}

const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name) => b.includes(name));
