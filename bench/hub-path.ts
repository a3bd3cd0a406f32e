import { zstdCompressSync } from "node:zlib";
import { until } from "../test/kit/until.ts";
import { startBenchHub, type BenchHub } from "./hub.ts";
import { percentile, timed, usageOf, type Usage } from "./machine.ts";
import { bodies, rowsOf, saleId, type Shape } from "./shape.ts";
import type { Place, Station } from "./stations.ts";

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
export type Sender = { readonly key: string; readonly requests: readonly Buffer[] };

/**
 * A real hub process over loopback HTTP: `terminals` lanes send prepared requests from `connections` connections, and the clock
 * stops when the last row is committed at the centre. Capture is not part of it.
 */
export async function hubPath(folder: string, place: Place, run: HubRun): Promise<HubFigures> {
  const name = `hub_${run.shape.lines}_${run.terminals}`;
  await using central = await place.station(`${name}_central`);
  const ledger = await place.ledger(`${name}_ledger`);
  await using hub = await startBenchHub(folder, { ledger, central: central.url });
  const senders = await prepared(hub, run);
  const wireBytes = senders.flatMap(({ requests }) => requests).reduce((sum, body) => sum + body.byteLength, 0);

  const each = Math.ceil(run.messages / run.terminals);
  const lastSales = senders.map((_, at) => saleId(`t${at + 1}`, each));
  const idle = usageOf(hub.process.pid);
  const rows = each * run.terminals * rowsOf(run.shape);
  const began = performance.now();
  const latencies = await sendAll(hub, senders, run.connections);
  const accepted = performance.now() - began;
  await loaded(central, lastSales, hub);
  const total = performance.now() - began;
  await complete(central, rows);
  const used = usageOf(hub.process.pid);
  latencies.sort((a, b) => a - b);
  return {
    acceptedRowsPerSecond: (rows * 1_000) / accepted,
    loadedRowsPerSecond: (rows * 1_000) / total,
    answerP50Ms: percentile(latencies, 50),
    answerP99Ms: percentile(latencies, 99),
    wireBytesPerRow: wireBytes / rows,
    hub: { cpuSeconds: used.cpuSeconds - idle.cpuSeconds, peakMib: used.peakMib },
  };
}

/** Enrols the terminals and makes all their requests before anything is measured. */
export async function prepared(
  hub: BenchHub,
  { terminals, messages, perRequest, shape }: HubRun,
): Promise<readonly Sender[]> {
  const senders: Sender[] = [];
  const each = Math.ceil(messages / terminals);
  for (let i = 1; i <= terminals; i++) {
    const requests = bodies(`t${i}`, "e1", each, perRequest, shape).map((body) => zstdCompressSync(body));
    senders.push({ key: await hub.key(`t${i}`), requests });
  }
  return senders;
}

/** Each connection carries a share of the lanes; a lane's requests go one after another, as its agent would send them. Milliseconds of each answer. */
export async function sendAll(hub: BenchHub, senders: readonly Sender[], connections: number): Promise<number[]> {
  const latencies: number[] = [];
  const queue = [...senders];
  const headers = { "content-type": "application/x-ndjson", "content-encoding": "zstd" };
  await Promise.all(
    Array.from({ length: Math.min(connections, senders.length) }, async () => {
      for (let lane = queue.shift(); lane; lane = queue.shift()) {
        for (const body of lane.requests) {
          const send = async (): Promise<void> => {
            const answer = await hub.post("/v1/messages", lane.key, body, headers);
            if (answer.status !== 200) throw new Error(`the hub answered ${answer.status}: ${answer.body.toString()}`);
          };
          latencies.push(await timed(send));
        }
      }
    }),
  );
  return latencies;
}

/** Waits for the last sale of each terminal: a lane is in order. @throws with what the hub said when they do not come */
export async function loaded(central: Station, lastSales: readonly string[], hub: BenchHub): Promise<void> {
  await until(() => central.has(lastSales), { timeoutMs: 600_000 }).catch(async (cause: unknown) => {
    throw new Error(`stalled at ${await central.count()} rows\nhub: ${hub.process.stderr}`, { cause });
  });
}

/** A figure counts only for work that was done. @throws when rows are missing or too many */
export async function complete(central: Station, rows: number): Promise<void> {
  const found = await central.count();
  if (found !== rows) throw new Error(`${found} rows at the centre, should be ${rows}`);
}
