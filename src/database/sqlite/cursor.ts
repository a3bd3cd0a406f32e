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
    seen text
  )`);
}

/** @param exists the table's absence is a cursor at the start: nothing was installed yet */
export function readCursor(connection: Connection, exists: boolean): Cursor {
  const row = exists
    ? connection.statement("select c.id, c.changes, c.seen from waybill_cursor as c").get()
    : undefined;
  const seen = row?.["seen"];
  return {
    id: updateId(Number(row?.["id"] ?? 0)),
    changes: Number(row?.["changes"] ?? 0),
    seen: typeof seen === "string" ? seen : null,
  };
}

/** Within the caller's transaction. False: it was not at `from`; nothing was done. */
export function writeCursor(connection: Connection, from: Cursor, to: Cursor): boolean {
  const now = readCursor(connection, true);
  if (now.id !== from.id || now.changes !== from.changes) return false;
  connection
    .statement(
      `insert into waybill_cursor (only_row, id, changes, seen) values (1, ?, ?, ?)
       on conflict (only_row) do update set id = excluded.id, changes = excluded.changes, seen = excluded.seen`,
    )
    .run(BigInt(to.id), BigInt(to.changes), to.seen);
  return true;
}
