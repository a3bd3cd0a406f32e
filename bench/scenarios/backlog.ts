import { join } from "node:path";
import { startBenchHub } from "../hub.ts";
import { loaded, prepared, salesOf, sendAll } from "../lanes.ts";
import { timed, usageOf } from "../machine.ts";
import { ONE_ROW } from "../shape.ts";
import { at, serverCpu, type Scenario, type World } from "../world.ts";

const LANES = 20;

export const backlog: Scenario = {
  name: "backlog",
  about: "messages that wait in the ledger, loaded by a processor that starts: a small backlog and a large one",
  run: async (world) => {
    await measure(world, at(world.scale, { smoke: 100, quick: 10_000, long: 10_000 }));
    await measure(world, at(world.scale, { smoke: 200, quick: 100_000, long: 1_000_000 }));
  },
};

async function measure(world: World, messages: number): Promise<void> {
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
  const ms = await timed(() => loaded(central, messages, loading));
  world.report({
    scenario: "backlog",
    what: `backlog of ${messages} messages in the ledger, ${LANES} lanes, loaded`,
    rows: messages,
    rowsPerSecond: (messages * 1_000) / ms,
    bare,
    ours: { hub: usageOf(loading.process.pid) },
    serverCpuSeconds: serverCpu(places) - server,
    note: "1 row a message; the hub's CPU since its start",
  });
}
