import { WaybillError } from "../../base/errors.ts";
import type { Collation, Column, ColumnKind, ForeignKey, TableShape } from "../../message/shape.ts";
import { quoted, type Connection } from "./connection.ts";
import type { Affinity } from "./values.ts";

/** What SQLite's own rooms must know of a table beyond its shape. */
export type SqliteTable = Omit<TableShape, "columns"> & {
  readonly columns: readonly SqliteColumn[];
  readonly withoutRowid: boolean;
  readonly strict: boolean;
  /** Some foreign key is checked at the commit only. */
  readonly deferredKeys: boolean;
  /** Some constraint says `ON CONFLICT REPLACE` or the like: a plain INSERT could change or lose a third row. */
  readonly ownConflictClauses: boolean;
  /** Our triggers are on this table. */
  readonly captured: boolean;
};
export type SqliteColumn = Column & { readonly affinity: Affinity };
export type SqliteTables = ReadonlyMap<string, SqliteTable>;

/** Prefix of everything that is ours in a database; the application's tables and triggers do not start with it. */
export const OURS = "waybill_";

/**
 * The tables as they are now. Reading all of a schema takes milliseconds; it is read again only when SQLite's schema
 * version has moved, which costs a microsecond to see.
 */
export class Catalog {
  readonly #connection: Connection;
  #version = -1;
  #tables: SqliteTables = new Map();
  #ours: ReadonlySet<string> = new Set();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  now(): { readonly version: string; readonly tables: SqliteTables } {
    this.#refresh();
    return { version: String(this.#version), tables: this.#tables };
  }
  /** Another number whenever any table, index or trigger was made, altered or dropped. */
  get version(): number {
    this.#refresh();
    return this.#version;
  }
  get tables(): SqliteTables {
    this.#refresh();
    return this.#tables;
  }
  /** Does this table of ours exist? */
  has(ours: string): boolean {
    this.#refresh();
    return this.#ours.has(ours);
  }
  /** @throws TABLE_UNKNOWN */
  table(name: string): SqliteTable {
    const table = this.tables.get(name);
    if (!table) throw new WaybillError("TABLE_UNKNOWN", `${this.#connection.path} has no table ${name}`);
    return table;
  }

  #refresh(): void {
    const { db } = this.#connection;
    const seen = schemaVersion(this.#connection);
    if (seen === this.#version) return;
    // Several pragmas must tell of one moment; within a transaction they do already.
    const read = (): void => {
      this.#version = schemaVersion(this.#connection);
      this.#tables = readTables(this.#connection);
      const tables = this.#connection.rows("select name from main.sqlite_schema where type = 'table'");
      this.#ours = new Set(tables.map(([name]) => String(name)).filter((name) => name.startsWith(OURS)));
    };
    if (db.isTransaction) read();
    else this.#connection.snapshot(read);
  }
}

export function schemaVersion(connection: Connection): number {
  return Number(Object.values(connection.statement("pragma main.schema_version").get() ?? {})[0]);
}

const lower = (name: string): string => name.toLowerCase();

function readTables(connection: Connection): SqliteTables {
  const triggers = new Map<string, { ours: boolean; others: boolean }>();
  for (const [name, table] of connection.rows("select name, tbl_name from main.sqlite_schema where type = 'trigger'")) {
    const on = lower(String(table));
    const seen = triggers.get(on) ?? { ours: false, others: false };
    triggers.set(on, lower(String(name)).startsWith(OURS) ? { ...seen, ours: true } : { ...seen, others: true });
  }
  // Views have no rows of their own, virtual tables and their shadows cannot carry triggers.
  const listed = connection
    .rows(
      `select l.name, l.wr, l.strict, s.sql
     from pragma_table_list as l join main.sqlite_schema as s on s.type = 'table' and s.name = l.name
     where l.schema = 'main' and l.type = 'table' order by l.name`,
    )
    .filter(([name]) => !/^(sqlite_|waybill_)/i.test(String(name)));

  const found = new Map<string, SqliteTable>();
  for (const [given, withoutRowid, strict, sql] of listed) {
    const name = String(given);
    const words = bareWords(String(sql));
    const indexes = readIndexes(connection, name);
    const { columns, primary } = readColumns(connection, name, indexes, {
      strict: strict === 1n,
      withoutRowid: withoutRowid === 1n,
    });
    const on = triggers.get(lower(name));
    const uniques = indexes.map((index) => index.columns.map((column) => column.name));
    const nullable = new Set(columns.filter((column) => column.nullable).map((column) => column.name));
    const key =
      primary.length > 0 ? primary : (uniques.find((unique) => unique.every((column) => !nullable.has(column))) ?? []);
    found.set(name, {
      name,
      columns,
      key,
      uniques:
        primary.length > 0 && !uniques.some((unique) => sameSet(unique, primary)) ? [primary, ...uniques] : uniques,
      foreignKeys: [], // parents' keys are needed to read them: below
      foreignTriggers: on?.others ?? false,
      withoutRowid: withoutRowid === 1n,
      strict: strict === 1n,
      deferredKeys: /(?<!NOT )DEFERRABLE INITIALLY DEFERRED/.test(words),
      ownConflictClauses: /ON CONFLICT (?:REPLACE|IGNORE|FAIL|ROLLBACK)/.test(words),
      captured: on?.ours ?? false,
    });
  }
  const byLower = new Map([...found.values()].map((table) => [lower(table.name), table]));
  for (const table of found.values())
    found.set(table.name, { ...table, foreignKeys: readForeignKeys(connection, table, byLower) });
  return found;
}

type Index = { readonly columns: readonly { readonly name: string; readonly collation: string }[] };

/** The unique indexes that hold for every row by its columns alone: partial ones and ones on expressions are left out. */
function readIndexes(connection: Connection, table: string): Index[] {
  const list = connection.rows(
    `select name, partial from pragma_index_list(?) where "unique" = 1 order by seq desc`,
    table,
  );
  const indexes: Index[] = [];
  for (const [name, partial] of list) {
    const parts = connection.rows(
      "select cid, name, coll from pragma_index_xinfo(?) where key = 1 order by seqno",
      String(name),
    );
    if (partial === 1n || parts.some(([cid]) => cid === -2n)) continue;
    indexes.push({
      columns: parts.map(([, column, collation]) => ({ name: String(column), collation: lower(String(collation)) })),
    });
  }
  return indexes;
}

function readColumns(
  connection: Connection,
  table: string,
  indexes: readonly Index[],
  made: { readonly strict: boolean; readonly withoutRowid: boolean },
): { columns: SqliteColumn[]; primary: string[] } {
  const rows = connection.rows(
    `select name, type, "notnull", dflt_value, pk, hidden from pragma_table_xinfo(?) order by cid`,
    table,
  );
  const keyed = rows.filter(([, , , , pk]) => pk !== 0n).toSorted((a, b) => Number(a[4]) - Number(b[4]));
  const primary = keyed.map(([name]) => String(name));
  // INTEGER PRIMARY KEY is the row's number itself: never null, given by SQLite when left out, and without an index.
  const alone =
    keyed.length === 1 && !made.withoutRowid && lower(String(keyed[0]?.[1])) === "integer" ? primary[0] : undefined;
  const rowid =
    alone !== undefined &&
    indexes.some((index) =>
      sameSet(
        index.columns.map((c) => c.name),
        [alone],
      ),
    )
      ? undefined
      : alone;
  const collations = new Map(
    indexes.toReversed().flatMap((index) => index.columns.map((column) => [column.name, column.collation])),
  );
  const columns = rows.map(([given, type, notNull, byDefault, pk, hidden]): SqliteColumn => {
    const name = String(given);
    const declared = String(type);
    const collation = collationOf(collations.get(name));
    return {
      name,
      kind: kindOf(declared),
      declared,
      affinity: affinityOf(declared, made.strict),
      nullable: notNull === 0n && name !== rowid && !(made.withoutRowid && pk !== 0n),
      generated: hidden === 2n || hidden === 3n,
      hasDefault: byDefault !== null || name === rowid,
      ...(collation && { collation }),
    };
  });
  return { columns, primary };
}

/** A collation that the application defined itself is compared letter by letter: we cannot know it. */
const collationOf = (name: string | undefined): Collation | undefined =>
  name === "nocase" || name === "rtrim" ? name : undefined;

function readForeignKeys(
  connection: Connection,
  table: SqliteTable,
  byLower: ReadonlyMap<string, SqliteTable>,
): ForeignKey[] {
  const rows = connection.rows(
    `select id, "table", "from", "to" from pragma_foreign_key_list(?) order by id, seq`,
    table.name,
  );
  const byId = Map.groupBy(rows, ([id]) => id);
  return [...byId.values()].map((parts): ForeignKey => {
    const named = String(parts[0]?.[1]);
    const parent = byLower.get(lower(named));
    // Names in a REFERENCES clause may be written in another case than the tables and columns they mean.
    const real = (of: SqliteTable | undefined, column: string): string =>
      of?.columns.find((known) => lower(known.name) === lower(column))?.name ?? column;
    return {
      columns: parts.map(([, , from]) => real(table, String(from))),
      parent: parent?.name ?? named,
      // A REFERENCES clause without columns means the parent's primary key.
      parentColumns: parts.map(([, , , to], at) =>
        typeof to !== "string" ? (parent?.key[at] ?? "") : real(parent, to),
      ),
    };
  });
}

/** By the declared type alone: https://www.sqlite.org/datatype3.html#determination_of_column_affinity, in that order. */
export function affinityOf(declared: string, strict: boolean): Affinity {
  const type = declared.toUpperCase();
  if (type.includes("INT")) return "integer";
  if (/CHAR|CLOB|TEXT/.test(type)) return "text";
  if (type === "" || type.includes("BLOB")) return "blob";
  if (/REAL|FLOA|DOUB/.test(type)) return "real";
  return strict && type === "ANY" ? "blob" : "numeric";
}

/** What the column is meant to hold. Types that SQLite has no rule for are told by the words people use for them. */
export function kindOf(declared: string): ColumnKind {
  const type = declared.toUpperCase();
  switch (affinityOf(declared, false)) {
    case "integer":
      return "integer";
    case "text":
      return "text";
    case "real":
      return "float";
    case "blob":
      return type === "" ? "text" : "binary";
    case "numeric":
      return NUMERIC_WORDS.find(([word]) => word.test(type))?.[1] ?? "text";
  }
}
const NUMERIC_WORDS: readonly (readonly [RegExp, ColumnKind])[] = [
  [/BOOL/, "boolean"],
  [/JSON/, "json"],
  [/UUID|GUID|UNIQUEIDENTIFIER/, "uuid"],
  [/DATETIME|TIMESTAMP/, "timestamp"],
  [/DATE/, "date"],
  [/TIME/, "time"],
  [/BINARY|BYTEA|IMAGE/, "binary"],
  [/DEC|NUM|MONEY|CURRENCY|FIXED/, "decimal"],
];

/** The statement's words in capitals, one space between; texts, quoted names and comments are left out. */
export function bareWords(sql: string): string {
  const tokens =
    sql.match(
      /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|[\p{L}\p{N}_$]+|[(),]/gu,
    ) ?? [];
  return tokens
    .filter((token) => !/^(?:['"`[]|--|\/\*)/.test(token))
    .join(" ")
    .toUpperCase();
}

const sameSet = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name) => b.includes(name));

/** `t."column"`, which SQLite can never take for a text. */
export const column = (name: string): string => `t.${quoted(name)}`;
