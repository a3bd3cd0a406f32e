import { PgBoss } from "pg-boss";
import { openPostgres } from "../stations.ts";
import type { Sale } from "../shape.ts";

/** The worker's process: batches of 500 by two workers, which go on at once while batches are full. */
const [queue = "", central = ""] = process.argv.slice(2);
const station = openPostgres(central);
const boss = new PgBoss({ connectionString: queue, max: 4, supervise: false, schedule: false });
boss.on("error", (error) => process.stderr.write(`${String(error)}\n`));
await boss.start();
await boss.work<Sale>(
  "sale",
  { batchSize: 500, localConcurrency: 2, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
  (jobs) => station.bulk(jobs.map(({ data }) => data)),
);
process.stdout.write("ready\n");
