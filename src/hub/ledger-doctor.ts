import type { Finding } from "../database/finding.ts";
import { lookAtStore } from "../ledger/open.ts";
import type { UpkeepFacts } from "../ledger/port.ts";
import { HELD_SECONDS } from "./upkeep-watch.ts";

const DEAD_ROWS = 100_000;
const WEEK_SECONDS = 7 * 24 * 3_600;
const REPLICA_SECONDS = 60;

/** What will slow the ledger down, and what to do about it. Reads only. @throws DATABASE_UNAVAILABLE */
export async function examineLedger(url: string): Promise<readonly Finding[]> {
  const facts = await lookAtStore(url);
  return facts === null ? [] : findingsOf(facts);
}

export function findingsOf(facts: UpkeepFacts): readonly Finding[] {
  const { oldestSnapshot, deadRows, partitionsEndInSeconds, rowsOutsidePartitions, replicationLagSeconds } = facts;
  const findings: Finding[] = [];
  const find = (weight: Finding["weight"], table: string | null, what: string, remedy: string): void =>
    void findings.push({ weight, table, column: null, what: `ledger: ${what}`, remedy });
  if (oldestSnapshot && oldestSnapshot.seconds >= HELD_SECONDS) {
    find(
      "risk",
      null,
      `${oldestSnapshot.by} has been open for ${Math.round(oldestSnapshot.seconds)} seconds: dead rows of busy tables cannot be cleared away`,
      "End that transaction, or set idle_in_transaction_session_timeout for its user.",
    );
  }
  for (const { table, dead, live } of deadRows) {
    if (dead < DEAD_ROWS) continue;
    find(
      "risk",
      table,
      `${dead} dead rows beside ${live} live ones`,
      "See that autovacuum runs (pg_stat_user_tables.last_autovacuum) and that no old transaction holds it up; VACUUM the table now.",
    );
  }
  if (partitionsEndInSeconds < WEEK_SECONDS) {
    find(
      "risk",
      null,
      `partitions are made for ${Math.round(partitionsEndInSeconds / 86_400)} more day(s) only`,
      "A hub makes them when it starts and four times a day: see whether one runs, and whether its user may create tables in the schema.",
    );
  }
  if (rowsOutsidePartitions) {
    find(
      "advice",
      null,
      "messages or events lie in the default partition, which retention does not drop by the week",
      "They came while no partition was made for their week (a clock that jumped, or no right to create tables); they stay until they are moved by hand.",
    );
  }
  if (replicationLagSeconds !== null && replicationLagSeconds > REPLICA_SECONDS) {
    find(
      "risk",
      null,
      `a replica is ${Math.round(replicationLagSeconds)} seconds behind`,
      "A failover now would set the ledger back by that much; it would be noticed and made good from the tills and the centre, but look at the replica.",
    );
  }
  return findings;
}
