import { WaybillError } from "../../base/errors.ts";
import type { Collation, Column, ColumnKind, ForeignKey, TableShape } from "../../message/shape.ts";
import { quoted, type Connection, type TextRow } from "./connection.ts";

/** What PostgreSQL's own rooms must know of a table beyond its shape. */
export type PostgresTable = Omit<TableShape, "columns"> & {
  /** Schema and name, quoted. */
  readonly sql: string;
  readonly columns: readonly PostgresColumn[];
  /** Which columns a unique index is over, by the index's name: the server names it when it refuses a row. */
  readonly uniqueIndexes: ReadonlyMap<string, readonly string[]>;
  /** Our trigger is on this table. */
  readonly captured: boolean;
  readonly partitioned: boolean;
};
export type PostgresColumn = Column & {
  /** The base type without its limits, as a cast takes it: `numeric`, `public.citext`. A cast with limits would cut values silently. */
  readonly castType: string;
  /** The type's own output function, so that a trigger writes values as a query does. */
  readonly outputFunction: string;
  /** Fraction digits that the column keeps, for times. */
  readonly fraction?: number;
  readonly zoned: boolean;
  /** jsonb does not keep letters, json does. */
  readonly binaryJson: boolean;
  /** GENERATED ALWAYS AS IDENTITY: given when the row is born, and never written again. */
  readonly fixed: boolean;
};
export type PostgresTables = ReadonlyMap<string, PostgresTable>;

/** Prefix of everything that is ours in a database; the application's tables do not start with it. */
export const OURS = "waybill_";

/** The tables as they were last looked at. `refresh` costs one short query while nothing changes. */
export class Catalog {
  readonly #connection: Connection;
  #version = "";
  #tables: PostgresTables = new Map();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async now(): Promise<{ readonly version: string; readonly tables: PostgresTables }> {
    await this.refresh();
    return { version: this.#version, tables: this.#tables };
  }
  /** As of the last look; another text whenever a table, constraint, index or trigger of the application's was made, altered or dropped. */
  get version(): string {
    return this.#version;
  }
  get tables(): PostgresTables {
    return this.#tables;
  }

  async refresh(): Promise<void> {
    const [[seen] = []] = await this.#connection.query(VERSION);
    const version = seen ?? "";
    if (version === this.#version) return;
    this.#tables = await readTables(this.#connection);
    this.#version = version;
  }

  /** Looks again before it says that there is none. @throws TABLE_UNKNOWN */
  async table(name: string): Promise<PostgresTable> {
    if (!this.#tables.has(name)) await this.refresh();
    const table = this.#tables.get(name);
    if (!table) throw new WaybillError("TABLE_UNKNOWN", `the database has no table ${name}`);
    return table;
  }
}

/** Does this table of ours exist? */
export async function hasOurs(connection: Connection, table: string): Promise<boolean> {
  const [[found] = []] = await connection.query("select to_regclass('public.' || $1::text)::text", table);
  return found !== null && found !== undefined;
}

const THEIRS = `c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_%'
  and c.relname not like 'waybill\\_%'`;

/** What any DDL on these tables changes. Asked before each batch, so it reads by index, table by table; statistics are not in it. */
const VERSION = `
  select md5(string_agg(concat_ws(' ', c.oid, c.relname, c.relnamespace,
    (select string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.atthasdef, a.attgenerated, a.attidentity),
                       ',' order by a.attnum)
       from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
    (select string_agg(concat_ws(' ', i.indexrelid, i.indisvalid), ',' order by i.indexrelid)
       from pg_index i where i.indrelid = c.oid and i.indisunique),
    (select string_agg(k.oid::text, ',' order by k.oid)
       from pg_constraint k where k.conrelid = c.oid and k.contype = 'f'),
    (select string_agg(concat_ws(' ', t.oid, t.tgname, t.tgenabled), ',' order by t.oid)
       from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)), ',' order by c.oid))
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${THEIRS}`;

const COLUMNS = `
  select c.oid, n.nspname, c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull or t.typnotnull,
    a.attgenerated <> '', a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
    b.oid::int, b.typcategory, b.typtype, case when t.typtype = 'd' then t.typtypmod else a.atttypmod end,
    quote_ident(bn.nspname) || '.' || quote_ident(b.typname), quote_ident(fn.nspname) || '.' || quote_ident(f.proname), b.typname,
    exists (select from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal and g.tgname not like '%waybill\\_%'),
    exists (select from pg_trigger g where g.tgrelid = c.oid and g.tgname like '%waybill\\_%'),
    a.attidentity = 'a'
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  -- a domain over a domain is followed to what it is made of
  join lateral (
    with recursive base as (
      select d.* from pg_type d where d.oid = t.oid
      union all select d.* from base join pg_type d on d.oid = base.typbasetype where base.typtype = 'd'
    ) select * from base where typtype <> 'd'
  ) b on true
  join pg_namespace bn on bn.oid = b.typnamespace
  join pg_proc f on f.oid = b.typoutput
  join pg_namespace fn on fn.oid = f.pronamespace
  where ${THEIRS}
  order by n.nspname, c.relname, a.attnum`;

/** Full unique indexes over columns alone, the primary key first, then as they were made. */
const UNIQUES = `
  select i.indrelid, x.relname, i.indisprimary, k.place, a.attname
  from pg_index i
  join pg_class x on x.oid = i.indexrelid
  join pg_class c on c.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
  cross join lateral unnest(i.indkey::int[]) with ordinality as k (attnum, place)
  join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
  where ${THEIRS} and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null and k.place <= i.indnkeyatts
  order by i.indrelid, i.indisprimary desc, i.indexrelid, k.place`;

const FOREIGN_KEYS = `
  select f.conrelid, f.oid, f.confrelid, own.attname, their.attname
  from pg_constraint f
  join pg_class c on c.oid = f.conrelid
  join pg_namespace n on n.oid = c.relnamespace
  cross join lateral unnest(f.conkey, f.confkey) with ordinality as k (own, their, place)
  join pg_attribute own on own.attrelid = f.conrelid and own.attnum = k.own
  join pg_attribute their on their.attrelid = f.confrelid and their.attnum = k.their
  where f.contype = 'f' and f.conparentid = 0 and ${THEIRS}
  order by f.conrelid, f.oid, k.place`;

async function readTables(connection: Connection): Promise<PostgresTables> {
  const [columns, uniques, foreignKeys] = await Promise.all([
    connection.query(COLUMNS),
    connection.query(UNIQUES),
    connection.query(FOREIGN_KEYS),
  ]);
  const uniquesOf = Map.groupBy(uniques, ([table]) => table);
  const names = new Map(columns.map((row) => [row[0] ?? "", tableName(row[1] ?? "", row[2] ?? "")]));
  const foreignOf = Map.groupBy(foreignKeys, ([table]) => table);
  const tables = [...Map.groupBy(columns, ([oid]) => oid ?? "")].map(([oid, rows]) =>
    tableOf(rows, uniquesOf.get(oid) ?? [], readForeignKeys(foreignOf.get(oid) ?? [], names)),
  );
  return new Map(tables.map((table) => [table.name, table]));
}

/** Tables of other schemas than `public` are named with it, as the config names them. */
const tableName = (schema: string, name: string): string => (schema === "public" ? name : `${schema}.${name}`);

function tableOf(
  rows: readonly TextRow[],
  uniqueRows: readonly TextRow[],
  foreignKeys: readonly ForeignKey[],
): PostgresTable {
  const [, schema, relation, kind] = rows[0] ?? [];
  const columns = rows.map(columnOf);
  const indexes = [...Map.groupBy(uniqueRows, ([, index]) => index ?? "")].map(([index, parts]) => ({
    index,
    primary: parts[0]?.[2] === "t",
    columns: parts.map((part) => part[4] ?? ""),
  }));
  const nullable = new Set(columns.filter((column) => column.nullable).map((column) => column.name));
  const key = indexes.find(({ primary, columns: of }) => primary || of.every((name) => !nullable.has(name)));
  return {
    name: tableName(schema ?? "", relation ?? ""),
    sql: `${quoted(schema ?? "")}.${quoted(relation ?? "")}`,
    columns,
    key: key?.columns ?? [],
    uniques: indexes.map((index) => index.columns),
    uniqueIndexes: new Map(indexes.map((index) => [index.index, index.columns])),
    foreignKeys,
    foreignTriggers: rows[0]?.[16] === "t",
    captured: rows[0]?.[17] === "t",
    partitioned: kind === "p",
  };
}

function columnOf(row: TextRow): PostgresColumn {
  const [, , , , name, declared, notNull, generated, hasDefault] = row;
  const [type, category, typtype, modifier] = [Number(row[9]), row[10], row[11], Number(row[12])];
  const kind = typtype === "b" && category !== "A" ? (KIND_OF[type] ?? "text") : "text";
  const collation = collationOf(row[15] ?? "");
  return {
    name: name ?? "",
    kind,
    declared: declared ?? "",
    nullable: notNull !== "t",
    generated: generated === "t",
    hasDefault: hasDefault === "t",
    castType: row[13] ?? "text",
    outputFunction: row[14] ?? "pg_catalog.textout",
    zoned: type === TIMESTAMPTZ || type === TIMETZ,
    binaryJson: type === JSONB,
    fixed: row[18] === "t",
    ...(collation && { collation }),
    ...limitsOf(type, kind, modifier),
  };
}

const TIMESTAMPTZ = 1184;
const TIMETZ = 1266;
const JSONB = 3802;
/** Of the types that PostgreSQL is born with, by their fixed numbers; all others travel as the text that the server writes. */
const KIND_OF: Readonly<Record<number, ColumnKind>> = {
  16: "boolean", 17: "binary", 20: "integer", 21: "integer", 23: "integer", 26: "integer",
  114: "json", 3802: "json", 700: "float", 701: "float", 1700: "decimal", 2950: "uuid",
  1082: "date", 1083: "time", 1266: "time", 1114: "timestamp", 1184: "timestamp",
}; // oxfmt-ignore

/** char(n) compares without the spaces at its end, citext without case (of the ASCII letters, as far as we say). */
function collationOf(type: string): Collation | undefined {
  return type === "bpchar" ? "rtrim" : type === "citext" ? "nocase" : undefined;
}

/** How the catalogue packs a type's limits into one number: -1 for none, else with 4 added for texts and numerics. */
function limitsOf(
  type: number,
  kind: ColumnKind,
  modifier: number,
): { maxLength?: number; precision?: number; scale?: number; fraction?: number } {
  if (kind === "date") return {};
  if (kind === "time" || kind === "timestamp") return { fraction: modifier < 0 ? 6 : modifier };
  if (modifier < 4) return {};
  if (type === 1042 || type === 1043) return { maxLength: modifier - 4 };
  if (type !== 1700) return {};
  const packed = modifier - 4;
  return { precision: (packed >> 16) & 0xffff, scale: ((packed & 0x7ff) ^ 0x400) - 0x400 };
}

function readForeignKeys(rows: readonly TextRow[], names: ReadonlyMap<string, string>): ForeignKey[] {
  return [...Map.groupBy(rows, ([, id]) => id).values()].map((parts) => ({
    columns: parts.map((part) => part[3] ?? ""),
    parent: names.get(parts[0]?.[2] ?? "") ?? "",
    parentColumns: parts.map((part) => part[4] ?? ""),
  }));
}

/** `t."column"`. */
export const column = (name: string): string => `t.${quoted(name)}`;
