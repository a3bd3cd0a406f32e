import { join } from "node:path";
import type { Child } from "../test/kit/child.ts";
import { spawnBuilt } from "./program.ts";
import { until } from "../test/kit/until.ts";
import { startBenchHub, type BenchHub } from "./hub.ts";
import { minus, serverCpu, type World } from "./world.ts";
import { saleId, type Shape } from "./shape.ts";
import type { Station } from "./stations.ts";
import { usageOf, type Usage } from "./machine.ts";

export const TILL = "t1";

/** Till, agent, hub and centre, each with its own process or database. */
export type Path = AsyncDisposable & {
  readonly hub: BenchHub;
  readonly central: Station;
  readonly till: Station;
  /** Sales carried so far. */
  begun(): number;
  /** An agent that has carried one more sale, and has nothing to do. */
  waitingAgent(shape: Shape): Promise<Child>;
  /** Starts counting; what it gives says what was used since. */
  meter(agent: Child): (agent: Child) => {
    readonly ours: Readonly<Record<string, Usage>>;
    readonly serverCpuSeconds: number;
  };
};

export async function openPath(world: World): Promise<Path> {
  const { places, folder } = world;
  const name = world.fresh("path");
  await using opened = new AsyncDisposableStack();
  const central = opened.use(await places.central.station(`${name}_central`));
  const till = opened.use(await places.terminal.station(`${name}_till`));
  const ledger = await places.ledger.ledger(`${name}_ledger`);
  const hub = opened.use(await startBenchHub(join(folder, name), { ledger, central: central.url }));
  const words = [
    ...["terminal", "--log", "error", "--hub", hub.address, "--id", TILL, "--database", till.url],
    ...["--state", join(folder, name, "agent"), "--token", await hub.token(TILL)],
  ];
  let begun = 0;
  const waitingAgent = async (shape: Shape): Promise<Child> => {
    const agent = spawnBuilt(words);
    begun++;
    await till.ring(TILL, begun, 1, shape);
    const arrived = (): Promise<boolean> => central.has(saleId(TILL, begun));
    await until(arrived, { timeoutMs: 30_000, what: "the agent's first sale" }).catch((cause: unknown) => {
      throw new Error(`hub: ${hub.process.stderr}\nagent: ${agent.stderr}`, { cause });
    });
    return agent;
  };
  const held = opened.move();
  return {
    hub,
    central,
    till,
    begun: () => begun,
    waitingAgent,
    meter: (agent) => {
      const before = { hub: usageOf(hub.process.pid), agent: usageOf(agent.pid), server: serverCpu(places) };
      return (now) => ({
        ours: {
          hub: minus(usageOf(hub.process.pid), before.hub),
          agent: minus(usageOf(now.pid), before.agent),
        },
        serverCpuSeconds: serverCpu(places) - before.server,
      });
    },
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  };
}
