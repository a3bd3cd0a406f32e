import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemRuntime } from "../../base/runtime.ts";
import type { OpenStation, Station } from "../contract/station.ts";
import { Connection } from "./connection.ts";
import { sqliteDatabase } from "./open.ts";

export type SqliteStation = Station & {
  /** Ours; the application has its own. */
  readonly connection: Connection;
  readonly path: string;
};

/** A file in a folder of its own, in the journal mode that its application chose. Nobody waits for a lock. */
export function stationIn(journal: "wal" | "delete"): (...ddl: Parameters<OpenStation>) => Promise<SqliteStation> {
  return async (ddl) => {
    const folder = mkdtempSync(join(tmpdir(), "waybill-station-"));
    const path = join(folder, "shop.db");
    const application = new DatabaseSync(path, { timeout: 0 });
    application.exec(`pragma journal_mode = ${journal}; pragma synchronous = off`);
    application.exec(ddl);
    const connection = new Connection(path, { busyMs: 0 });
    return {
      connection,
      path,
      url: `sqlite:${path}`,
      database: sqliteDatabase(connection, systemRuntime),
      run: async (sql) => application.exec(sql),
      rows: async (sql) => {
        const statement = application.prepare(sql);
        statement.setReturnArrays(true);
        return (statement.all() as unknown as unknown[][]).map((row) =>
          row.map((value) => (value === null ? null : String(value))),
        );
      },
      [Symbol.asyncDispose]: async () => {
        application.close();
        connection.close();
        rmSync(folder, { recursive: true });
      },
    };
  };
}
