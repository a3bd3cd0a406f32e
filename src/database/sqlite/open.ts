import { existsSync } from "node:fs";
import { WaybillError } from "../../base/errors.ts";
import { holdLock } from "../../base/lock.ts";
import { systemRuntime, type Runtime } from "../../base/runtime.ts";
import type { Database } from "../port.ts";
import { sqliteCapture } from "./capture/capture.ts";
import { closeGate, openGate } from "./capture/gate.ts";
import { noteUnseen } from "./capture/unseen.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { Catalog } from "./describe.ts";
import { sqliteLoad } from "./load.ts";
import { sqliteRead } from "./read.ts";

/** What capture needs from outside: dice for traces, and a clock and pauses for working in short steps. */
export type CaptureRuntime = Pick<Runtime, "random" | "clock" | "timers">;

export type SqliteOptions = ConnectionOptions &
  Partial<CaptureRuntime> & {
    /** Makes the file when it is not there. Else its absence is a fault: an application's database is not ours to make. */
    readonly create?: boolean;
    /** See `OpenOptions`: here a lock file beside the database. */
    readonly alone?: string;
  };

/**
 * A SQLite file in all roles of a database. Parts of the runtime that are not given are the system's.
 * @throws DATABASE_UNAVAILABLE when it cannot be opened; CONFIG_INVALID for the URL; ALREADY_RUNNING.
 */
export async function openSqlite(url: string, options: SqliteOptions = {}): Promise<Database> {
  const path = sqlitePath(url);
  if (!options.create && path !== IN_MEMORY && !existsSync(path)) {
    throw new WaybillError("DATABASE_UNAVAILABLE", `there is no file ${path}`);
  }
  const lock = options.alone === undefined ? null : holdLock(path, "the terminal database", "-waybill-agent");
  try {
    const database = sqliteDatabase(new Connection(path, { ...options, eager: lock !== null }), {
      ...systemRuntime,
      ...options,
    });
    const close = async (): Promise<void> => {
      await database[Symbol.asyncDispose]();
      lock?.[Symbol.dispose]();
    };
    return { ...database, [Symbol.asyncDispose]: close };
  } catch (thrown) {
    lock?.[Symbol.dispose]();
    throw thrown;
  }
}
const IN_MEMORY = ":memory:";

/** The roles over a connection that is open already; the database closes it in the end. */
export function sqliteDatabase(connection: Connection, runtime: CaptureRuntime): Database {
  const catalog = new Catalog(connection);
  const gate = {
    open: (table: string, origin: string | null) => {
      if (catalog.has("waybill_unseen")) noteUnseen(connection);
      openGate(connection, table, origin);
    },
    close: (table: string) => closeGate(connection, table),
  };
  return {
    engine: "sqlite",
    describe: async () => catalog.now(),
    capture: sqliteCapture(connection, catalog, runtime.random, runtime),
    load: sqliteLoad(connection, catalog, gate),
    read: sqliteRead(connection, catalog),
    [Symbol.asyncDispose]: async () => connection.close(),
  };
}

/** The file that `sqlite:./shop.db` or `sqlite:/var/lib/shop.db` names; relative to the working directory. @throws CONFIG_INVALID */
export function sqlitePath(url: string): string {
  const path = /^sqlite:(.+)$/s.exec(url)?.[1];
  if (path === undefined)
    throw new WaybillError("CONFIG_INVALID", `${JSON.stringify(url)} must be sqlite: and the path of a file`);
  return path.startsWith("//") ? path.slice(2) : path; // sqlite:///var/lib/shop.db, as other programs write it
}
