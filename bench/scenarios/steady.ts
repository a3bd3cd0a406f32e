import { setTimeout as pause } from "node:timers/promises";
import { openPath, TILL } from "../agent.ts";
import { percentile } from "../machine.ts";
import { HEADER_AND_9, ONE_ROW, rowsOf, sale, type Shape } from "../shape.ts";
import { at, type Scenario, type World } from "../world.ts";

const ROWS_PER_SECOND = 2_000;
const LOOK_MS = 2;

export const steady: Scenario = {
  name: "steady",
  about: "2,000 rows a second at one till: from its commit to the commit at the centre",
  run: async (world) => {
    for (const shape of world.scale === "smoke" ? [HEADER_AND_9] : [HEADER_AND_9, ONE_ROW]) await measure(world, shape);
  },
};

async function measure(world: World, shape: Shape): Promise<void> {
  world.say(`steady: ${shape.name}`);
  await using path = await openPath(world);
  await using agent = await path.waitingAgent(shape);
  const perSecond = ROWS_PER_SECOND / rowsOf(shape);
  const warmUp = perSecond * at(world.scale, { smoke: 0, quick: 3, long: 5 });
  const count = Math.ceil(warmUp + perSecond * at(world.scale, { smoke: 0.2, quick: 10, long: 60 }));
  const idOf = (n: number): string => String(sale(TILL, n, shape).header[0]);
  const first = path.begun();
  const last = first + count - 1;

  const committed = new Map<string, number>();
  const used = path.meter(agent);
  const began = performance.now();
  const selling = (async (): Promise<void> => {
    for (let n = first + 1; n <= last; n++) {
      const due = began + ((n - first) * 1_000) / perSecond;
      const early = due - performance.now();
      if (early > 1) await pause(early);
      await path.till.ring(TILL, n, 1, shape);
      committed.set(idOf(n), performance.now());
    }
  })();
  // One checkout sells in the order of its numbers, so all below the newest at the centre are there too.
  const latencies: number[] = [];
  let seen = first;
  while (seen < last) {
    const newest = await path.central.newest();
    const now = performance.now();
    for (; seen < last && idOf(seen + 1) <= newest; seen++) {
      const at_ = committed.get(idOf(seen + 1));
      if (seen - first >= warmUp) latencies.push(at_ === undefined ? 0 : now - at_);
    }
    await pause(LOOK_MS);
  }
  await selling;
  const ms = performance.now() - began;
  latencies.sort((a, b) => a - b);
  const rows = (count - 1) * rowsOf(shape);
  world.report({
    scenario: "steady",
    what: `steady sales, ${shape.name}`,
    rows,
    rowsPerSecond: (rows * 1_000) / ms,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
    ...used(agent),
    note: `till commit → seen at the centre, which is looked at every ${LOOK_MS} ms`,
  });
}
