import type { Connection } from "../connection.ts";

/**
 * Echo suppression. A row of `waybill_gate` names a table that we are loading ourselves and the terminal its rows came from.
 * Our triggers look at it: at a terminal they record nothing while the row is there, at the centre they record the origin.
 *
 * The row is written and deleted inside the loading transaction: no other connection ever sees it, and a process that is
 * killed leaves none behind. It names one table, so what the application's own triggers write to other tables meanwhile
 * is captured like any other write.
 */
export const GATE_TABLE = "create table if not exists waybill_gate (tbl primary key, origin) without rowid";

/** Call inside the loading transaction, before statements on `table`. A gate that is open already takes the new origin. */
export function openGate(connection: Connection, table: string, origin: string | null): void {
  connection.statement("insert or replace into waybill_gate (tbl, origin) values (?, ?)").run(table, origin);
}

/** Call inside the same transaction, when the statements on `table` are done. */
export function closeGate(connection: Connection, table: string): void {
  connection.statement("delete from waybill_gate where tbl = ?").run(table);
}
