import { updateId } from "../../base/ids.ts";
import type { Cursor } from "../port.ts";
import type { Connection } from "./connection.ts";

/** How far updates have taken effect in this database: one row, moved in the transaction of the effects themselves. */
export const CURSOR_TABLE = `create table if not exists public.waybill_cursor (
  only_row boolean primary key default true check (only_row),
  id bigint not null check (id >= 0),
  changes bigint not null check (changes >= 0),
  seen text,
  inside text,
  strand text)`;
/** The table may have been made before cursors had one. */
export const CURSOR_STRAND = "alter table public.waybill_cursor add column if not exists strand text";
export async function hasStrand(connection: Connection): Promise<boolean> {
  const sql = `select from pg_attribute where attrelid = 'public.waybill_cursor'::regclass and attname = 'strand'`;
  return (await connection.query(sql)).length > 0;
}

/** The table's absence is a cursor at the start: nothing was installed yet. */
export async function readCursor(connection: Connection, exists: boolean): Promise<Cursor> {
  const sql = "select id, changes, seen, inside, to_jsonb(c) ->> 'strand' from public.waybill_cursor as c";
  const [[id, changes, seen, inside, strand] = []] = exists ? await connection.query(sql) : [];
  return {
    id: updateId(Number(id ?? 0)),
    changes: Number(changes ?? 0),
    seen: seen ?? null,
    inside: inside ?? null,
    strand: strand ?? null,
  };
}

/** Within the caller's transaction. False: it was not at `from`; nothing was done. */
export async function writeCursor(connection: Connection, from: Cursor, to: Cursor): Promise<boolean> {
  const { id, changes, seen, inside, strand } = to;
  if (from.id === 0 && from.changes === 0) {
    const sql =
      "insert into public.waybill_cursor (id, changes, seen, inside, strand) values ($1, $2, $3, $4, $5) on conflict do nothing";
    if ((await connection.run(sql, id, changes, seen, inside, strand)) === 1) return true;
  }
  const sql = `update public.waybill_cursor set id = $1, changes = $2, seen = $3, inside = $4, strand = $5
    where id = $6 and changes = $7`;
  return (await connection.run(sql, id, changes, seen, inside, strand, from.id, from.changes)) === 1;
}
