import { systemRuntime, type Runtime } from "../../base/runtime.ts";
import type { Database } from "../port.ts";
import { postgresCapture } from "./capture/capture.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { Catalog } from "./describe.ts";
import { postgresLoad } from "./load.ts";
import { postgresRead } from "./read.ts";

export type PostgresOptions = ConnectionOptions & Partial<Pick<Runtime, "random">>;

/**
 * A PostgreSQL database (13 or newer) in all roles. `postgres://user:password@host:5432/database?sslmode=require`
 * @throws DATABASE_UNAVAILABLE when it does not answer
 */
export async function openPostgres(url: string, options: PostgresOptions = {}): Promise<Database> {
  const connection = new Connection(url, options);
  await connection.open();
  return postgresDatabase(connection, options.random ?? systemRuntime.random);
}

/** The roles over a connection; the database closes it in the end. */
export function postgresDatabase(connection: Connection, random: Runtime["random"]): Database {
  const catalog = new Catalog(connection);
  return {
    engine: "postgres",
    describe: () => catalog.now(),
    capture: postgresCapture(connection, catalog, random),
    load: postgresLoad(connection, catalog),
    read: postgresRead(connection, catalog),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
