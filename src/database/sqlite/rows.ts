import type { StatementSync } from "node:sqlite";
import { WaybillError } from "../../base/errors.ts";
import { field, type Row, type WireValue } from "../../message/change.ts";
import { quoted, type Connection, type SqlRow } from "./connection.ts";
import { column, type SqliteColumn, type SqliteTable } from "./describe.ts";
import { toSql, toWire, Unfit, type SqlValue } from "./values.ts";

/** All rows of a statement made by `Connection.exact`; see `Connection.rows`. */
export const allRows = (statement: StatementSync, values: readonly SqlValue[]): readonly SqlRow[] =>
  statement.all(...values) as unknown as readonly SqlRow[];
export const oneRow = (statement: StatementSync, values: readonly SqlValue[]): SqlRow | undefined =>
  statement.get(...values) as unknown as SqlRow | undefined;

/** The columns that are carried: all that the database does not compute by itself. */
export const carried = (table: SqliteTable): readonly SqliteColumn[] => table.columns.filter((one) => !one.generated);

/** @throws COLUMN_UNKNOWN */
export const namedColumns = (table: SqliteTable, names: readonly string[]): readonly SqliteColumn[] =>
  names.map((name) => {
    const found = table.columns.find((one) => one.name === name);
    if (!found) throw new WaybillError("COLUMN_UNKNOWN", `table ${table.name} has no column ${name}`);
    return found;
  });

export const keyColumns = (table: SqliteTable): readonly SqliteColumn[] => namedColumns(table, table.key);

export const selectList = (columns: readonly SqliteColumn[]): string =>
  columns.map((one) => column(one.name)).join(", ");
export const whereKey = (table: SqliteTable): string => table.key.map((name) => `${column(name)} = ?`).join(" and ");

export function rowToWire(columns: readonly SqliteColumn[], values: SqlRow): Row {
  // Not a literal: a column may be called __proto__, which a literal's assignment would take for the prototype.
  const row: Record<string, WireValue> = {};
  for (let at = 0; at < columns.length; at++) {
    const one = columns[at] as SqliteColumn;
    const value = toWire(one.kind, values[at] ?? null);
    if (one.name === "__proto__") Object.defineProperty(row, one.name, { value, enumerable: true });
    else row[one.name] = value;
  }
  return row;
}

/** The values of these columns, bound; Unfit (naming the column) when one is absent or cannot be of its column's kind. */
export function boundValues(columns: readonly SqliteColumn[], row: Row): SqlValue[] | Unfit {
  const values: SqlValue[] = [];
  for (const one of columns) {
    const value = toSql(one.kind, field(row, one.name) ?? null, one.affinity);
    if (value instanceof Unfit) return new Unfit(`column ${one.name}: ${value.why}`);
    values.push(value);
  }
  return values;
}

/** The row of this key in wire form without generated columns; null when it is absent, also when no row can have such a key. */
export function rowByKey(connection: Connection, table: SqliteTable, key: Row): Row | null {
  const bound = boundValues(keyColumns(table), key);
  if (bound instanceof Unfit || bound.length === 0) return null;
  const columns = carried(table);
  const sql = `select ${selectList(columns)} from main.${quoted(table.name)} as t where ${whereKey(table)}`;
  const found = connection.row(sql, ...bound);
  return found ? rowToWire(columns, found) : null;
}

/** Tells of values of these columns whether the table has a row with them; the statement is made once for all of them. */
export function rowFinder(
  connection: Connection,
  table: SqliteTable,
  columns: readonly string[],
): (values: readonly SqlValue[]) => boolean {
  if (columns.length === 0) return () => false;
  const where = columns.map((name) => `${column(name)} = ?`).join(" and ");
  const statement = connection.exact(`select 1 from main.${quoted(table.name)} as t where ${where} limit 1`);
  return (values) => oneRow(statement, values) !== undefined;
}
export const hasRow = (
  connection: Connection,
  table: SqliteTable,
  columns: readonly string[],
  values: readonly SqlValue[],
): boolean => rowFinder(connection, table, columns)(values);
