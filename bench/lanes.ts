import { zstdCompressSync } from "node:zlib";
import { until } from "../test/kit/until.ts";
import type { BenchHub } from "./hub.ts";
import { timed } from "./machine.ts";
import { bodies, type Shape } from "./shape.ts";
import type { Station } from "./stations.ts";

export const PER_REQUEST = 100;
export const CONNECTIONS = 4;

/** One lane, as its terminal would send it: every request made before anything is measured. */
export type Sender = { readonly terminal: string; readonly key: string; readonly requests: readonly Buffer[] };
export type Post = (
  path: string,
  key: string,
  body: Buffer,
  headers: Readonly<Record<string, string>>,
) => Promise<{
  readonly status: number;
  readonly body: Buffer;
}>;

/** @param bodiesOf the requests of one terminal, before compression */
export async function prepared(
  hub: Pick<BenchHub, "key">,
  terminals: number,
  messages: number,
  bodiesOf: (terminal: string, messages: number) => readonly Buffer[],
): Promise<readonly Sender[]> {
  const senders: Sender[] = [];
  const each = Math.ceil(messages / terminals);
  for (let i = 1; i <= terminals; i++) {
    const terminal = `t${i}`;
    const requests = bodiesOf(terminal, each).map((body) => zstdCompressSync(body));
    senders.push({ terminal, key: await hub.key(terminal), requests });
  }
  return senders;
}

export const salesOf =
  (shape: Shape, perRequest = PER_REQUEST) =>
  (terminal: string, messages: number): readonly Buffer[] =>
    bodies(terminal, "e1", messages, perRequest, shape);

export const bytesOf = (senders: readonly Sender[]): number =>
  senders.flatMap(({ requests }) => requests).reduce((sum, { byteLength }) => sum + byteLength, 0);

export const NDJSON = { "content-type": "application/x-ndjson", "content-encoding": "zstd" } as const;

/** A lane's requests go one after another, as its agent sends them; the connections share the lanes. Milliseconds of each answer. */
export async function sendAll(
  post: Post,
  senders: readonly Sender[],
  connections = CONNECTIONS,
): Promise<readonly number[]> {
  const latencies: number[] = [];
  const queue = [...senders];
  await Promise.all(
    Array.from({ length: Math.min(connections, senders.length) }, async () => {
      for (let lane = queue.shift(); lane; lane = queue.shift()) {
        for (const body of lane.requests) {
          const { key } = lane;
          const send = async (): Promise<void> => {
            const answer = await post("/v1/messages", key, body, NDJSON);
            if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${answer.body.toString()}`);
          };
          latencies.push(await timed(send));
        }
      }
    }),
  );
  return latencies.toSorted((a, b) => a - b);
}

/** Waits for these sales, looked up by key, so that waiting takes nothing from what is waited for. A lane is in order: its last sale is enough. */
export async function arrived(central: Station, saleIds: readonly string[], hub: BenchHub): Promise<void> {
  const waiting = [...saleIds];
  const all = async (): Promise<boolean> => {
    for (let last = waiting.at(-1); last !== undefined; last = waiting.at(-1)) {
      if (!(await central.has(last))) return false;
      waiting.pop();
    }
    return true;
  };
  await until(all, { timeoutMs: 600_000 }).catch(async (cause: unknown) => {
    throw new Error(`stalled at ${await central.count()} rows\nhub: ${hub.process.stderr}`, { cause });
  });
}

/** Waits for so many rows at the centre, by counting them all: for where no last sale is known. @throws with what the hub said when they do not come */
export async function loaded(central: Station, rows: number, hub: BenchHub): Promise<void> {
  await until(async () => (await central.count()) >= rows, { timeoutMs: 600_000 }).catch(async (cause: unknown) => {
    throw new Error(`stalled at ${await central.count()} of ${rows} rows\nhub: ${hub.process.stderr}`, { cause });
  });
}
