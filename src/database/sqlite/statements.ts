import type { StatementSync } from "node:sqlite";
import { field, type Row } from "../../message/change.ts";
import type { Effect } from "../port.ts";
import { quoted, type Connection } from "./connection.ts";
import { column, type SqliteColumn, type SqliteTable } from "./describe.ts";
import { whereKey } from "./rows.ts";
import { toSql, Unfit, type SqlValue } from "./values.ts";

/** One prepared statement for all effects of one kind on one table that write the same columns. */
export type Plan = {
  readonly statement: StatementSync;
  readonly slots: readonly Slot[];
};
/** Where the value of one placeholder comes from. */
type Slot = { readonly column: SqliteColumn; readonly from: "row" | "key" };

/** The reason why no statement can be made for the effect. */
export type Unplannable = { readonly unknown: string };

/** @param columns names in the effect's row, in its order; none for a delete */
export function planOf(
  connection: Connection,
  table: SqliteTable,
  kind: Effect["kind"],
  columns: readonly string[],
): Plan | Unplannable {
  const written: Slot[] = [];
  for (const name of columns) {
    const known = table.columns.find((one) => one.name === name);
    if (!known || known.generated) return { unknown: name };
    written.push({ column: known, from: "row" });
  }
  const keys = table.key.flatMap((name): Slot[] => {
    const known = table.columns.find((one) => one.name === name);
    return known ? [{ column: known, from: "key" }] : [];
  });
  if (kind === "update" || kind === "delete") {
    const slots = [...written, ...keys];
    // An update of no columns at all still has to find its row.
    const set = (written.length > 0 ? written : keys).map(
      ({ column: { name } }) => `${quoted(name)} = ${written.length > 0 ? "?" : column(name)}`,
    );
    const target = `main.${quoted(table.name)} as t`;
    const sql =
      kind === "delete" ? `delete from ${target}` : `update${conflict(table)} ${target} set ${set.join(", ")}`;
    return { statement: connection.statement(`${sql} where ${whereKey(table)}`), slots };
  }
  const slots = [...keys.filter((key) => !columns.includes(key.column.name)), ...written];
  const names = slots.map((slot) => quoted(slot.column.name));
  const insert = `insert${conflict(table)} into main.${quoted(table.name)} as t (${names.join(", ")}) values (${names.map(() => "?").join(", ")})`;
  return { statement: connection.statement(insert + onConflict(table, kind, written)), slots };
}

/**
 * The statement's own conflict clause, where constraints of the table have one (`UNIQUE ON CONFLICT REPLACE`): they would
 * delete a third row to make ours fit (I14). Elsewhere none is said, because it would also replace those of the statements
 * in the application's triggers: https://www.sqlite.org/lang_createtrigger.html
 */
const conflict = (table: SqliteTable): string => (table.ownConflictClauses ? " or abort" : "");

function onConflict(table: SqliteTable, kind: Effect["kind"], written: readonly Slot[]): string {
  if (kind === "insert") return "";
  const target = ` on conflict (${table.key.map(quoted).join(", ")})`;
  // A key is written again only where texts that differ may be one key ("a" and "A").
  const set = written
    .map((slot) => slot.column)
    .filter((one) => !table.key.includes(one.name) || one.collation !== undefined);
  if (kind === "keep" || set.length === 0) return `${target} do nothing`;
  return `${target} do update set ${set.map(({ name }) => `${quoted(name)} = excluded.${quoted(name)}`).join(", ")}`;
}

/** The values in the order of the placeholders; Unfit names the column that cannot take its value. */
export function bind(plan: Plan, key: Row, row: Row): SqlValue[] | Unfit {
  const values: SqlValue[] = [];
  for (const { column: one, from } of plan.slots) {
    const value = toSql(one.kind, field(from === "row" ? row : key, one.name) ?? null, one.affinity);
    if (value instanceof Unfit) return new Unfit(`column ${one.name} (${one.declared || "no type"}): ${value.why}`);
    values.push(value);
  }
  return values;
}
