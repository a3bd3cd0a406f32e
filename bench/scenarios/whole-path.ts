import { openPath, TILL } from "../agent.ts";
import { loaded } from "../lanes.ts";
import { timed } from "../machine.ts";
import { HEADER_AND_9, ONE_ROW, rowsOf, type Shape } from "../shape.ts";
import { at, type Scenario, type World } from "../world.ts";

export const wholePath: Scenario = {
  name: "path",
  about: "till commit → central commit, capture included: a backlog drained; then while the till goes on selling",
  run: async (world) => {
    const rows = at(world.scale, { smoke: 200, quick: 50_000, long: 100_000 });
    for (const shape of [HEADER_AND_9, ONE_ROW]) {
      const messages = shape === ONE_ROW ? rows / 2 : rows / rowsOf(shape);
      await drained(world, shape, messages);
      await whileSelling(world, shape, messages);
    }
  },
};

/** A backlog rung up while the agent was away. The agent's start is in it. */
async function drained(world: World, shape: Shape, messages: number): Promise<void> {
  const bare = await world.bare(shape);
  world.say(`whole path, drained: ${shape.name}`);
  await using path = await openPath(world, shape);
  const rows = messages * rowsOf(shape);
  const rungMs = await timed(() => path.till.ring(TILL, path.begun + 1, messages, shape));
  const used = path.meter(null);
  const began = performance.now();
  await using agent = path.startAgent();
  await loaded(path.central, rows + path.begun * rowsOf(shape), path.hub);
  const ms = performance.now() - began;
  world.report({
    scenario: "path",
    what: `whole path, backlog drained, ${shape.name}`,
    rows,
    rowsPerSecond: (rows * 1_000) / ms,
    bare,
    ...used(agent),
    note: `the till committed it at ${Math.round((rows * 1_000) / rungMs)} rows/s, a transaction a message; the agent's start is in the figure`,
  });
}

/** The same backlog, while the till's checkouts go on as fast as they can until it is all loaded: what arrived in that time. */
async function whileSelling(world: World, shape: Shape, messages: number): Promise<void> {
  const bare = await world.bare(shape);
  world.say(`whole path, while selling: ${shape.name}`);
  await using path = await openPath(world, shape);
  const { till, central } = path;
  await till.ring(TILL, path.begun + 1, messages, shape);
  const backlog = (path.begun + messages) * rowsOf(shape);
  await using agent = path.startAgent();
  await loaded(central, (path.begun + 1) * rowsOf(shape), path.hub);
  const used = path.meter(agent);
  const before = await central.count();
  const began = performance.now();
  let sold = 0;
  do {
    await till.ring(TILL, path.begun + messages + sold + 1, CHUNK, shape);
    sold += CHUNK;
  } while ((await central.count()) <= backlog); // until the first of what was sold meanwhile is there
  const rows = (await central.count()) - before;
  const ms = performance.now() - began;
  world.report({
    scenario: "path",
    what: `whole path, while the till sells, ${shape.name}`,
    rows,
    rowsPerSecond: (rows * 1_000) / ms,
    bare,
    ...used(agent),
    note: `meanwhile the till committed ${Math.round((sold * rowsOf(shape) * 1_000) / ms)} rows/s more`,
  });
}
const CHUNK = 40;
