import { WaybillError } from "../base/errors.ts";
import type { Finding } from "./finding.ts";

/**
 * Looks the database over, reading only. It may read whole tables: for people who wait, not for a running agent.
 * @param tables those that are to be kept in step; null for all
 * @throws DATABASE_UNAVAILABLE; CONFIG_INVALID for a scheme we do not know
 */
export async function examine(url: string, tables: readonly string[] | null): Promise<readonly Finding[]> {
  const scheme = url.slice(0, Math.max(0, url.indexOf(":")));
  switch (scheme) {
    case "sqlite": {
      const { examineSqlite } = await import("./sqlite/doctor.ts");
      return examineSqlite(url, tables);
    }
    case "postgres":
    case "postgresql": {
      const { examinePostgres } = await import("./postgres/doctor.ts");
      return examinePostgres(url, tables);
    }
    default:
      throw new WaybillError(
        "CONFIG_INVALID",
        `database URL with scheme ${JSON.stringify(scheme)}: known are sqlite and postgres`,
      );
  }
}
