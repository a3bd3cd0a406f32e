import { updateId } from "../../base/ids.ts";
import type { Cursor } from "../port.ts";
import type { Connection } from "./connection.ts";

/** How far updates have taken effect in this database: one row, moved in the transaction of the effects themselves. */
export const CURSOR_TABLE = `create table if not exists public.waybill_cursor (
  only_row boolean primary key default true check (only_row),
  id bigint not null check (id >= 0),
  changes bigint not null check (changes >= 0))`;

/** The table's absence is a cursor at the start: nothing was installed yet. */
export async function readCursor(connection: Connection, exists: boolean): Promise<Cursor> {
  const [[id, changes] = []] = exists ? await connection.query("select id, changes from public.waybill_cursor") : [];
  return { id: updateId(Number(id ?? 0)), changes: Number(changes ?? 0) };
}

/** Within the caller's transaction. False: it was not at `from`; nothing was done. */
export async function writeCursor(connection: Connection, from: Cursor, to: Cursor): Promise<boolean> {
  if (from.id === 0 && from.changes === 0) {
    const sql = "insert into public.waybill_cursor (id, changes) values ($1, $2) on conflict do nothing";
    if ((await connection.run(sql, to.id, to.changes)) === 1) return true;
  }
  const sql = "update public.waybill_cursor set id = $1, changes = $2 where id = $3 and changes = $4";
  return (await connection.run(sql, to.id, to.changes, from.id, from.changes)) === 1;
}
