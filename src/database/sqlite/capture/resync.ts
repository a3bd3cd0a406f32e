import { WaybillError } from "../../../base/errors.ts";
import { quoted, type Connection } from "../connection.ts";
import type { Row } from "../../../message/change.ts";
import type { Catalog, SqliteTable } from "../describe.ts";
import { allRows, boundValues, keyColumns, oneRow, whereKey } from "../rows.ts";
import { Unfit, type SqlValue } from "../values.ts";
import { ensureLayout } from "./layout.ts";
import { subjectOf, type Subject } from "./subject.ts";

/**
 * Puts a table's rows into the outbox as they are, a page at a time. A page is read and written in one write transaction: no
 * application's change can come between, so a page never puts an old row behind a newer change. Rows are taken in key order,
 * by which a resync also goes on after a crash; a row whose key holds NULL has no identity and is left out.
 */

/** Within the caller's transaction. A resync of this table for the same audience begins anew. */
export function startResync(connection: Connection, table: string, aim: string | null): void {
  const running = connection
    .statement("select r.id from waybill_resync as r where r.tbl = ? and r.aim is ?")
    .get(table, aim)?.["id"];
  if (running !== undefined) finish(connection, Number(running));
  connection.statement("insert into waybill_resync (tbl, aim) values (?, ?)").run(table, aim);
}

/** @throws TABLE_UNKNOWN when the table is not captured */
export function requestResync(connection: Connection, catalog: Catalog, table: string, aim: string | null): void {
  if (!catalog.tables.get(table)?.captured)
    throw new WaybillError("TABLE_UNKNOWN", `table ${table} is not captured, so it cannot be resynchronised`);
  connection.immediate(() => startResync(connection, table, aim));
}

/** One page of the resync that began first. Reads only when there is none. */
export function stepResync(connection: Connection, catalog: Catalog, pageRows: number): "more" | "done" {
  if (oldest(connection) === null) return "done";
  return connection.immediate(() => {
    const running = oldest(connection);
    if (running === null) return "done";
    const shape = catalog.tables.get(running.table);
    const subject = subjectOf(connection, shape, running.table);
    // The table was dropped or has lost its key; capture says so when it looks at the plan.
    if (!shape || "why" in subject) finish(connection, running.id);
    else writePage(connection, running, shape, subject, pageRows);
    return oldest(connection) === null ? "done" : "more";
  });
}

/** @throws TABLE_UNKNOWN when the table is not captured */
export function resendRows(
  connection: Connection,
  catalog: Catalog,
  table: string,
  keys: readonly Row[],
  aim: string | null,
): number {
  const shape = catalog.tables.get(table);
  const subject = subjectOf(connection, shape, table);
  if (!shape?.captured || "why" in subject)
    throw new WaybillError("TABLE_UNKNOWN", `table ${table} is not captured, so its rows cannot be sent again`);
  return connection.immediate(() => {
    const layout = BigInt(ensureLayout(connection, subject));
    const places = subject.columns.map((_, i) => `n${i}`).join(", ");
    const values = subject.columns.map(({ name }) => `t.${quoted(name)}`).join(", ");
    const row = `insert into waybill_outbox (layout, op, at, aim, ${places}) select ?, 'upsert', julianday('now'), ?, ${values} from ${quoted(shape.name)} as t where ${whereKey(shape)}`;
    const olds = shape.key.map((name) => `o${subject.columns.findIndex((one) => one.name === name)}`);
    const gone = `insert into waybill_outbox (layout, op, at, aim, ${olds.join(", ")}) values (?, 'delete', julianday('now'), ?, ${olds.map(() => "?").join(", ")})`;
    cut(connection);
    let written = 0;
    for (const key of keys) {
      const bound = boundValues(keyColumns(shape), key);
      if (bound instanceof Unfit) continue; // no row can have such a key
      let changes = Number(connection.exact(row).run(layout, aim, ...bound).changes);
      if (changes === 0 && aim !== null) changes = Number(connection.exact(gone).run(layout, aim, ...bound).changes);
      written += changes;
    }
    cut(connection);
    return written;
  });
}

/** A message may end here, whatever the pauses between commits were. */
function cut(connection: Connection): void {
  connection
    .statement(
      `insert into waybill_cut (through) select (select max(o.id) from waybill_outbox as o)
       where exists (select 1 from waybill_outbox)`, // the plain max is one look, with HAVING it would read the whole outbox
    )
    .run();
}

export function resyncs(connection: Connection): readonly { readonly table: string; readonly rows: number }[] {
  return connection
    .statement("select r.tbl, r.rows from waybill_resync as r order by r.id")
    .all()
    .map((row) => ({ table: String(row["tbl"]), rows: Number(row["rows"]) }));
}

type Running = { readonly id: number; readonly table: string; readonly aim: string | null };

function oldest(connection: Connection): Running | null {
  const row = connection.statement("select r.id, r.tbl, r.aim from waybill_resync as r order by r.id limit 1").get();
  if (!row) return null;
  return { id: Number(row["id"]), table: String(row["tbl"]), aim: row["aim"] === null ? null : String(row["aim"]) };
}

function writePage(
  connection: Connection,
  running: Running,
  shape: SqliteTable,
  subject: Subject,
  pageRows: number,
): void {
  const after = allRows(
    connection.exact("select a.value from waybill_resync_after as a where a.resync = ? order by a.position"),
    [BigInt(running.id)],
  ).map(([value]) => value ?? null);
  const key = shape.key.map((name) => `t.${quoted(name)}`);
  const beyond = after.length > 0 ? ` and (${key.join(", ")}) > (${key.map(() => "?").join(", ")})` : "";
  const page = ` from ${quoted(shape.name)} as t where ${key.map((name) => `${name} is not null`).join(" and ")}${beyond} order by ${key.join(", ")} limit ?`;
  const limit = BigInt(pageRows);
  const last = oneRow(
    connection.exact(
      `select ${key.map((_, i) => `p.k${i}`).join(", ")} from (select ${key.map((name, i) => `${name} as k${i}`).join(", ")}${page}) as p limit -1 offset ?`,
    ),
    [...after, limit, limit - 1n],
  );
  cut(connection);
  const columns = subject.columns;
  const written = connection
    .exact(
      `insert into waybill_outbox (layout, op, at, aim, ${columns.map((_, i) => `n${i}`).join(", ")}) ` +
        `select ?, 'upsert', julianday('now'), ?, ${columns.map(({ name }) => `t.${quoted(name)}`).join(", ")}${page}`,
    )
    .run(BigInt(ensureLayout(connection, subject)), running.aim, ...after, limit);
  cut(connection);
  if (last === undefined) return finish(connection, running.id);
  connection.statement("update waybill_resync set rows = rows + ? where id = ?").run(written.changes, running.id);
  remember(connection, running.id, last);
}

function remember(connection: Connection, resync: number, key: readonly SqlValue[]): void {
  const statement = connection.statement(
    "insert or replace into waybill_resync_after (resync, position, value) values (?, ?, ?)",
  );
  for (const [position, value] of key.entries()) statement.run(resync, position, value);
}

function finish(connection: Connection, resync: number): void {
  connection.statement("delete from waybill_resync_after where resync = ?").run(resync);
  connection.statement("delete from waybill_resync where id = ?").run(resync);
}
