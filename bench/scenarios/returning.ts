import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { until } from "../../test/kit/until.ts";
import { startBenchHub, type BenchHub } from "../hub.ts";
import { loaded, NDJSON, prepared, salesOf, sendAll } from "../lanes.ts";
import { percentile, timed, usageOf } from "../machine.ts";
import { bodies, HEADER_AND_5, rowsOf, sale } from "../shape.ts";
import type { Station } from "../stations.ts";
import { at, minus, serverCpu, type Scenario } from "../world.ts";

const OTHERS = 10;

export const returning: Scenario = {
  name: "returning",
  about: "a terminal comes back with a large backlog: its own pace, and what ten others notice of it",
  run: async (world) => {
    const { places, scale } = world;
    const messages = at(scale, { smoke: 100, quick: 10_000, long: 50_000 });
    const bare = await world.bare(HEADER_AND_5);
    world.say(`returning: ${messages} messages of one terminal beside ${OTHERS} others`);
    const name = world.fresh("returning");
    await using central = await places.central.station(`${name}_central`);
    const ledger = await places.ledger.ledger(`${name}_ledger`);
    await using hub = await startBenchHub(join(world.folder, name), { ledger, central: central.url });
    const senders = await prepared(hub, 1, messages, salesOf(HEADER_AND_5));
    const others = await Promise.all(
      Array.from({ length: OTHERS }, async (_, i) => ({ id: `o${i}`, key: await hub.key(`o${i}`) })),
    );
    for (const other of others) await once(hub, central, other); // every lane has its row at the centre
    const before = { hub: usageOf(hub.process.pid), server: serverCpu(places), rows: await central.count() };
    const rows = messages * rowsOf(HEADER_AND_5);
    const back = { isLoaded: false };
    const latencies: number[] = [];
    const selling = others.map(async (other) => {
      for (let n = 2; !back.isLoaded; n++) latencies.push(await once(hub, central, other, n));
    });
    const ms = await timed(async () => {
      await sendAll(hub.post, senders);
      const last = String(sale("t1", messages, HEADER_AND_5).header[0]);
      await until(() => central.has(last), { timeoutMs: 600_000, what: "the last message of the terminal" });
      back.isLoaded = true;
    });
    await Promise.all(selling);
    await loaded(central, before.rows + rows + latencies.length * rowsOf(HEADER_AND_5), hub);
    latencies.sort((a, b) => a - b);
    world.report({
      scenario: "returning",
      what: `a terminal returns with ${messages} messages`,
      rows,
      rowsPerSecond: (rows * 1_000) / ms,
      bare,
      p50Ms: percentile(latencies, 50),
      p99Ms: percentile(latencies, 99),
      ours: { hub: minus(usageOf(hub.process.pid), before.hub) },
      serverCpuSeconds: serverCpu(places) - before.server,
      note: `${OTHERS} others sold ${latencies.length} times meanwhile; p50/p99 are theirs: request → seen at the centre`,
    });
  },
};

/** One sale of a terminal that is always there, until it is seen at the centre. Milliseconds. */
async function once(
  hub: BenchHub,
  central: Station,
  { id, key }: { readonly id: string; readonly key: string },
  n = 1,
): Promise<number> {
  const all = bodies(id, "e1", n, 1, HEADER_AND_5);
  const body = zstdCompressSync(all.at(-1) ?? Buffer.alloc(0));
  return timed(async () => {
    const answer = await hub.post("/v1/messages", key, body, NDJSON);
    if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${answer.body.toString()}`);
    await until(() => central.has(String(sale(id, n, HEADER_AND_5).header[0])), { timeoutMs: 60_000, what: "a sale" });
  });
}
