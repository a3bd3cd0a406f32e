import type { Finding } from "../finding.ts";
import { Connection, quoted } from "./connection.ts";
import { Catalog, column, type SqliteColumn, type SqliteTable } from "./describe.ts";
import { sqlitePath } from "./open.ts";

export async function examineSqlite(url: string, tables: readonly string[] | null): Promise<readonly Finding[]> {
  using connection = new Connection(sqlitePath(url), { readOnly: true });
  return connection.snapshot(() => {
    const known = new Catalog(connection).tables;
    const wanted = tables === null ? [...known.values()] : tables.flatMap((name) => known.get(name) ?? []);
    return [
      ...missing(known, tables),
      ...journal(connection),
      ...wanted.flatMap((table) => ofTable(connection, table)),
    ];
  });
}

function missing(known: ReadonlyMap<string, SqliteTable>, wanted: readonly string[] | null): Finding[] {
  return (wanted ?? [])
    .filter((table) => !known.has(table))
    .map((table) => ({
      weight: "harm",
      table,
      column: null,
      what: "there is no such table, or it is a view or a virtual table",
      remedy: "Correct its name under `tables` in the config; names are told apart by case.",
    }));
}

function journal(connection: Connection): Finding[] {
  const [mode] = connection.row("pragma main.journal_mode") ?? [];
  if (mode === "wal" || mode === "memory") return [];
  return [
    {
      weight: "advice",
      table: null,
      column: null,
      what: `the journal mode is ${String(mode)}: whoever reads keeps others from writing, and the other way round`,
      remedy:
        "If every program that opens this file can (SQLite 3.7 or newer, on a local disk), run `pragma journal_mode = wal` once.",
    },
  ];
}

function ofTable(connection: Connection, table: SqliteTable): Finding[] {
  return [
    ...keyFindings(connection, table),
    ...indexFindings(connection, table),
    ...table.columns.filter((one) => !one.generated).flatMap((one) => columnFindings(connection, table, one)),
  ];
}

function keyFindings(connection: Connection, table: SqliteTable): Finding[] {
  const about = { table: table.name, column: null };
  if (table.key.length === 0) {
    const what =
      "it has no primary key, nor a unique key without nullable columns: its rows cannot be told apart on the other side";
    return [{ ...about, weight: "harm", what, remedy: "Give it a primary key." }];
  }
  const anyNull = table.key.map((name) => `${column(name)} is null`).join(" or ");
  const nulls = count(connection, table, anyNull);
  if (nulls === 0) return [];
  const what = `${nulls} row(s) have NULL in their key ${table.key.join(", ")}, which SQLite allows: they are left out`;
  return [{ ...about, weight: "harm", what, remedy: "Give these rows a key, and declare its columns NOT NULL." }];
}

/** Unique indexes that *describe* leaves out, because they do not hold by the columns alone. */
function indexFindings(connection: Connection, table: SqliteTable): Finding[] {
  const indexes = connection.rows(
    `select i.name, i.partial from pragma_index_list(?) as i where i."unique" = 1`,
    table.name,
  );
  return indexes.flatMap(([name = null, partial]): Finding[] => {
    const parts = connection.rows("select p.cid from pragma_index_xinfo(?) as p where p.key = 1", name);
    const kind =
      partial === 1n
        ? "holds for some rows only (it has a WHERE)"
        : parts.some(([cid]) => cid === -2n)
          ? "is on an expression"
          : null;
    if (kind === null) return [];
    return [
      {
        weight: "risk",
        table: table.name,
        column: null,
        what: `the unique index ${String(name)} ${kind}: which messages wait for which cannot be seen by it`,
        remedy:
          "Nothing is lost: a row it refuses becomes a dead letter with this index as its cause. A unique index on plain columns is foreseen.",
      },
    ];
  });
}

function columnFindings(connection: Connection, table: SqliteTable, one: SqliteColumn): Finding[] {
  const about = { table: table.name, column: one.name };
  const named = column(one.name);
  if (one.kind === "decimal") {
    const doubles = count(connection, table, `typeof(${named}) = 'real'`);
    if (doubles === 0) return [];
    const what = `declared ${one.declared}, so SQLite keeps what has a fraction as a binary double: ${doubles} row(s) hold one. Digits beyond the 15th are gone before Waybill sees the value`;
    return [
      {
        ...about,
        weight: "harm",
        what,
        remedy: "Declare the column TEXT and write decimals as text, or INTEGER and write cents.",
      },
    ];
  }
  if (one.kind === "text" && one.affinity === "numeric") {
    const numbers = count(connection, table, `typeof(${named}) in ('integer', 'real')`);
    if (numbers === 0) return [];
    const what = `declared ${one.declared}, a type that SQLite takes for numeric: ${numbers} text(s) that look like a number were made one ("007" is 7)`;
    return [{ ...about, weight: "harm", what, remedy: "Declare the column TEXT." }];
  }
  return [];
}

function count(connection: Connection, table: SqliteTable, where: string): number {
  const [rows] = connection.row(`select count(*) from main.${quoted(table.name)} as t where ${where}`) ?? [];
  return Number(rows ?? 0);
}
