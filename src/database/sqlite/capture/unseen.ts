import type { Connection } from "../connection.ts";

/**
 * Where records do not join on. What we load into a terminal's tables is not recorded, and a change that cannot be carried is
 * taken out of the outbox: behind such a place a row may be other than the records before it say. Whoever compares records with
 * each other (straighten.ts) begins anew there. Each place is the outbox id that it lies behind.
 */
export const UNSEEN_TABLE = "create table if not exists waybill_unseen (behind integer primary key)";

/** We are about to write rows that are not recorded. Within the loading transaction, so that it is undone with them. At the centre all is recorded. */
export function noteUnseen(connection: Connection): void {
  connection
    .statement(
      `insert or ignore into waybill_unseen (behind) select (select max(o.id) from waybill_outbox as o)
       from waybill_capture as c where c.plan ->> '$.role' = 'terminal' and exists (select 1 from waybill_outbox)`,
    )
    .run();
}

/** The places between these two outbox ids, in order. */
export function unseenBetween(connection: Connection, first: number, last: number): readonly number[] {
  const sql = "select u.behind from waybill_unseen as u where u.behind >= ? and u.behind < ? order by u.behind";
  return connection
    .statement(sql)
    .all(first, last)
    .map((row) => Number(row["behind"]));
}

/** These rows have been taken out of the outbox, whose highest id is now `top`: ids above it are given again. */
export function noteTakenOut(connection: Connection, ids: readonly number[], top: number | null): void {
  for (const id of ids) connection.statement("insert or ignore into waybill_unseen (behind) values (?)").run(id);
  if (top !== null)
    connection
      .statement(
        "insert or ignore into waybill_unseen (behind) select ?1 where exists (select 1 from waybill_unseen as u where u.behind > ?1)",
      )
      .run(top);
  connection.statement("delete from waybill_unseen where behind > ?").run(top ?? 0);
}

/** The outbox rows through this id are packed. */
export function forgetUnseen(connection: Connection, through: number): void {
  connection.statement("delete from waybill_unseen where behind <= ?").run(through);
}
