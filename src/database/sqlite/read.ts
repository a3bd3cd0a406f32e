import { WaybillError } from "../../base/errors.ts";
import type { Row } from "../../message/change.ts";
import type { Read } from "../port.ts";
import { quoted, type Connection } from "./connection.ts";
import { column, type Catalog, type SqliteTable } from "./describe.ts";
import { boundValues, carried, keyColumns, rowByKey, rowToWire, selectList } from "./rows.ts";
import { Unfit } from "./values.ts";

/**
 * Rows in the order of their key, as SQLite compares it (numbers before texts before binary, texts by the column's
 * collation). A row with NULL in its key, which old SQLite tables allow, has no identity and is not read.
 */
export function sqliteRead(connection: Connection, catalog: Catalog): Read {
  return {
    page: async (name, after, limit) =>
      connection.snapshot(() => {
        const table = catalog.table(name);
        if (table.key.length === 0) throw new WaybillError("KEY_INVALID", `table ${name} has no key to read it by`);
        const start = after === null ? [] : boundValues(keyColumns(table), after);
        if (start instanceof Unfit)
          throw new WaybillError("TYPE_REFUSED", `page of ${name} after a key that cannot be: ${start.why}`);
        const columns = carried(table);
        return connection
          .rows(pageSql(table, after !== null), ...start, BigInt(limit))
          .map((row) => rowToWire(columns, row));
      }),
    row: async (name, key: Row) => connection.snapshot(() => rowByKey(connection, catalog.table(name), key)),
  };
}

function pageSql(table: SqliteTable, further: boolean): string {
  const keys = table.key.map(column);
  const present = keys.map((key) => `${key} is not null`).join(" and ");
  const beyond = further ? ` and (${keys.join(", ")}) > (${keys.map(() => "?").join(", ")})` : "";
  return `select ${selectList(carried(table))} from main.${quoted(table.name)} as t where ${present}${beyond} order by ${keys.join(", ")} limit ?`;
}
