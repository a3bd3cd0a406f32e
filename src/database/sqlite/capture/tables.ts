import type { Connection } from "../connection.ts";
import { GATE_TABLE } from "./gate.ts";
import { UNSEEN_TABLE } from "./unseen.ts";

/**
 * Our tables in the application's database.
 *
 * `waybill_outbox` takes OLD and NEW values of every captured table as they are: no types, no constraints, no functions.
 * A declared type would convert values, and a constraint would be judged by the conflict clause of the *application's*
 * statement: under its OR IGNORE a refused outbox row would simply be missing. Column i of a table stands in `o<i>` (before)
 * and `n<i>` (after); which column that is, tells the row's `layout`.
 *
 * `waybill_note` holds rows that the running statement may displace (see triggers.ts); between statements it is garbage.
 * `waybill_cut` holds outbox ids that end a message; an application may insert a row as the first act of a transaction.
 * `waybill_unseen` holds those behind which records do not join on.
 */
const outbox = (width: number): string =>
  `create table if not exists waybill_outbox (id integer primary key, layout, op, at, origin, aim${columns("o", width)}${columns("n", width)})`;
const note = (width: number): string => `create table if not exists waybill_note (tbl, event${columns("o", width)})`;
const columns = (letter: string, width: number): string =>
  Array.from({ length: width }, (_, i) => `, ${letter}${i}`).join("");

const TABLES = [
  GATE_TABLE,
  UNSEEN_TABLE,
  outbox(0),
  note(0),
  "create table if not exists waybill_cut (id integer primary key, through)",
  `create trigger if not exists waybill_cut_here after insert on waybill_cut when new.through is null begin
     update waybill_cut set through = (select max(o.id) from waybill_outbox as o) where id = new.id;
   end`,
  "create table if not exists waybill_layout (id integer primary key, tbl text not null, shape text not null)",
  `create table if not exists waybill_message (
     epoch text not null, seq integer not null, part integer not null, more integer not null,
     bytes blob not null, chain blob not null, changes integer not null, at text not null,
     primary key (epoch, seq, part))`,
  `create table if not exists waybill_capture (
     id integer primary key check (id = 1),
     plan text, off integer not null default 0,
     epoch text, packed_through integer not null default 0, chain blob not null default (zeroblob(32)),
     received_through integer not null default 0, loaded_through integer not null default 0,
     dropped_through integer not null default 0, dropped_chain blob not null default (zeroblob(32)),
     open_part integer, open_through integer, open_chain blob, open_trace text,
     check (loaded_through <= packed_through and received_through <= packed_through),
     check (dropped_through <= packed_through),
     check ((open_part is null) = (open_through is null) and (open_part is null) = (open_chain is null)))`,
  "insert or ignore into waybill_capture (id) values (1)",
  `create table if not exists waybill_resync (
     id integer primary key, tbl text not null, aim text, rows integer not null default 0)`,
  "create table if not exists waybill_resync_after (resync integer, position integer, value, primary key (resync, position))",
  "create table if not exists waybill_fact (name text primary key, value text not null) without rowid",
];

export function makeTables(connection: Connection): void {
  for (const sql of TABLES) connection.db.exec(sql);
}

export const hasTables = (connection: Connection): boolean =>
  connection
    .statement(
      "select count(*) as n from sqlite_schema where type = 'table' and name in ('waybill_capture', 'waybill_unseen')",
    )
    .get()?.["n"] === 2; // the latter came later

/** How many columns of a table the outbox can take now. */
export function widthOf(connection: Connection): number {
  const row = connection
    .statement("select count(*) as width from pragma_table_info('waybill_outbox') where name glob 'n[0-9]*'")
    .get();
  return Number(row?.["width"] ?? 0);
}

/**
 * Grows outbox and notes, within the caller's transaction. An empty outbox is made anew: adding columns one by one takes
 * milliseconds each, though it rewrites no row.
 */
export function widen(connection: Connection, width: number): void {
  const now = widthOf(connection);
  if (now >= width) return;
  connection.db.exec(`drop table waybill_note; ${note(width)}`);
  if (connection.statement("select 1 from waybill_outbox limit 1").get() === undefined) {
    connection.db.exec(`drop table waybill_outbox; ${outbox(width)}`);
    return;
  }
  for (let i = now; i < width; i++) {
    connection.db.exec(`alter table waybill_outbox add column o${i}; alter table waybill_outbox add column n${i}`);
  }
}

/** SQLite's limit is 2,000 columns a table; the outbox needs two for each column of the widest table. */
export const MAX_WIDTH = 990;
