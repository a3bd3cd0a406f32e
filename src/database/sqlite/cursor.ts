import { updateId } from "../../base/ids.ts";
import type { Cursor } from "../port.ts";
import type { Connection } from "./connection.ts";

/**
 * How far updates have taken effect in this database: one row, moved in the transaction of the effects themselves.
 * No STRICT and no functions in anything that stays in an application's file: its own SQLite may be ten years old.
 */
export function createCursor(connection: Connection): void {
  connection.db.exec(`create table if not exists waybill_cursor (
    only_row integer primary key check (only_row = 1), -- there is one
    id integer not null check (id >= 0),
    changes integer not null check (changes >= 0),
    seen text,
    inside text,
    strand text
  )`);
  if (!hasStrand(connection)) connection.db.exec("alter table waybill_cursor add column strand text");
}

/** The table may have been made before cursors had one. */
export const hasStrand = (connection: Connection): boolean =>
  connection.statement("select 1 from pragma_table_info('waybill_cursor') as c where c.name = 'strand'").get() !==
  undefined;

/** @param exists the table's absence is a cursor at the start: nothing was installed yet */
export function readCursor(connection: Connection, exists: boolean): Cursor {
  const row = exists ? connection.statement("select c.* from waybill_cursor as c").get() : undefined;
  const text = (name: "seen" | "inside" | "strand"): string | null => {
    const value = row?.[name];
    return typeof value === "string" ? value : null;
  };
  return {
    id: updateId(Number(row?.["id"] ?? 0)),
    changes: Number(row?.["changes"] ?? 0),
    seen: text("seen"),
    inside: text("inside"),
    strand: text("strand"),
  };
}

/** Within the caller's transaction. False: it was not at `from`; nothing was done. */
export function writeCursor(connection: Connection, from: Cursor, to: Cursor): boolean {
  const now = readCursor(connection, true);
  if (now.id !== from.id || now.changes !== from.changes) return false;
  connection
    .statement(
      `insert into waybill_cursor (only_row, id, changes, seen, inside, strand) values (1, ?, ?, ?, ?, ?)
       on conflict (only_row) do update set id = excluded.id, changes = excluded.changes, seen = excluded.seen,
         inside = excluded.inside, strand = excluded.strand`,
    )
    .run(BigInt(to.id), BigInt(to.changes), to.seen, to.inside, to.strand);
  return true;
}
