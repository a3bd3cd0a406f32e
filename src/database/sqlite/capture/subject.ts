import type { ColumnKind } from "../../../message/shape.ts";
import { quoted, type Connection } from "../connection.ts";
import type { SqliteTable } from "../describe.ts";
import { readIndexText } from "./index-sql.ts";
import { MAX_WIDTH } from "./tables.ts";

/** A table as the triggers need it: *describe* says what it holds, SQLite's own schema how its rows are found and displaced. */
export type Subject = {
  readonly table: string;
  /** The captured columns: all but generated ones, in the table's order. */
  readonly columns: readonly { readonly name: string; readonly kind: ColumnKind }[];
  readonly key: readonly string[];
  /** A name by which a row's rowid can be said; null in a WITHOUT ROWID table, or when its columns have taken every name. */
  readonly rowid: string | null;
  /** Everything that can make a row displace another one. */
  readonly uniques: readonly Unique[];
};
export type Unique = {
  /** SQL over a row `t` of the table and NEW: true when `t` stands in NEW's way (or may: then the AFTER trigger sees it is still there). */
  readonly clash: string;
  /** SQL over OLD and NEW: can this update have brought a clash about? Null: always. */
  readonly touched: string | null;
};

/** The subject, or why the table cannot be captured and what to do. */
export function subjectOf(
  connection: Connection,
  shape: SqliteTable | undefined,
  table: string,
): Subject | { readonly why: string } {
  if (!shape) return { why: "there is no such table (views and virtual tables cannot be captured)" };
  if (shape.key.length === 0)
    return { why: "it has no key: declare a PRIMARY KEY, or a UNIQUE constraint over NOT NULL columns" };
  const columns = shape.columns.filter((column) => !column.generated).map(({ name, kind }) => ({ name, kind }));
  if (columns.length > MAX_WIDTH)
    return { why: `it has ${columns.length} columns; ${MAX_WIDTH} is the most that can be captured` };
  const generated = shape.key.find((name) => !columns.some((column) => column.name === name));
  if (generated !== undefined)
    return { why: `its key column ${generated} is generated; declare a key of stored columns` };
  const details = columnDetails(connection, table);
  const rowid = shape.withoutRowid ? null : rowidName(details);
  return { table, columns, key: shape.key, rowid, uniques: uniquesOf(connection, table, rowid, details) };
}

type ColumnDetail = {
  readonly name: string;
  readonly type: string;
  readonly notnull: number;
  readonly dflt: string | null;
  readonly pk: number;
};

function columnDetails(connection: Connection, table: string): readonly ColumnDetail[] {
  const rows = connection
    .statement('select name, type, "notnull", dflt_value as dflt, pk from pragma_table_xinfo(?) order by cid')
    .all(table);
  return rows as unknown as ColumnDetail[];
}

/** The INTEGER PRIMARY KEY is the rowid; without one, the first of SQLite's three names that no column has taken. */
function rowidName(columns: readonly ColumnDetail[]): string | null {
  const taken = new Set(columns.map((column) => column.name.toLowerCase()));
  return ["rowid", "_rowid_", "oid"].find((name) => !taken.has(name)) ?? integerKey(columns);
}
function integerKey(columns: readonly ColumnDetail[]): string | null {
  const key = columns.filter((column) => column.pk > 0);
  return key.length === 1 && key[0]?.type.toLowerCase() === "integer" ? key[0].name : null;
}

function uniquesOf(
  connection: Connection,
  table: string,
  rowid: string | null,
  columns: readonly ColumnDetail[],
): readonly Unique[] {
  const uniques: Unique[] = [];
  if (rowid !== null)
    uniques.push({
      clash: `t.${quoted(rowid)} = NEW.${quoted(rowid)}`,
      touched: `NEW.${quoted(rowid)} IS NOT OLD.${quoted(rowid)}`,
    });
  const indexes = connection.statement('select name, partial from pragma_index_list(?) where "unique" = 1').all(table);
  for (const index of indexes)
    uniques.push(uniqueOf(connection, String(index["name"]), index["partial"] === 1, columns));
  return uniques;
}

type IndexPart = { readonly name: string | null; readonly coll: string };

function uniqueOf(connection: Connection, index: string, partial: boolean, columns: readonly ColumnDetail[]): Unique {
  const parts = connection
    .statement("select name, coll from pragma_index_xinfo(?) where key = 1 order by seqno")
    .all(index) as unknown as IndexPart[];
  const sql = connection.statement("select sql from sqlite_schema where type = 'index' and name = ?").get(index)?.[
    "sql"
  ];
  const text = typeof sql === "string" ? readIndexText(sql) : null; // the index of a constraint has no text, nor needs one
  const clashes = parts.map((part, i) =>
    part.name === null
      ? expressionClash(text?.terms[i] ?? "NULL", columns)
      : columnClash(part.name, part.coll, columns),
  );
  // The condition makes the index usable for the search. That NEW meets it is not asked: a row too many is no harm.
  if (text?.where) clashes.push(`(${text.where})`);
  // A row can enter a partial index, or change an expression, by any of its columns.
  const plain = !partial && parts.every((part) => part.name !== null);
  const touched = plain ? parts.map(({ name }) => changed(name ?? "")).join(" OR ") : null;
  return { clash: clashes.join(" AND "), touched };
}

/** By bytes, whatever the column's collation: the index may have another one. */
const changed = (column: string): string => `NEW.${quoted(column)} COLLATE BINARY IS NOT OLD.${quoted(column)}`;

/** A text, number or blob literal: what can stand in the trigger for a column's default. */
const LITERAL = /^(?:x?'(?:[^']|'')*'|[+-]?[\d.]+(?:e[+-]?\d+)?)$/i;

function columnClash(name: string, collation: string, columns: readonly ColumnDetail[]): string {
  const detail = columns.find((column) => column.name === name);
  // OR REPLACE puts the default in place of a refused NULL, after the BEFORE triggers have seen the NULL.
  const value =
    detail?.notnull === 1 && detail.dflt !== null && LITERAL.test(detail.dflt)
      ? `coalesce(NEW.${quoted(name)}, ${detail.dflt})`
      : `NEW.${quoted(name)}`;
  return `t.${quoted(name)} = ${value} COLLATE ${quoted(collation)}`;
}

/** The expression's text stands twice: over the row `t`, and over a row made of NEW whose columns have the same names. */
function expressionClash(expression: string, columns: readonly ColumnDetail[]): string {
  const made = columns.map(({ name }) => `NEW.${quoted(name)} AS ${quoted(name)}`).join(", ");
  return `(${expression}) IN (SELECT ${expression} FROM (SELECT ${made}))`;
}
