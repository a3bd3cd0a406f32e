import { field, type Row } from "../../message/change.ts";
import type { Effect } from "../port.ts";
import { quoted } from "./connection.ts";
import { column, type PostgresColumn, type PostgresTable } from "./describe.ts";
import { keyColumns, names, sameKey, unnested } from "./rows.ts";
import { toSql, Unfit } from "./values.ts";

/** One statement for many effects of one kind on one table that write the same columns. */
export type Plan = {
  readonly table: PostgresTable;
  readonly kind: Effect["kind"];
  readonly sql: string;
  /** Where the value of each parameter's element comes from. */
  readonly slots: readonly Slot[];
};
type Slot = { readonly column: PostgresColumn; readonly from: "row" | "key" };

/** The reason why no statement can be made for the effect. */
export type Unplannable = { readonly unknown: string };

/**
 * Each statement gives back one row for each effect that took place: for update and delete with its number among the
 * effects, from 1.
 * @param columns names in the effect's row, in its order; none for a delete
 */
export function planOf(table: PostgresTable, kind: Effect["kind"], columns: readonly string[]): Plan | Unplannable {
  const written: Slot[] = [];
  for (const name of columns) {
    const known = table.columns.find((one) => one.name === name);
    if (!known || known.generated) return { unknown: name };
    written.push({ column: known, from: "row" });
  }
  const keys = keyColumns(table).map((one): Slot => ({ column: one, from: "key" }));
  if (kind === "delete") {
    const sql = `delete from ${table.sql} as t using ${unnested(keys.length)} where ${sameKey(table)} returning v.n`;
    return { table, kind, slots: keys, sql };
  }
  if (kind === "update") {
    const set = written.flatMap(({ column: one }, i) =>
      one.fixed ? [] : [`${quoted(one.name)} = v.c${i}::${one.castType}`],
    );
    const same = written.flatMap(({ column: one }, i) =>
      one.fixed ? [` and ${column(one.name)} = v.c${i}::${one.castType}`] : [],
    );
    // An update of no columns at all still has to find its row.
    if (set.length === 0) set.push(...ownValue(table));
    const slots = [...written, ...keys];
    const sql =
      `update ${table.sql} as t set ${set.join(", ")} from ${unnested(slots.length)} ` +
      `where ${sameKey(table, written.length)}${same.join("")} returning v.n`;
    return { table, kind, slots, sql };
  }
  const slots = [...keys.filter((key) => !columns.includes(key.column.name)), ...written];
  const values = slots.map(({ column: one }, i) => `v.c${i}::${one.castType}`).join(", ");
  const sql =
    // A number that the database gives of itself (GENERATED ALWAYS AS IDENTITY) was given where the row was born.
    `insert into ${table.sql} as t (${names(slots.map((slot) => slot.column))}) overriding system value ` +
    `select ${values} from ${unnested(slots.length)} order by v.n${onConflict(table, kind, written)} returning 1`;
  return { table, kind, slots, sql };
}

/** Something to set that changes nothing: a column that may be written at all. */
function ownValue(table: PostgresTable): string[] {
  const one = table.columns.find(({ fixed, generated }) => !fixed && !generated) ?? table.columns[0];
  return one ? [`${quoted(one.name)} = ${column(one.name)}`] : [];
}

function onConflict(table: PostgresTable, kind: Effect["kind"], written: readonly Slot[]): string {
  if (kind === "insert") return "";
  const target = ` on conflict (${table.key.map(quoted).join(", ")})`;
  // A key is written again only where texts that differ may be one key ("a" and "A").
  const columns = written.map((slot) => slot.column);
  const set = columns.filter((one) => !one.fixed && (!table.key.includes(one.name) || one.collation !== undefined));
  if (kind === "keep" || set.length === 0) return `${target} do nothing`;
  const fixed = columns.filter((one) => one.fixed);
  const same = fixed.map(({ name }) => `${column(name)} = excluded.${quoted(name)}`).join(" and ");
  const sets = set.map(({ name }) => `${quoted(name)} = excluded.${quoted(name)}`).join(", ");
  return `${target} do update set ${sets}${same && ` where ${same}`}`;
}

/** The values in the order of the slots; Unfit names the column that cannot take its value. */
export function bind(plan: Plan, key: Row, row: Row): (string | null)[] | Unfit {
  const values: (string | null)[] = [];
  for (const { column: one, from } of plan.slots) {
    const value = toSql(one, field(from === "row" ? row : key, one.name) ?? null);
    if (value instanceof Unfit) return new Unfit(`column ${one.name} (${one.declared}): ${value.why}`);
    values.push(value);
  }
  return values;
}
