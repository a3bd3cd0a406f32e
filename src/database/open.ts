import { WaybillError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Database } from "./port.ts";

/** The runtime's parts are the system's where they are not given; a simulation gives all of them. */
export type OpenOptions = Partial<Pick<Runtime, "random" | "clock" | "timers">> & {
  /** How long a statement waits for another program's lock before DATABASE_BUSY, in milliseconds. */
  readonly busyMs?: number;
  /** The database is made and used by us alone: a SQLite file is created when absent, and journals as suits us. */
  readonly ours?: boolean;
  /**
   * Opens it as the only one who may, as long as this one is open or its process lives, on whatever machine the others are;
   * the text says who that is, to whoever comes second.
   */
  readonly alone?: string;
};

/**
 * Opens the database that the URL names; its scheme chooses the engine, and only that engine's driver is loaded.
 * @throws CONFIG_INVALID for a scheme we do not know; DATABASE_UNAVAILABLE when it does not answer; ALREADY_RUNNING when
 *   another has opened it `alone`.
 */
export async function openDatabase(url: string, options: OpenOptions = {}): Promise<Database> {
  const scheme = url.slice(0, Math.max(0, url.indexOf(":")));
  switch (scheme) {
    case "sqlite": {
      const { openSqlite } = await import("./sqlite/open.ts");
      const { ours, ...rest } = options;
      return openSqlite(url, { ...rest, journal: ours ? "wal" : "keep", create: ours ?? false });
    }
    case "postgres":
    case "postgresql": {
      const { openPostgres } = await import("./postgres/open.ts");
      const { random, busyMs, alone } = options;
      return openPostgres(url, {
        ...(random && { random }),
        ...(busyMs !== undefined && { busyMs }),
        ...(alone !== undefined && { alone }),
      });
    }
    default:
      // The rest of the URL may hold a password, so only the scheme is told.
      throw new WaybillError(
        "CONFIG_INVALID",
        `database URL with scheme ${JSON.stringify(scheme)}: known are sqlite and postgres`,
      );
  }
}
