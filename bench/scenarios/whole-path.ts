import { setTimeout as pause } from "node:timers/promises";
import { openPath, TILL, type Path } from "../agent.ts";
import { arrived, loaded } from "../lanes.ts";
import { timed } from "../machine.ts";
import { HEADER_AND_9, ONE_ROW, rowsOf, type Shape } from "../shape.ts";
import { at, type Scenario, type World } from "../world.ts";

export const wholePath: Scenario = {
  name: "path",
  about: "till commit → central commit, capture included: a backlog drained; then while the till goes on selling",
  run: async (world) => {
    for (const [shape, rows] of [
      [HEADER_AND_9, at(world.scale, { smoke: 200, quick: 100_000, long: 100_000 })],
      [ONE_ROW, at(world.scale, { smoke: 100, quick: 20_000, long: 50_000 })],
    ] as const) {
      const messages = rows / rowsOf(shape);
      await drained(world, shape, messages);
      await whileSelling(world, shape, messages);
    }
  },
};

/** @returns the last sale of each checkout, and how long they took */
async function ringUp(path: Path, shape: Shape, messages: number): Promise<[readonly string[], number]> {
  let last: readonly string[] = [];
  const ms = await timed(async () => (last = await path.till.ring(TILL, path.begun() + 1, messages, shape)));
  await path.till.spread(shape);
  return [last, ms];
}

/** A backlog rung up while the agent was halted, so that draining is measured and not the start of a program. */
async function drained(world: World, shape: Shape, messages: number): Promise<void> {
  const bare = await world.bare(shape);
  world.say(`whole path, drained: ${shape.name}`);
  await using path = await openPath(world);
  await using agent = await path.waitingAgent(shape);
  const rows = messages * rowsOf(shape);
  await agent.kill("SIGSTOP");
  const [last, rungMs] = await ringUp(path, shape, messages);
  const used = path.meter(agent);
  const began = performance.now();
  await agent.kill("SIGCONT");
  await arrived(path.central, last, path.hub);
  const ms = performance.now() - began;
  const usage = used(agent);
  await loaded(path.central, rows + path.begun() * rowsOf(shape), path.hub);
  await agent.kill("SIGTERM");
  world.report({
    scenario: "path",
    what: `whole path, backlog drained, ${shape.name}`,
    rows,
    rowsPerSecond: (rows * 1_000) / ms,
    bare,
    ...usage,
    note: `the till committed it at ${Math.round((rows * 1_000) / rungMs)} rows/s, a transaction a sale, the agent halted meanwhile`,
  });
}

/**
 * The same backlog, while the till goes on selling until the last of it is loaded: what arrived in that time. On PostgreSQL its
 * checkouts sell as fast as they can. SQLite has one writer at a time: a loop that never rests would keep everybody else from
 * the file, so there the till sells at the pace of `steady`.
 */
async function whileSelling(world: World, shape: Shape, messages: number): Promise<void> {
  const bare = await world.bare(shape);
  world.say(`whole path, while selling: ${shape.name}`);
  await using path = await openPath(world);
  const { till, central } = path;
  await using agent = await path.waitingAgent(shape);
  const begun = path.begun();
  await agent.kill("SIGSTOP");
  const [last] = await ringUp(path, shape, messages);
  const used = path.meter(agent);
  const before = await central.count();
  const began = performance.now();
  await agent.kill("SIGCONT");
  const done = new AbortController();
  let sold = 0;
  const selling = (async (): Promise<void> => {
    const perSecond = world.places.terminal.engine === "sqlite" ? PACED_ROWS / rowsOf(shape) : Number.POSITIVE_INFINITY;
    const chunk = Number.isFinite(perSecond) ? 1 : CHUNK;
    while (!done.signal.aborted) {
      const early = began + (sold * 1_000) / perSecond - performance.now();
      if (early > 1) await pause(early);
      await till.ring(TILL, begun + messages + sold + 1, chunk, shape);
      sold += chunk;
    }
  })();
  await arrived(central, last, path.hub);
  const ms = performance.now() - began;
  const usage = used(agent);
  const rows = (await central.count()) - before;
  done.abort();
  await selling;
  await agent.kill("SIGTERM");
  world.report({
    scenario: "path",
    what: `whole path, while the till sells, ${shape.name}`,
    rows,
    rowsPerSecond: (rows * 1_000) / ms,
    bare,
    ...usage,
    note: `meanwhile the till committed ${Math.round((sold * rowsOf(shape) * 1_000) / ms)} rows/s more`,
  });
}
const CHUNK = 40;
const PACED_ROWS = 2_000;
