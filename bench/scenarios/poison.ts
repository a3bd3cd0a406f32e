import { join } from "node:path";
import { startBenchHub } from "../hub.ts";
import { loaded, PER_REQUEST, prepared, sendAll } from "../lanes.ts";
import { timed, usageOf } from "../machine.ts";
import { bodies, HEADER_AND_5, rowsOf } from "../shape.ts";
import { at, minus, serverCpu, type Scenario } from "../world.ts";

const LANES = 20;
const EVERY = 10;

export const poison: Scenario = {
  name: "poison",
  about: "every tenth message breaks a constraint of the centre: how fast the other nine are loaded",
  run: async (world) => {
    const { places, scale } = world;
    const messages = at(scale, { smoke: 200, quick: 10_000, long: 50_000 });
    const bare = await world.bare(HEADER_AND_5);
    world.say(`poison: one of ${EVERY} of ${messages} messages`);
    const name = world.fresh("poison");
    await using central = await places.central.station(`${name}_central`);
    const ledger = await places.ledger.ledger(`${name}_ledger`);
    const config = { maxOpen: messages, retry: { attempts: 1 } };
    await using hub = await startBenchHub(join(world.folder, name), { ledger, central: central.url }, config);
    const bodiesOf = (terminal: string, each: number): readonly Buffer[] =>
      bodies(terminal, "e1", each, PER_REQUEST, HEADER_AND_5, (n) => n % EVERY === 0);
    const senders = await prepared(hub, LANES, messages, bodiesOf);
    const before = { hub: usageOf(hub.process.pid), server: serverCpu(places) };
    const each = Math.ceil(messages / LANES);
    const rows = LANES * (each - Math.floor(each / EVERY)) * rowsOf(HEADER_AND_5);
    const ms = await timed(async () => {
      await sendAll(hub.post, senders);
      await loaded(central, rows, hub);
    });
    world.report({
      scenario: "poison",
      what: `10 % poison, ${HEADER_AND_5.name}, ${LANES} terminals`,
      rows,
      rowsPerSecond: (rows * 1_000) / ms,
      bare,
      ours: { hub: minus(usageOf(hub.process.pid), before.hub) },
      serverCpuSeconds: serverCpu(places) - before.server,
      note: "rows of the good messages",
    });
  },
};
