import type { Finding } from "../finding.ts";
import { Connection } from "./connection.ts";
import { Catalog } from "./describe.ts";

/**
 * Looks the database over, reading only.
 * @param tables those that are to be kept in step; null for all
 * @throws DATABASE_UNAVAILABLE
 */
export async function examinePostgres(url: string, tables: readonly string[] | null): Promise<readonly Finding[]> {
  const connection = new Connection(url);
  try {
    await connection.open();
    return [...(await ofTables(connection, tables)), ...(await ofServer(connection))];
  } finally {
    await connection.close();
  }
}

async function ofTables(connection: Connection, tables: readonly string[] | null): Promise<readonly Finding[]> {
  const { tables: found } = await new Catalog(connection).now();
  return (tables ?? [...found.keys()]).flatMap((name): Finding[] => {
    const table = found.get(name);
    const about = { table: name, column: null };
    if (!table)
      return [{ ...about, weight: "harm", what: "there is no such table", remedy: "Correct its name in the config." }];
    if (table.key.length > 0) return [];
    return [
      {
        ...about,
        weight: "harm",
        what: "it has no key, so its rows cannot be told apart",
        remedy: "Declare a PRIMARY KEY, or a UNIQUE constraint over NOT NULL columns.",
      },
    ];
  });
}

/** What slows the queue of any database over time: old snapshots keep every dead row. */
async function ofServer(connection: Connection): Promise<readonly Finding[]> {
  const [[seconds, who] = []] = await connection.query(
    `select extract(epoch from now() - xact_start)::bigint, coalesce(nullif(application_name, ''), usename)
     from pg_stat_activity where backend_xmin is not null and pid <> pg_backend_pid() and datname = current_database()
     order by xact_start limit 1`,
  );
  if (seconds === undefined || Number(seconds) < HELD_SECONDS) return [];
  return [
    {
      weight: "risk",
      table: null,
      column: null,
      what: `${who} has held a transaction open for ${seconds} seconds: dead rows of busy tables cannot be cleared away`,
      remedy: "End that transaction, or set idle_in_transaction_session_timeout for its user.",
    },
  ];
}
const HELD_SECONDS = 300;
