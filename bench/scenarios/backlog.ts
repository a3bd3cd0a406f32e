import { join } from "node:path";
import { startBenchHub } from "../hub.ts";
import { arrived, loaded, prepared, salesOf, sendAll } from "../lanes.ts";
import { timed, usageOf, type Usage } from "../machine.ts";
import { ONE_ROW, saleId } from "../shape.ts";
import { at, minus, serverCpu, type Scenario, type World } from "../world.ts";

const LANES = 20;

export const backlog: Scenario = {
  name: "backlog",
  about: "messages that wait in the ledger, loaded by a processor that starts: a small backlog and a large one",
  run: async (world) => {
    const start = await measure(world, LANES, null);
    await measure(world, at(world.scale, { smoke: 100, quick: 10_000, long: 10_000 }), start);
    await measure(world, at(world.scale, { smoke: 200, quick: 100_000, long: 1_000_000 }), start);
  },
};

type Used = { readonly hub: Usage; readonly server: number };

/** @param start what a hub uses for starting and for next to nothing: taken off; null to measure that, which is not reported */
async function measure(world: World, messages: number, start: Used | null): Promise<Used> {
  const { places } = world;
  const bare = await world.bare(ONE_ROW);
  world.say(`backlog: ${messages} messages`);
  const name = world.fresh("backlog");
  const folder = join(world.folder, name);
  await using central = await places.central.station(`${name}_central`);
  const stations = { ledger: await places.ledger.ledger(`${name}_ledger`), central: central.url };
  {
    await using taking = await startBenchHub(folder, stations, {}, ["--roles", "ingest"]);
    await sendAll(taking.post, await prepared(taking, LANES, messages, salesOf(ONE_ROW, 1_000)));
    await taking.process.kill("SIGTERM");
  }
  const server = serverCpu(places);
  await using loading = await startBenchHub(folder, stations, {}, ["--roles", "process"]);
  const last = Array.from({ length: LANES }, (_, at) => saleId(`t${at + 1}`, messages / LANES));
  const ms = await timed(() => arrived(central, last, loading));
  const used = { hub: usageOf(loading.process.pid), server: serverCpu(places) - server };
  await loaded(central, messages, loading);
  if (!start) return used;
  world.report({
    scenario: "backlog",
    what: `backlog of ${messages} messages in the ledger, ${LANES} lanes, loaded`,
    rows: messages,
    rowsPerSecond: (messages * 1_000) / ms,
    bare,
    ours: { hub: minus(used.hub, start.hub) },
    serverCpuSeconds: used.server - start.server,
    note: "1 row a message; without the CPU of the hub's start",
  });
  return used;
}
