import { randomUUID } from "node:crypto";
import { Client } from "pg";
import { systemRuntime } from "../../base/runtime.ts";
import type { OpenStation, Station } from "../contract/station.ts";
import { Connection } from "./connection.ts";
import { postgresDatabase } from "./open.ts";

export type PostgresStation = Station & {
  /** Ours; the application has its own. */
  readonly connection: Connection;
};

/** A database of its own on the server, dropped in the end. */
export function stationOn(server: string): (...ddl: Parameters<OpenStation>) => Promise<PostgresStation> {
  return async (ddl) => {
    const name = `waybill_test_${randomUUID().replaceAll("-", "")}`;
    await onServer(server, `create database ${name}`);
    const url = new URL(server);
    url.pathname = `/${name}`;
    const application = new Client({
      connectionString: url.href,
      options: "-c synchronous_commit=off",
      types: { getTypeParser: () => String as never },
    });
    await application.connect();
    await application.query(ddl);
    const connection = new Connection(url.href, { busyMs: 500 });
    return {
      connection,
      url: url.href,
      database: postgresDatabase(connection, systemRuntime.random),
      run: async (sql) => {
        try {
          await application.query(sql);
        } catch (thrown) {
          await application.query("rollback");
          throw thrown;
        }
      },
      rows: async (sql) => (await application.query<(string | null)[]>({ text: sql, rowMode: "array" })).rows,
      [Symbol.asyncDispose]: async () => {
        await application.end();
        await connection.close();
        await onServer(server, `drop database ${name} with (force)`);
      },
    };
  };
}

async function onServer(server: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: server });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
