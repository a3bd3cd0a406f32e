import { WaybillError } from "../../base/errors.ts";
import { field, type Row, type WireValue } from "../../message/change.ts";
import { quoted, type Connection, type SqlParameter, type TextRow } from "./connection.ts";
import { column, type PostgresColumn, type PostgresTable } from "./describe.ts";
import { toSql, toWire, Unfit } from "./values.ts";

/** The columns that are carried: all that the database does not compute by itself. */
export const carried = (table: PostgresTable): readonly PostgresColumn[] =>
  table.columns.filter((one) => !one.generated);

/** @throws COLUMN_UNKNOWN */
export const namedColumns = (table: PostgresTable, names: readonly string[]): readonly PostgresColumn[] =>
  names.map((name) => {
    const found = table.columns.find((one) => one.name === name);
    if (!found) throw new WaybillError("COLUMN_UNKNOWN", `table ${table.name} has no column ${name}`);
    return found;
  });

export const keyColumns = (table: PostgresTable): readonly PostgresColumn[] => namedColumns(table, table.key);

export const selectList = (columns: readonly PostgresColumn[]): string =>
  columns.map((one) => column(one.name)).join(", ");

export function rowToWire(columns: readonly PostgresColumn[], values: TextRow): Row {
  // Not a literal: a column may be called __proto__, which a literal's assignment would take for the prototype.
  const row: Record<string, WireValue> = {};
  for (let at = 0; at < columns.length; at++) {
    const one = columns[at] as PostgresColumn;
    const value = toWire(one, values[at] ?? null);
    if (one.name === "__proto__") Object.defineProperty(row, one.name, { value, enumerable: true });
    else row[one.name] = value;
  }
  return row;
}

/** The values of these columns, bound; Unfit (naming the column) when one cannot be of its column's type. */
export function boundValues(columns: readonly PostgresColumn[], row: Row): (string | null)[] | Unfit {
  const values: (string | null)[] = [];
  for (const one of columns) {
    const value = toSql(one, field(row, one.name) ?? null);
    if (value instanceof Unfit) return new Unfit(`column ${one.name} (${one.declared}): ${value.why}`);
    values.push(value);
  }
  return values;
}

/** `unnest($1::text[], …) with ordinality as v (c0, …, n)`: many rows in as many parameters as there are columns. */
export const unnested = (count: number, first = 1): string => {
  const numbers = Array.from({ length: count }, (_, i) => i);
  return `unnest(${numbers.map((i) => `$${i + first}::text[]`).join(", ")}) with ordinality as v (${[...numbers.map((i) => `c${i}`), "n"].join(", ")})`;
};
/**
 * Rows turned into columns, as `unnested` takes them: each a `text[]` in PostgreSQL's own writing. The driver would write it
 * too, at several times the cost: this is a large part of what loading a row takes.
 */
export function columnwise(rows: readonly (readonly (string | null)[])[], count: number): SqlParameter[] {
  const columns: string[] = [];
  for (let at = 0; at < count; at++) {
    let text = "";
    for (const row of rows) {
      const value = row[at] ?? null;
      text += value === null ? ",NULL" : `,"${escaped(value)}"`;
    }
    columns.push(`{${text.slice(1)}}`);
  }
  return columns;
}
const escaped = (text: string): string =>
  text.includes('"') || text.includes("\\") ? text.replaceAll(/["\\]/g, "\\$&") : text;

export const sameKey = (table: PostgresTable, first = 0): string => sameValues(keyColumns(table), first);
export const sameValues = (columns: readonly PostgresColumn[], first = 0): string =>
  columns.map((one, i) => `${column(one.name)} = v.c${i + first}::${one.castType}`).join(" and ");

/** The row of this key in wire form without generated columns; null when it is absent, also when no row can have such a key. */
export async function rowByKey(connection: Connection, table: PostgresTable, key: Row): Promise<Row | null> {
  const keys = keyColumns(table);
  const bound = boundValues(keys, key);
  if (bound instanceof Unfit || bound.length === 0) return null;
  const columns = carried(table);
  const where = keys.map((one, i) => `${column(one.name)} = $${i + 1}::text::${one.castType}`).join(" and ");
  const [found] = await connection.query(
    `select ${selectList(columns)} from ${table.sql} as t where ${where}`,
    ...bound,
  );
  return found ? rowToWire(columns, found) : null;
}

export const names = (columns: readonly { readonly name: string }[]): string =>
  columns.map(({ name }) => quoted(name)).join(", ");
