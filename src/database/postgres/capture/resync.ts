import { WaybillError } from "../../../base/errors.ts";
import { LOAD, type Connection } from "../connection.ts";
import { column, type Catalog, type PostgresTable } from "../describe.ts";
import type { Row } from "../../../message/change.ts";
import { boundValues, carried, keyColumns } from "../rows.ts";
import { Unfit } from "../values.ts";
import { ensureLayout } from "./layout.ts";
import { textArray } from "./triggers.ts";

/**
 * Puts a table's rows into the outbox as they are, a page at a time, in one transaction each. The rows of a page are locked FOR
 * SHARE before they are written down: a writer who came before has committed, so the page has what he wrote, and under a higher
 * id than his; a writer who comes after waits for the page's end, and draws his id then. A plain read could put an old row
 * behind a newer change. Rows are taken in key order, by which a resync also goes on after a crash.
 */

/** Within the caller's transaction. A resync of this table for the same audience begins anew. */
export async function startResync(connection: Connection, table: string, aim: string | null): Promise<void> {
  await connection.run("delete from public.waybill_resync where tbl = $1 and aim is not distinct from $2", table, aim);
  await connection.run("insert into public.waybill_resync (tbl, aim) values ($1, $2)", table, aim);
}

/** @throws TABLE_UNKNOWN when the table is not captured */
export async function requestResync(
  connection: Connection,
  catalog: Catalog,
  table: string,
  aim: string | null,
): Promise<void> {
  if (!(await catalog.now()).tables.get(table)?.captured)
    throw new WaybillError("TABLE_UNKNOWN", `table ${table} is not captured, so it cannot be resynchronised`);
  await connection.transaction(LOAD, () => startResync(connection, table, aim));
}

/** One page of the resync that began first. Reads only when there is none. */
export async function stepResync(connection: Connection, catalog: Catalog, pageRows: number): Promise<"more" | "done"> {
  if ((await resyncs(connection)).length === 0) return "done";
  await catalog.refresh();
  return connection.transaction(LOAD, async () => {
    const [running] = await connection.query(
      "select id, tbl, aim, array_to_json(after) from public.waybill_resync order by id limit 1 for update",
    );
    if (!running) return "done";
    const [id, name, aim, after] = running;
    const table = catalog.tables.get(name ?? "");
    const key = after ? (JSON.parse(after) as string[]) : null;
    const keys = table && table.key.length > 0 ? await writePage(connection, table, aim ?? null, key, pageRows) : [];
    const last = keys.at(-1);
    // Of a table that was dropped or has lost its key nothing is left to do; capture says so when it looks at the plan.
    if (last === undefined || keys.length < pageRows) {
      await connection.run("delete from public.waybill_resync where id = $1", id ?? null);
    } else {
      const sql = "update public.waybill_resync set rows = rows + $2, after = $3::text[] where id = $1";
      await connection.run(sql, id ?? null, keys.length, last);
    }
    return (await resyncs(connection)).length === 0 ? "done" : "more";
  });
}

/**
 * Each row is locked FOR SHARE, like a page's. Before a key is told to be gone, the table is locked against writers and looked
 * at once more: whoever inserts the row waits, and draws a higher id.
 * @throws TABLE_UNKNOWN when the table is not captured
 */
export async function resendRows(
  connection: Connection,
  catalog: Catalog,
  name: string,
  keys: readonly Row[],
  aim: string | null,
): Promise<number> {
  const table = (await catalog.now()).tables.get(name);
  if (!table?.captured)
    throw new WaybillError("TABLE_UNKNOWN", `table ${name} is not captured, so its rows cannot be sent again`);
  const columns = keyColumns(table);
  const where = columns.map((one, i) => `${column(one.name)} = $${i + 3}::text::${one.castType}`).join(" and ");
  const sql = `with one as materialized (select ${textArray(table, "t")} as new from ${table.sql} as t where ${where} for share of t)
     insert into public.waybill_outbox (layout, op, aim, new) select $1::int, 'upsert', $2::text, new from one`;
  const old = carried(table).map((one) => {
    const at = columns.findIndex((key) => key.name === one.name);
    return at < 0 ? "null" : `$${at + 3}::text`;
  });
  const gone = `insert into public.waybill_outbox (layout, op, aim, old) values ($1::int, 'delete', $2::text, array[${old.join(", ")}]::text[])`;
  return connection.transaction(LOAD, async () => {
    const layout = await ensureLayout(connection, table);
    let written = 0;
    for (const key of keys) {
      const bound = boundValues(columns, key);
      if (bound instanceof Unfit) continue; // no row can have such a key
      const asItIs = (): Promise<number> => connection.run(sql, layout, aim, ...bound);
      let changes = await asItIs();
      if (changes === 0 && aim !== null) {
        await connection.run(`lock table ${table.sql} in share mode`);
        changes = (await asItIs()) || (await connection.run(gone, layout, aim, ...bound));
      }
      written += changes;
    }
    return written;
  });
}

export async function resyncs(
  connection: Connection,
): Promise<readonly { readonly table: string; readonly rows: number }[]> {
  const rows = await connection.query("select tbl, rows from public.waybill_resync order by id");
  return rows.map(([table, count]) => ({ table: table ?? "", rows: Number(count) }));
}

/** @returns the keys of the page in order, each as texts */
async function writePage(
  connection: Connection,
  table: PostgresTable,
  aim: string | null,
  after: readonly string[] | null,
  pageRows: number,
): Promise<readonly (readonly string[])[]> {
  const keys = keyColumns(table);
  const list = keys.map((one) => column(one.name)).join(", ");
  const start = keys.map((one, i) => `$${i + 4}::text::${one.castType}`).join(", ");
  const texts = keys.map((one) => `pg_catalog.textin(${one.outputFunction}(${column(one.name)}))`).join(", ");
  const rows = await connection.query(
    `with page as materialized (
       select ${textArray(table, "t")} as new, array[${texts}]::text[] as key from ${table.sql} as t
       ${after ? `where (${list}) > (${start})` : ""} order by ${list} limit $3::int for share of t
     ), written as (
       insert into public.waybill_outbox (layout, op, aim, new) select $1::int, 'upsert', $2::text, new from page
     ) select array_to_json(key) from page`,
    await ensureLayout(connection, table),
    aim,
    pageRows,
    ...(after ?? []),
  );
  return rows.map(([key]) => JSON.parse(key ?? "[]") as string[]);
}
