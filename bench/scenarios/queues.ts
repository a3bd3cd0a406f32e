import { fileURLToPath } from "node:url";
import { Client, Pool } from "pg";
import { Logger, makeWorkerUtils } from "graphile-worker";
import { PgBoss } from "pg-boss";
import { spawnChild } from "../../test/kit/child.ts";
import { until } from "../../test/kit/until.ts";
import { usageOf } from "../machine.ts";
import { HEADER_AND_5, rowsOf, sale, type Sale } from "../shape.ts";
import { measure as measureHub } from "./hub-alone.ts";
import { at, minus, serverCpu, type Scenario, type World } from "../world.ts";

/** Messages given to the queue in one call, as many as a request to our hub holds. */
const PER_CALL = 100;
const SENDERS = 4;

/** Gives sales to the queue; each sale is one job, but for a queue whose batches are jobs of many. */
type Intake = AsyncDisposable & { add(sales: readonly Sale[]): Promise<unknown> };

export const queues: Scenario = {
  name: "queues",
  about: "the same rows by pg-boss and graphile-worker as queue, the same driver, batch handlers, their fast settings",
  needs: ({ ledger, central }) =>
    ledger === "postgres" && central === "postgres" ? null : "needs PostgreSQL as ledger and as centre",
  run: async (world) => {
    const rows = at(world.scale, { smoke: 600, quick: 100_000, long: 300_000 });
    await measureHub(world, {
      shape: HEADER_AND_5,
      terminals: 20,
      rows,
      perRequest: PER_CALL,
      beside: " beside the queues",
    });
    await measure(world, "pg-boss", pgBoss);
    await measure(world, "graphile-worker", graphile);
  },
};

async function measure(world: World, peer: string, open: (url: string) => Promise<Intake>): Promise<void> {
  const { places, scale } = world;
  const messages = at(scale, { smoke: 100, quick: 16_700, long: 50_000 });
  const bare = await world.bare(HEADER_AND_5);
  world.say(`queues: ${peer}`);
  const name = world.fresh("queue");
  await using central = await places.central.station(`${name}_central`);
  const url = await places.ledger.ledger(`${name}_jobs`);
  await using intake = await open(url);
  await using worker = spawnChild(process.execPath, [
    fileURLToPath(new URL(`../peers/${peer}.ts`, import.meta.url)),
    url,
    central.url,
  ]);
  await worker.waitForLine(/^ready$/, { timeoutMs: 30_000 });
  const calls: Sale[][] = [];
  for (let n = 1; n <= messages; n += PER_CALL) {
    const many = Math.min(PER_CALL, messages + 1 - n);
    calls.push(Array.from({ length: many }, (_, i) => sale(`t${n}`, n + i, HEADER_AND_5)));
  }
  const rows = messages * rowsOf(HEADER_AND_5);
  const before = { worker: usageOf(worker.pid), server: serverCpu(places), self: process.cpuUsage() };
  const began = performance.now();
  await Promise.all(
    Array.from({ length: SENDERS }, async () => {
      for (let call = calls.shift(); call; call = calls.shift()) await intake.add(call);
    }),
  );
  // Counted, since a queue keeps no order; as seldom as it matters little.
  await until(async () => (await central.count()) >= rows, { timeoutMs: 600_000 }).catch(async (cause: unknown) => {
    throw new Error(`${peer} stalled at ${await central.count()} of ${rows} rows\n${worker.stderr}`, { cause });
  });
  const ms = performance.now() - began;
  const self = process.cpuUsage(before.self);
  world.report({
    scenario: "queues",
    what: `${peer}, ${HEADER_AND_5.name}`,
    rows,
    rowsPerSecond: (rows * 1_000) / ms,
    bare,
    ours: {
      worker: minus(usageOf(worker.pid), before.worker),
      sender: { cpuSeconds: (self.user + self.system) / 1e6, peakMib: Math.round(process.memoryUsage.rss() / 2 ** 20) },
    },
    serverCpuSeconds: serverCpu(places) - before.server,
    note: `${PER_CALL} messages a call from ${SENDERS} connections, straight into the queue's database (no HTTP, no numbers, no audit); at least once, not exactly`,
  });
}

async function pgBoss(url: string): Promise<Intake> {
  const boss = new PgBoss({ connectionString: url, max: SENDERS, supervise: false, schedule: false });
  boss.on("error", (error) => process.stderr.write(`${String(error)}\n`));
  await boss.start();
  await boss.createQueue("sale");
  return {
    add: (sales) =>
      boss.insert(
        "sale",
        sales.map((data) => ({ data: plain(data) })),
      ),
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false }),
  };
}

async function graphile(url: string): Promise<Intake> {
  const first = new Client({ connectionString: url });
  await first.connect();
  await first.end();
  const pgPool = new Pool({ connectionString: url, max: SENDERS });
  pgPool.on("error", (error) => process.stderr.write(`${String(error)}\n`));
  const utils = await makeWorkerUtils({ pgPool, logger: new Logger(() => () => undefined) });
  await utils.migrate();
  return {
    // A batch job is one whose payload is a list.
    add: (sales) => utils.addJob("sale", sales.map(plain)),
    [Symbol.asyncDispose]: async () => {
      await utils.release();
      await pgPool.end();
    },
  };
}

/** JSON has no bigint. */
const plain = ({ header, lines }: Sale): { header: unknown; lines: unknown } => ({
  header: header.map(String),
  lines: lines.map((line) => line.map(String)),
});
