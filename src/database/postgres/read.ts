import { WaybillError } from "../../base/errors.ts";
import type { Read } from "../port.ts";
import type { Connection } from "./connection.ts";
import { column, type Catalog, type PostgresTable } from "./describe.ts";
import { boundValues, carried, keyColumns, rowByKey, rowToWire, selectList } from "./rows.ts";
import { Unfit } from "./values.ts";

/** Rows in the order of their key, as the columns' collations have it: the order of the key's own index. */
export function postgresRead(connection: Connection, catalog: Catalog): Read {
  return {
    page: async (name, after, limit) => {
      const table = await catalog.table(name);
      if (table.key.length === 0) throw new WaybillError("KEY_INVALID", `table ${name} has no key to read it by`);
      const start = after === null ? [] : boundValues(keyColumns(table), after);
      if (start instanceof Unfit)
        throw new WaybillError("TYPE_REFUSED", `page of ${name} after a key that cannot be: ${start.why}`);
      const columns = carried(table);
      const rows = await connection.query(pageSql(table, after !== null), ...start, limit);
      return rows.map((row) => rowToWire(columns, row));
    },
    row: async (name, key) => rowByKey(connection, await catalog.table(name), key),
  };
}

/** One statement is one snapshot. */
function pageSql(table: PostgresTable, further: boolean): string {
  const columns = keyColumns(table);
  const keys = columns.map((one) => column(one.name)).join(", ");
  const start = columns.map((one, i) => `$${i + 1}::text::${one.castType}`).join(", ");
  const beyond = further ? ` where (${keys}) > (${start})` : "";
  const limit = `$${further ? columns.length + 1 : 1}::int`;
  return `select ${selectList(carried(table))} from ${table.sql} as t${beyond} order by ${keys} limit ${limit}`;
}
