import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { zstdCompressSync } from "node:zlib";
import { systemRuntime } from "../src/base/runtime.ts";
import { spawnWaybill } from "../test/kit/child.ts";
import { freePort } from "../test/kit/free-port.ts";
import { until } from "../test/kit/until.ts";
import { percentile, timed, usageOf, type Usage } from "./machine.ts";
import { bodies, rowsOf, SCHEMA, TABLES, type Shape } from "./shape.ts";

export type HubFigures = {
  readonly acceptedRowsPerSecond: number;
  readonly loadedRowsPerSecond: number;
  readonly answerP50Ms: number;
  readonly answerP99Ms: number;
  readonly wireBytesPerRow: number;
  readonly hub: Usage;
};
export type HubRun = {
  readonly terminals: number;
  readonly messages: number;
  readonly perRequest: number;
  readonly connections: number;
  readonly shape: Shape;
};

/**
 * A real hub process over loopback HTTP: `terminals` lanes send prepared requests from `connections` connections, and the clock
 * stops when the last row is committed at the centre. Capture is not part of it.
 */
export async function hubPath(folder: string, run: HubRun): Promise<HubFigures> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const config = join(folder, "waybill.config.json");
  writeFileSync(
    config,
    JSON.stringify({ tables: TABLES, port, ledger: "sqlite:./ledger.db", central: "sqlite:./central.db" }),
  );
  const central = new DatabaseSync(join(folder, "central.db"));
  central.exec(`pragma journal_mode = wal; ${SCHEMA}`);
  await using hub = spawnWaybill(["hub", "--log", "warn", "--config", config]);
  await hub.waitForLine(/The hub answers at/);
  const base = `http://127.0.0.1:${port}`;
  const operator = readFileSync(join(folder, "ledger.db.operator-token"), "utf8").trim();

  const post = async (
    path: string,
    token: string,
    body: Buffer,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: Buffer }> => {
    const answer = await systemRuntime.network.request({
      method: "POST",
      url: `${base}${path}`,
      headers: { authorization: `Bearer ${token}`, ...headers },
      body,
      timeoutMs: 60_000,
    });
    return { status: answer.status, body: Buffer.from(answer.body) };
  };
  const senders: { key: string; requests: Buffer[] }[] = [];
  const each = Math.ceil(run.messages / run.terminals);
  let wireBytes = 0;
  for (let i = 0; i < run.terminals; i++) {
    const terminal = `t${i + 1}`;
    const json = { "content-type": "application/json" };
    const { token } = JSON.parse(
      String((await post("/api/enroll-tokens", operator, Buffer.from(JSON.stringify({ terminal })), json)).body),
    ) as { token: string };
    const { key } = JSON.parse(
      String((await post("/v1/enroll", token, Buffer.from(JSON.stringify({ token, terminal })), json)).body),
    ) as { key: string };
    const requests = bodies(terminal, "e1", each, run.perRequest, run.shape).map((body) => zstdCompressSync(body));
    wireBytes += requests.reduce((sum, body) => sum + body.byteLength, 0);
    senders.push({ key, requests });
  }

  const idle = usageOf(hub.pid);
  const latencies: number[] = [];
  const rows = each * run.terminals * rowsOf(run.shape);
  const count = central.prepare("select (select count(*) from sale) + (select count(*) from sale_line) as n");
  const began = performance.now();
  // Each connection carries a share of the lanes; a lane's requests go one after another, as its agent would send them.
  const queue = [...senders];
  await Promise.all(
    Array.from({ length: Math.min(run.connections, senders.length) }, async () => {
      for (let lane = queue.shift(); lane; lane = queue.shift()) {
        for (const body of lane.requests) {
          latencies.push(
            await timed(async () => {
              const answer = await post("/v1/messages", lane.key, body, {
                "content-type": "application/x-ndjson",
                "content-encoding": "zstd",
              });
              if (answer.status !== 200)
                throw new Error(`the hub answered ${answer.status}: ${answer.body.toString()}`);
            }),
          );
        }
      }
    }),
  );
  const accepted = performance.now() - began;
  await until(() => (count.get() as { n: number }).n >= rows, { timeoutMs: 120_000 }).catch((cause: unknown) => {
    throw new Error(`stalled at ${JSON.stringify(count.get())} of ${rows} rows\nhub: ${hub.stderr}`, { cause });
  });
  const loaded = performance.now() - began;
  const used = usageOf(hub.pid);
  central.close();
  await hub.kill("SIGTERM");
  latencies.sort((a, b) => a - b);
  return {
    acceptedRowsPerSecond: (rows * 1_000) / accepted,
    loadedRowsPerSecond: (rows * 1_000) / loaded,
    answerP50Ms: percentile(latencies, 50),
    answerP99Ms: percentile(latencies, 99),
    wireBytesPerRow: wireBytes / rows,
    hub: { cpuSeconds: used.cpuSeconds - idle.cpuSeconds, peakMib: used.peakMib },
  };
}
