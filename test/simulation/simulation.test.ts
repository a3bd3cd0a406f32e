import { expect, test } from "vitest";
import { Files, mediumOf } from "./files.ts";
import { KEPT_SEEDS } from "./kept-seeds.ts";
import { simulate } from "./simulate.ts";

/** `npm test` plays a few fresh worlds, CI up to 300, for no longer than this; `npm run simulate` as many as one likes. */
const FRESH = Number(process.env["WAYBILL_SEEDS"] ?? (process.env["CI"] ? 300 : 12));
const FRESH_MS = 45_000;
const STEPS = 1_000;

test("the same seed has the same history, another has another", async () => {
  const play = async (seed: number): Promise<string> => {
    using files = await Files.make("memory");
    return (await simulate({ seed, steps: 600, files })).digest;
  };
  const first = await play(4711);
  expect(await play(4711)).toBe(first);
  expect(await play(4712)).not.toBe(first);
});

test.each(KEPT_SEEDS)("seed $seed, which found that $found, violates nothing", async ({ seed, steps }) => {
  using files = await Files.make("memory");
  const { broken, story } = await simulate({ seed, steps, files });
  expect(broken, story).toBe(null);
});

test(`I1–I5, I11: nothing is violated in fresh worlds of ${STEPS} steps of faults`, async (context) => {
  const first = Math.floor(Math.random() * 1e9);
  const until = performance.now() + FRESH_MS;
  using inMemory = await Files.make("memory");
  using onDisk = await Files.make("disk");
  let seed = first;
  for (; seed < first + FRESH && performance.now() < until; seed++) {
    const { broken, story } = await simulate({
      seed,
      steps: STEPS,
      files: mediumOf(seed) === "disk" ? onDisk : inMemory,
    });
    expect(broken, `${story.slice(-6_000)}\nnpm run simulate -- --seed ${seed} --steps ${STEPS}`).toBe(null);
  }
  await context.annotate(`seeds ${first}..${seed - 1}`);
});
