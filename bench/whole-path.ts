import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemRuntime } from "../src/base/runtime.ts";
import { spawnWaybill } from "../test/kit/child.ts";
import { freePort } from "../test/kit/free-port.ts";
import { until } from "../test/kit/until.ts";
import { timed, usageOf, type Usage } from "./machine.ts";
import { rowsOf, sale, SCHEMA, TABLES, type Shape } from "./shape.ts";

export type WholeFigures = {
  /** The till's own commits without and with our triggers, one sale a transaction. */
  readonly tillRowsPerSecondBare: number;
  readonly tillRowsPerSecondCaptured: number;
  readonly drainRowsPerSecond: number;
  readonly hub: Usage;
  readonly agent: Usage;
};

const counted = (db: DatabaseSync): number =>
  (db.prepare("select (select count(*) from sale) + (select count(*) from sale_line) as n").get() as { n: number }).n;

/** Till commit → central commit with every station a real process: a backlog rung up while the agent was away is drained. */
export async function wholePath(folder: string, messages: number, shape: Shape): Promise<WholeFigures> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const config = join(folder, "waybill.config.json");
  writeFileSync(
    config,
    JSON.stringify({ tables: TABLES, port, ledger: "sqlite:./ledger.db", central: "sqlite:./central.db" }),
  );
  const open = (name: string): DatabaseSync => {
    const db = new DatabaseSync(join(folder, name));
    db.exec(`pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 10000; ${SCHEMA}`);
    return db;
  };
  const [central, till, bare] = [open("central.db"), open("till.db"), open("bare.db")];
  await using hub = spawnWaybill(["hub", "--log", "warn", "--config", config]);
  await hub.waitForLine(/The hub answers at/);
  const operator = readFileSync(join(folder, "ledger.db.operator-token"), "utf8").trim();
  const answer = await systemRuntime.network.request({
    method: "POST",
    url: `http://127.0.0.1:${port}/api/enroll-tokens`,
    headers: { authorization: `Bearer ${operator}`, "content-type": "application/json" },
    body: Buffer.from(JSON.stringify({ terminal: "t1" })),
    timeoutMs: 10_000,
  });
  const { token } = JSON.parse(Buffer.from(answer.body).toString("utf8")) as { token: string };
  const words = [
    "terminal",
    "--log",
    "warn",
    "--hub",
    `http://127.0.0.1:${port}`,
    "--id",
    "t1",
    "--database",
    `sqlite:${join(folder, "till.db")}`,
    "--state",
    join(folder, "agent"),
    "--token",
    token,
  ];
  {
    await using first = spawnWaybill(words);
    ring(till, 1, 1, shape);
    await until(() => counted(central) === rowsOf(shape), { timeoutMs: 20_000, what: "the first sale" });
    await first.kill("SIGTERM");
  }
  const rows = messages * rowsOf(shape);
  const bareMs = await timed(() => ring(bare, 2, messages, shape));
  const capturedMs = await timed(() => ring(till, 2, messages, shape));
  const before = usageOf(hub.pid);
  const began = performance.now();
  await using agent = spawnWaybill(words);
  await until(() => counted(central) >= rows + rowsOf(shape), { timeoutMs: 120_000 }).catch((cause: unknown) => {
    throw new Error(
      `stalled at ${counted(central)} of ${rows + rowsOf(shape)} rows\nagent: ${agent.stderr}\nhub: ${hub.stderr}`,
      { cause },
    );
  });
  const drained = performance.now() - began;
  const hubUsed = usageOf(hub.pid);
  const figures = {
    tillRowsPerSecondBare: (rows * 1_000) / bareMs,
    tillRowsPerSecondCaptured: (rows * 1_000) / capturedMs,
    drainRowsPerSecond: (rows * 1_000) / drained,
    hub: { cpuSeconds: hubUsed.cpuSeconds - before.cpuSeconds, peakMib: hubUsed.peakMib },
    agent: usageOf(agent.pid),
  };
  for (const db of [central, till, bare]) db.close();
  await agent.kill("SIGTERM");
  await hub.kill("SIGTERM");
  return figures;
}

function ring(db: DatabaseSync, from: number, count: number, shape: Shape): void {
  const header = db.prepare("insert into sale values (?, ?, ?, ?, ?)");
  const line = db.prepare("insert into sale_line values (?, ?, ?, ?, ?, ?)");
  for (let n = from; n < from + count; n++) {
    const one = sale("t1", n, shape);
    db.exec("begin immediate");
    header.run(...one.header);
    for (const row of one.lines) line.run(...row);
    db.exec("commit");
  }
}
