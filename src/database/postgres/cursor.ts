import { updateId } from "../../base/ids.ts";
import type { Cursor } from "../port.ts";
import type { Connection } from "./connection.ts";

/** How far updates have taken effect in this database: one row, moved in the transaction of the effects themselves. */
export const CURSOR_TABLE = `create table if not exists public.waybill_cursor (
  only_row boolean primary key default true check (only_row),
  id bigint not null check (id >= 0),
  changes bigint not null check (changes >= 0),
  seen text)`;

/** The table's absence is a cursor at the start: nothing was installed yet. */
export async function readCursor(connection: Connection, exists: boolean): Promise<Cursor> {
  const sql = "select id, changes, seen from public.waybill_cursor";
  const [[id, changes, seen] = []] = exists ? await connection.query(sql) : [];
  return { id: updateId(Number(id ?? 0)), changes: Number(changes ?? 0), seen: typeof seen === "string" ? seen : null };
}

/** Within the caller's transaction. False: it was not at `from`; nothing was done. */
export async function writeCursor(connection: Connection, from: Cursor, to: Cursor): Promise<boolean> {
  if (from.id === 0 && from.changes === 0) {
    const sql = "insert into public.waybill_cursor (id, changes, seen) values ($1, $2, $3) on conflict do nothing";
    if ((await connection.run(sql, to.id, to.changes, to.seen)) === 1) return true;
  }
  const sql = "update public.waybill_cursor set id = $1, changes = $2, seen = $3 where id = $4 and changes = $5";
  return (await connection.run(sql, to.id, to.changes, to.seen, from.id, from.changes)) === 1;
}
