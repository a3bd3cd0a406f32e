import { Logger, run } from "graphile-worker";
import { Pool } from "pg";
import { openPostgres } from "../stations.ts";
import type { Sale } from "../shape.ts";

/** The worker's process: jobs of a hundred sales, fetched and completed many at a time. */
const [queue = "", central = ""] = process.argv.slice(2);
const station = openPostgres(central);
const pgPool = new Pool({ connectionString: queue, max: 12 });
pgPool.on("error", (error) => process.stderr.write(`${String(error)}\n`));
await run({
  pgPool,
  noHandleSignals: true,
  logger: new Logger(() => () => undefined),
  preset: {
    worker: {
      concurrentJobs: 8,
      pollInterval: 100,
      localQueue: { size: 16 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
  taskList: {
    sale: async (payload) => {
      await station.bulk(payload as readonly Sale[]);
    },
  },
});
process.stdout.write("ready\n");
