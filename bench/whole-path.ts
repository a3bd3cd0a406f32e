import { join } from "node:path";
import { spawnWaybill } from "../test/kit/child.ts";
import { until } from "../test/kit/until.ts";
import { complete, loaded } from "./hub-path.ts";
import { startBenchHub } from "./hub.ts";
import { timed, usageOf, type Usage } from "./machine.ts";
import { rowsOf, saleId, type Shape } from "./shape.ts";
import type { Place } from "./stations.ts";

export type WholeFigures = {
  /** The till's own commits without and with our triggers, one sale a transaction. */
  readonly tillRowsPerSecondBare: number;
  readonly tillRowsPerSecondCaptured: number;
  readonly drainRowsPerSecond: number;
  readonly hub: Usage;
  readonly agent: Usage;
};

/** Till commit → central commit with every station a real process: a backlog rung up while the agent was away is drained. */
export async function wholePath(folder: string, place: Place, messages: number, shape: Shape): Promise<WholeFigures> {
  const name = `whole_${shape.lines}`;
  await using central = await place.station(`${name}_central`);
  await using till = await place.station(`${name}_till`);
  await using bare = await place.station(`${name}_bare`);
  const ledger = await place.ledger(`${name}_ledger`);
  await using hub = await startBenchHub(folder, { ledger, central: central.url });
  const words = [
    ...["terminal", "--log", "warn", "--hub", hub.address, "--id", "t1", "--database", till.url],
    ...["--state", join(folder, "agent"), "--token", await hub.token("t1")],
  ];
  {
    await using first = spawnWaybill(words);
    await till.ring("t1", 1, 1, shape);
    await until(async () => (await central.count()) === rowsOf(shape), { timeoutMs: 20_000, what: "the first sale" });
    await first.kill("SIGTERM");
  }
  const rows = messages * rowsOf(shape);
  const bareMs = await timed(() => bare.ring("t1", 2, messages, shape));
  const capturedMs = await timed(() => till.ring("t1", 2, messages, shape));
  const before = usageOf(hub.process.pid);
  const began = performance.now();
  await using agent = spawnWaybill(words);
  await loaded(central, [saleId("t1", messages + 1)], hub);
  const drained = performance.now() - began;
  await complete(central, rows + rowsOf(shape));
  const hubUsed = usageOf(hub.process.pid);
  return {
    tillRowsPerSecondBare: (rows * 1_000) / bareMs,
    tillRowsPerSecondCaptured: (rows * 1_000) / capturedMs,
    drainRowsPerSecond: (rows * 1_000) / drained,
    hub: { cpuSeconds: hubUsed.cpuSeconds - before.cpuSeconds, peakMib: hubUsed.peakMib },
    agent: usageOf(agent.pid),
  };
}
