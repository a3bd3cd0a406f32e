import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { systemRuntime } from "../../src/base/runtime.ts";
import { startBenchHub, type BenchHub } from "../hub.ts";
import { usageOf } from "../machine.ts";
import { at, minus, serverCpu, type Scenario } from "../world.ts";

const PER_TRANSACTION = 500;

export const fanOut: Scenario = {
  name: "fan-out",
  about: "price changes at the centre → every terminal has them: capture, publisher, update log, long polls",
  run: async (world) => {
    const { places, scale } = world;
    const terminals = at(scale, { smoke: 2, quick: 100, long: 1_000 });
    const changes = at(scale, { smoke: 100, quick: 5_000, long: 100_000 });
    world.say(`fan-out: ${changes} changes to ${terminals} terminals`);
    const name = world.fresh("fan");
    await using central = await places.central.station(`${name}_central`);
    const ledger = await places.ledger.ledger(`${name}_ledger`);
    await using hub = await startBenchHub(join(world.folder, name), { ledger, central: central.url });
    const keys: string[] = [];
    for (let i = 1; i <= terminals; i++) keys.push(await hub.key(`t${i}`));
    // All are there when a first price has come to each of them; their first snapshots are then behind them.
    await central.price(1, 1, 1);
    const followers = keys.map((key) => new Follower(hub, key));
    await Promise.all(followers.map((follower) => follower.until(1)));

    const before = { hub: usageOf(hub.process.pid), server: serverCpu(places) };
    const bytesBefore = followers.reduce((sum, { bytes }) => sum + bytes, 0);
    const began = performance.now();
    for (let from = 2; from < changes + 2; from += PER_TRANSACTION) {
      await central.price(from, Math.min(PER_TRANSACTION, changes + 2 - from), from);
    }
    const changedMs = performance.now() - began;
    await Promise.all(followers.map((follower) => follower.until(changes + 1)));
    const ms = performance.now() - began;
    const rows = changes * terminals;
    world.report({
      scenario: "fan-out",
      what: `fan-out of ${changes} price changes to ${terminals} terminals`,
      rows,
      rowsPerSecond: (rows * 1_000) / ms,
      ours: { hub: minus(usageOf(hub.process.pid), before.hub) },
      serverCpuSeconds: serverCpu(places) - before.server,
      wireBytesPerRow: (followers.reduce((sum, { bytes }) => sum + bytes, 0) - bytesBefore) / rows,
      note: `rows delivered; the centre's own commits took ${Math.round(changedMs)} of ${Math.round(ms)} ms`,
    });
  },
};

/** A terminal that reads its updates and counts the prices in them. */
class Follower {
  readonly #hub: BenchHub;
  readonly #key: string;
  #after = "0";
  readonly #skus = new Set<string>();
  bytes = 0;

  constructor(hub: BenchHub, key: string) {
    this.#hub = hub;
    this.#key = key;
  }

  /** Reads until it was told of so many different articles. */
  async until(articles: number): Promise<void> {
    while (this.#skus.size < articles) {
      const answer = await systemRuntime.network.request({
        method: "GET",
        url: `${this.#hub.address}/v1/updates?after=${this.#after}&wait=10`,
        headers: { authorization: `Bearer ${this.#key}`, "accept-encoding": "zstd" },
        timeoutMs: 60_000,
      });
      const isZstd = answer.headers["content-encoding"] === "zstd";
      const text = (isZstd ? zstdDecompressSync(answer.body) : Buffer.from(answer.body)).toString();
      if (answer.status !== 200) throw new Error(`/v1/updates answered ${answer.status}: ${text}`);
      this.bytes += answer.body.byteLength;
      this.#after = (JSON.parse(text.slice(0, text.indexOf("\n"))) as { through: string }).through;
      for (const [, sku] of text.matchAll(/"key":\{"sku":"([^"]+)"/g)) this.#skus.add(sku ?? "");
    }
  }
}
