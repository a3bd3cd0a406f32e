import { Command } from "commander";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fuzzRound } from "./http.ts";
import { fuzzReaders } from "./readers.ts";

/** `npm run fuzz -- --count 1000000`: see docs/proof.md. */
const ROUND = 10_000;
/** The heap after a round may be so much larger than after the second; each round has a hub of its own, so what stays is lost. */
const GROWTH_BYTES = 32 * 1024 * 1024;

await new Command("fuzz")
  .description("sends mutated requests to every entrance, and gives mutated texts to every reader")
  .option("--count <n>", "how many requests", Number, 20_000)
  .option("--seed <n>", "of the first round", Number, Math.floor(Math.random() * 2 ** 31))
  .action(async ({ count, seed }: { readonly count: number; readonly seed: number }) => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const started = performance.now();
    const statuses = new Map<string, number>();
    let settledHeap = Number.POSITIVE_INFINITY;
    for (let sent = 0, round = 0; sent < count; sent += ROUND, round++) {
      const size = Math.min(ROUND, count - sent);
      for (const [status, times] of await fuzzRound({ count: size, seed: seed + round })) {
        statuses.set(status, (statuses.get(status) ?? 0) + times);
      }
      fuzzReaders({ count: size, seed: seed + round });
      collect();
      const heap = process.memoryUsage().heapUsed;
      if (round === 1) settledHeap = heap;
      const seconds = Math.round((performance.now() - started) / 1_000);
      console.error(`${sent + size} requests after ${seconds} s, heap ${Math.round(heap / 1e6)} MB`);
      if (heap > settledHeap + GROWTH_BYTES)
        throw new Error(`the heap has grown from ${settledHeap} to ${heap} bytes since round 2`);
    }
    const shown = [...statuses]
      .toSorted(([a], [b]) => a.localeCompare(b))
      .map(([status, times]) => `${status}: ${times}`);
    console.log(
      `${count} requests and as many texts from seed ${seed} in ${Math.round((performance.now() - started) / 1_000)} s; answers ${shown.join(", ")}`,
    );
  })
  .parseAsync();
