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

const LANES = 20;
/** Messages a request where terminals are many: a request of each, whatever their number, holds as much. */
const FEW = 25;

export const hubAlone: Scenario = {
  name: "hub",
  about:
    "the hub alone: prepared requests over HTTP → last row committed at the centre; three shapes, 1 to 1,000 terminals",
  run: async (world) => {
    const rows = at(world.scale, { smoke: 600, quick: 120_000, long: 300_000 });
    for (const shape of [HEADER_AND_5, ONE_ROW, HEADER_AND_9]) {
      const aim = shape === ONE_ROW ? rows / 3 : rows;
      await measure(world, { shape, terminals: LANES, rows: aim, perRequest: PER_REQUEST });
    }
    const fewer = at(world.scale, { smoke: 600, quick: 150_000, long: 300_000 });
    for (const terminals of world.terminals)
      await measure(world, { shape: HEADER_AND_5, terminals, rows: fewer, perRequest: FEW });
  },
};

export type Load = {
  readonly shape: Shape;
  readonly terminals: number;
  /** About so many in all; a terminal sends whole requests. */
  readonly rows: number;
  readonly perRequest: number;
  /** What is measured beside it, for its name in the report. */
  readonly beside?: string;
};

/** Each terminal has sent a first request before: its lane is known, as those of a fleet are. */
export async function measure(
  world: World,
  { shape, terminals, rows: aim, perRequest, beside = "" }: Load,
): Promise<void> {
  const { places, say } = world;
  const bare = await world.bare(shape);
  say(`hub alone: ${shape.name}, ${terminals} terminal(s), ${perRequest} messages a request`);
  const name = world.fresh("hub");
  await using central = await places.central.station(`${name}_central`);
  const ledger = await places.ledger.ledger(`${name}_ledger`);
  await using hub = await startBenchHub(join(world.folder, name), { ledger, central: central.url });
  const each = Math.ceil(aim / rowsOf(shape) / terminals / perRequest) * perRequest;
  const all = await prepared(hub, terminals, (perRequest + each) * terminals, salesOf(shape, perRequest));
  const [first, senders] = [slice(all, 0, 1), slice(all, 1)];
  const lastSales = (of: number): string[] => senders.map(({ terminal }) => saleId(terminal, of));
  await sendAll(hub.post, first);
  await arrived(central, lastSales(perRequest), hub);
  const rows = each * terminals * rowsOf(shape);
  const idle = await idleRate(senders, rows);

  const before = { hub: usageOf(hub.process.pid), server: serverCpu(places) };
  let latencies: readonly number[] = [];
  let acceptedMs = 0;
  const ms = await timed(async () => {
    acceptedMs = await timed(async () => (latencies = await sendAll(hub.post, senders)));
    await arrived(central, lastSales(perRequest + each), hub);
  });
  const used = { hub: minus(usageOf(hub.process.pid), before.hub), server: serverCpu(places) - before.server };
  await loaded(central, rows + perRequest * terminals * rowsOf(shape), hub);
  world.report({
    scenario: "hub",
    what: `hub alone${beside}, ${shape.name}, ${terminals} terminal(s)${perRequest === PER_REQUEST ? "" : ", small requests"}`,
    rows,
    rowsPerSecond: (rows * 1_000) / ms,
    bare,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
    ours: { hub: used.hub },
    serverCpuSeconds: used.server,
    wireBytesPerRow: bytesOf(senders) / rows,
    note: `accepted at ${Math.round((rows * 1_000) / acceptedMs)} rows/s; ${Math.min(CONNECTIONS, terminals)} connections, ${perRequest * rowsOf(shape)} rows a request, the generator alone ${Math.round(idle)} rows/s; p50/p99 of an answer`,
  });
}

const slice = (senders: readonly Sender[], from: number, to?: number): readonly Sender[] =>
  senders.map((sender) => ({ ...sender, requests: sender.requests.slice(from, to) }));

/** What the generator reaches against a server that only reads: a figure near it measures the generator. */
async function idleRate(senders: readonly Sender[], rows: number): Promise<number> {
  await using sink = await startSink();
  return (rows * 1_000) / (await timed(() => sendAll(sink.post, senders)));
}
