import { fork } from "node:child_process";
import { Command } from "commander";
import { Files, mediumOf } from "./files.ts";
import { simulate, type SeedResult } from "./simulate.ts";

/** `npm run simulate -- --seeds 1..10000 --jobs 2`: see docs/proof.md. */
type Options = {
  readonly seed?: number;
  readonly seeds: string;
  readonly steps: number;
  readonly jobs: number;
  readonly story: number;
  readonly keep?: string | undefined;
};
const program = new Command("simulate")
  .description("plays worlds of tills and a hub through faults drawn from seeds, and checks the invariants")
  .option("--seed <n>", "one world, with its story", Number)
  .option("--seeds <a..b>", "many worlds", "1..100")
  .option("--steps <n>", "steps of trouble in each, before all heals", Number, 2_000)
  .option("--jobs <n>", "processes", Number, 1)
  .option("--story <n>", "lines of the story that are shown", Number, 80)
  .option("--keep <folder>", "where copies of a violated world's databases and its whole story go")
  .action(async (options: Options) => {
    process.exitCode = options.seed === undefined ? await many(options) : await one(options.seed, options);
  });

async function one(seed: number, { steps, story, keep }: Options): Promise<number> {
  using files = await Files.make(mediumOf(seed));
  const result = await simulate({ seed, steps, files, keep });
  console.log(lastOf(result.story, story));
  console.log(`\n${JSON.stringify(result.counts)}`);
  console.log(verdictOf(result));
  return result.broken === null ? 0 : 1;
}

const lastOf = (text: string, lines: number): string => (lines === 0 ? "" : text.split("\n").slice(-lines).join("\n"));
const verdictOf = ({ seed, digest, steps, virtualMs, transactions, broken }: SeedResult): string =>
  `seed ${seed}: ${broken === null ? "nothing was violated" : broken.slice(0, 1_000)} (${steps} steps, ${Math.round(virtualMs / 1_000)} s of simulated time, ${transactions} transactions, history ${digest})`;

async function many({ seeds, steps, jobs, story, keep }: Options): Promise<number> {
  const [from = 1, to = 1] = seeds.split("..").map(Number);
  const started = performance.now();
  const sums = new Map<string, number>();
  const failed: number[] = [];
  let done = 0;
  await resultsOf({ from, to, stride: jobs, steps, keep }, (result) => {
    done++;
    const { counts, virtualMs, transactions } = result;
    for (const [name, count] of Object.entries({
      ...counts,
      steps: result.steps,
      transactions,
      simulatedSeconds: virtualMs / 1_000,
      onDisk: mediumOf(result.seed) === "disk" ? 1 : 0,
    })) {
      sums.set(name, (sums.get(name) ?? 0) + count);
    }
    if (done % 100 === 0)
      console.error(`${done} of ${to - from + 1} after ${Math.round((performance.now() - started) / 1_000)} s`);
    if (result.broken === null) return;
    failed.push(result.seed);
    console.log(
      `${lastOf(result.story, story)}\n${verdictOf(result)}\nagain: npm run simulate -- --seed ${result.seed} --steps ${steps}\n`,
    );
  });
  const shown = [...sums].map(([name, sum]) => `${name} ${Math.round(sum)}`).join(", ");
  console.log(`in all: ${shown}`);
  if (failed.length > 0) console.log(`violated: ${failed.toSorted((a, b) => a - b).join(" ")}`);
  const [seconds, onDisk] = [Math.round((performance.now() - started) / 1_000), sums.get("onDisk") ?? 0];
  console.log(
    `${done} worlds of ${steps} steps of trouble (${sums.get("steps") ?? 0} steps with their healing), ${done - onDisk} in memory, ${onDisk} on disk: ${failed.length} violated, in ${Math.floor(seconds / 60)} min ${seconds % 60} s`,
  );
  return failed.length === 0 ? 0 : 1;
}

/** Every `stride`-th seed is one process's. */
type Deal = {
  readonly from: number;
  readonly to: number;
  readonly stride: number;
  readonly steps: number;
  readonly keep?: string | undefined;
};

/** Plays the seeds, in this process or dealt out to `stride` children. @throws Error when a child ends without its results */
async function resultsOf(deal: Deal, tell: (result: SeedResult) => void): Promise<void> {
  if (deal.stride <= 1) return play(deal, tell);
  const children = Array.from({ length: deal.stride }, (_, at) => {
    const child = fork(import.meta.filename, ["deal", JSON.stringify({ ...deal, from: deal.from + at })]);
    child.on("message", (result) => tell(result as SeedResult));
    return new Promise<void>((resolve, reject) => {
      child.on("exit", (code) =>
        code === 0 ? resolve() : reject(new Error(`a simulating process ended with ${code}`)),
      );
    });
  });
  await Promise.all(children);
}

async function play({ from, to, stride, ...rest }: Deal, tell: (result: SeedResult) => void): Promise<void> {
  using inMemory = await Files.make("memory");
  using onDisk = await Files.make("disk");
  for (let seed = from; seed <= to; seed += stride)
    tell(await simulate({ ...rest, seed, files: mediumOf(seed) === "disk" ? onDisk : inMemory }));
}

program.command("deal <deal>", { hidden: true }).action(async (deal: string) => {
  await play(JSON.parse(deal) as Deal, send);
  process.disconnect?.();
});

/** To the parent; only a child is told to deal. */
function send(result: SeedResult): void {
  if (!process.send) throw new Error("`deal` is for the children of `npm run simulate`");
  process.send(result);
}

await program.parseAsync();
