import { join } from "node:path";
import { startBenchHub } from "../hub.ts";
import {
  bytesOf,
  CONNECTIONS,
  arrived,
  loaded,
  PER_REQUEST,
  prepared,
  salesOf,
  sendAll,
  type Sender,
} from "../lanes.ts";
import { percentile, timed, usageOf } from "../machine.ts";
import { HEADER_AND_5, HEADER_AND_9, ONE_ROW, rowsOf, saleId, type Shape } from "../shape.ts";
import { startSink } from "../sink.ts";
import { at, minus, serverCpu, type Scenario, type World } from "../world.ts";

const SHAPE_LANES = 20;

export const hubAlone: Scenario = {
  name: "hub",
  about: "the hub alone: prepared requests of 100 messages over HTTP → last row committed at the centre",
  run: async (world) => {
    const rows = at(world.scale, { smoke: 600, quick: 60_000, long: 300_000 });
    for (const shape of [HEADER_AND_5, ONE_ROW, HEADER_AND_9]) await measure(world, shape, SHAPE_LANES, rows);
    for (const terminals of world.terminals) await measure(world, HEADER_AND_5, terminals, rows);
  },
};

async function measure(world: World, shape: Shape, terminals: number, aim: number): Promise<void> {
  const { places, say } = world;
  const bare = await world.bare(shape);
  say(`hub alone: ${shape.name}, ${terminals} terminal(s)`);
  const name = world.fresh("hub");
  await using central = await places.central.station(`${name}_central`);
  const ledger = await places.ledger.ledger(`${name}_ledger`);
  await using hub = await startBenchHub(join(world.folder, name), { ledger, central: central.url });
  const messages = Math.ceil(aim / rowsOf(shape) / terminals) * terminals;
  const senders = await prepared(hub, terminals, messages, salesOf(shape));
  const rows = messages * rowsOf(shape);
  const lastSales = senders.map(({ terminal }) => saleId(terminal, messages / terminals));
  const idle = await idleRate(senders, rows);

  const before = { hub: usageOf(hub.process.pid), server: serverCpu(places) };
  let latencies: readonly number[] = [];
  let acceptedMs = 0;
  const ms = await timed(async () => {
    acceptedMs = await timed(async () => (latencies = await sendAll(hub.post, senders)));
    await arrived(central, lastSales, hub);
  });
  await loaded(central, rows, hub);
  const perRequest = Math.min(PER_REQUEST, messages / terminals) * rowsOf(shape);
  world.report({
    scenario: "hub",
    what: `hub alone, ${shape.name}, ${terminals} terminal(s)`,
    rows,
    rowsPerSecond: (rows * 1_000) / ms,
    bare,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
    ours: { hub: minus(usageOf(hub.process.pid), before.hub) },
    serverCpuSeconds: serverCpu(places) - before.server,
    wireBytesPerRow: bytesOf(senders) / rows,
    note: `accepted at ${Math.round((rows * 1_000) / acceptedMs)} rows/s; ${Math.min(CONNECTIONS, terminals)} connections, ${perRequest} rows a request, the generator alone ${Math.round(idle)} rows/s; p50/p99 of an answer`,
  });
}

/** What the generator reaches against a server that only reads: a figure near it measures the generator. */
async function idleRate(senders: readonly Sender[], rows: number): Promise<number> {
  await using sink = await startSink();
  return (rows * 1_000) / (await timed(() => sendAll(sink.post, senders)));
}
