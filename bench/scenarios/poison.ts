import { join } from "node:path";
import { startBenchHub } from "../hub.ts";
import { arrived, prepared, sendAll } from "../lanes.ts";
import { timed, usageOf } from "../machine.ts";
import { saleId } from "../shape.ts";
import { expected, healthy, lastHealthy, ROWS, STORM_TABLES, stormBodies, stormSchema } from "../storm.ts";
import { until } from "../../test/kit/until.ts";
import { at, minus, serverCpu, type Figures, type Scenario, type World } from "../world.ts";

const PER_REQUEST = 25;
/** Retried refusals would be tried again while the rest still comes: here each is judged once. */
const RETRY = { attempts: 1 };

export const poison: Scenario = {
  name: "poison",
  about: "every tenth message is refused by the centre, for five reasons in turn, beside the same messages all healthy",
  run: async (world) => {
    const lanes = at(world.scale, { smoke: 4, quick: 200, long: 200 });
    const each = at(world.scale, { smoke: 80, quick: 150, long: 600 });
    // Clean, storm, storm, clean: what a machine loses or gains on the way, both have of it.
    const clean = await measure(world, lanes, each, false);
    const storms = [await measure(world, lanes, each, true), await measure(world, lanes, each, true)];
    const cleans = [clean, await measure(world, lanes, each, false)];
    const ms = (all: readonly Measured[]): number => all.reduce((sum, one) => sum + one.ms, 0);
    const [cleanRate, stormRate] = [
      (2 * lanes * each * 1_000) / ms(cleans),
      (2 * lanes * healthy(each) * 1_000) / ms(storms),
    ];
    const what = `${lanes} lanes`;
    for (const [name, all, messages] of [
      ["all healthy", cleans, each],
      ["10 % poison", storms, healthy(each)],
    ] as const) {
      const rows = all.length * lanes * messages * ROWS;
      world.report({
        scenario: "poison",
        what: `${name}, ${what}`,
        rows,
        rowsPerSecond: (rows * 1_000) / ms(all),
        ours: { hub: joined(all.map(({ hub }) => hub)) },
        serverCpuSeconds: all.reduce((sum, one) => sum + one.server, 0),
        note:
          name === "all healthy"
            ? "1 header + 5 lines"
            : `rows of the healthy messages: ${(stormRate / cleanRate).toFixed(2)} of the clean rate; exactly the right ones were refused and held`,
      });
    }
  },
};

type Usage = NonNullable<Figures["ours"]>[string];
type Measured = { readonly ms: number; readonly hub: Usage; readonly server: number };
const joined = (all: readonly Usage[]): Usage => ({
  cpuSeconds: all.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
  peakMib: Math.max(...all.map(({ peakMib }) => peakMib)),
});

async function measure(world: World, lanes: number, each: number, poisoned: boolean): Promise<Measured> {
  const { places, say } = world;
  say(`poison: ${lanes} lanes of ${each} messages, ${poisoned ? "every tenth refused" : "all healthy"}`);
  const name = world.fresh("poison");
  await using central = await places.central.station(`${name}_central`, stormSchema);
  const ledger = await places.ledger.ledger(`${name}_ledger`);
  const config = { tables: STORM_TABLES, maxOpen: each, retry: RETRY };
  await using hub = await startBenchHub(join(world.folder, name), { ledger, central: central.url }, config);
  const bodiesOf = (terminal: string): readonly Buffer[] => stormBodies(terminal, each, PER_REQUEST, poisoned);
  const senders = await prepared(hub, lanes, lanes * each, bodiesOf);
  const last = senders.map(({ terminal }) => saleId(terminal, poisoned ? lastHealthy(each) : each));
  const before = { hub: usageOf(hub.process.pid), server: serverCpu(places) };
  const ms = await timed(async () => {
    await sendAll(hub.post, senders);
    await arrived(central, last, hub);
  });
  const used = { hub: minus(usageOf(hub.process.pid), before.hub), server: serverCpu(places) - before.server };
  await judged(
    central,
    senders.map(({ terminal }) => terminal),
    poisoned ? expected(each) : [],
  );
  return { ms, ...used };
}

/** Exactly these of every lane, by the centre's own words. @throws with the first lane that differs */
async function judged(
  central: { rows(sql: string): Promise<readonly (readonly unknown[])[]> },
  terminals: readonly string[],
  right: readonly string[],
): Promise<void> {
  const passed = async (): Promise<Map<string, string[]>> => {
    const lanes = new Map<string, string[]>(terminals.map((terminal) => [terminal, []]));
    const sql = "select lane, number, state, coalesce(fault, '') from waybill_passed order by lane, number";
    for (const [lane, number, state, fault] of await central.rows(sql))
      lanes.get(String(lane).split("/")[0] ?? "")?.push([number, state, fault].join(" ").trim());
    return lanes;
  };
  const isRight = (list: readonly string[]): boolean => list.join() === right.join();
  await until(async () => [...(await passed()).values()].every(isRight), { timeoutMs: 10_000 }).catch(async (cause) => {
    const wrong = [...(await passed())].find(([, list]) => !isRight(list));
    throw new Error(`passed over of ${wrong?.[0]}: ${wrong?.[1].join(", ")}\nexpected: ${right.join(", ")}`, { cause });
  });
}
