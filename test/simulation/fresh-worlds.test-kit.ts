import { expect, type TestContext } from "vitest";
import { Files, mediumOf } from "./files.ts";
import { simulate } from "./simulate.ts";

/** `npm test` plays a few fresh worlds, CI up to 300, for no longer than this; `npm run simulate` as many as one likes. */
const FRESH = Number(process.env["WAYBILL_SEEDS"] ?? (process.env["CI"] ? 300 : 12));
const FRESH_MS = 45_000;
const STEPS = 1_000;
/** Two files of tests play half of them each. */
const FILES = 2;

/** A test's body: worlds of seeds that nobody has played before, told with the test. */
export async function freshWorlds(context: TestContext): Promise<void> {
  const first = Math.floor(Math.random() * 1e9);
  const until = performance.now() + FRESH_MS;
  using inMemory = await Files.make("memory");
  using onDisk = await Files.make("disk");
  let seed = first;
  for (; seed < first + FRESH / FILES && performance.now() < until; seed++) {
    const { broken, story } = await simulate({
      seed,
      steps: STEPS,
      files: mediumOf(seed) === "disk" ? onDisk : inMemory,
    });
    expect(broken, `${story.slice(-6_000)}\nnpm run simulate -- --seed ${seed} --steps ${STEPS}`).toBe(null);
  }
  await context.annotate(`seeds ${first}..${seed - 1}`);
}
