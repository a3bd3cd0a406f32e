import { expect, test } from "vitest";
import { Files } from "./files.ts";
import { freshWorlds } from "./fresh-worlds.test-kit.ts";
import { KEPT_SEEDS } from "./kept-seeds.ts";
import { simulate } from "./simulate.ts";

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

test("I1–I5, I11: nothing is violated in fresh worlds of faults", freshWorlds);
