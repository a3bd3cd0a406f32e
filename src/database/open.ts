import { WaybillError } from "../base/errors.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import type { Database } from "./port.ts";

/** The runtime's parts are the system's where they are not given; a simulation gives all of them. */
export type OpenOptions = Partial<Pick<Runtime, "random" | "clock" | "timers">> & {
  /** How long a statement waits for another program's lock before DATABASE_BUSY, in milliseconds. */
  readonly busyMs?: number;
  /** The file is made and used by us alone, so the adapter may choose how it journals. */
  readonly ours?: boolean;
};

/**
 * Opens the database that the URL names; its scheme chooses the engine, and only that engine's driver is loaded.
 * @throws CONFIG_INVALID for a scheme we do not know; DATABASE_UNAVAILABLE when it does not answer.
 */
export async function openDatabase(url: string, options: OpenOptions = {}): Promise<Database> {
  const scheme = url.slice(0, Math.max(0, url.indexOf(":")));
  switch (scheme) {
    case "sqlite": {
      const { openSqlite } = await import("./sqlite/open.ts");
      const { busyMs, ours, ...runtime } = options;
      return openSqlite(url, { ...systemRuntime, ...runtime }, { journal: ours ? "wal" : "keep", ...(busyMs !== undefined && { busyMs }) });
    }
    default:
      // The rest of the URL may hold a password, so only the scheme is told.
      throw new WaybillError("CONFIG_INVALID", `database URL with scheme ${JSON.stringify(scheme)}: known are sqlite`);
  }
}
