import { expect, test } from "vitest";
import type { Instant } from "../base/clock.ts";
import { Brake } from "./brake.ts";

function braked(): { brake: Brake; pass: (ms: number) => void } {
  let now = 0;
  return { brake: new Brake({ now: () => now as Instant, elapsed: () => now }), pass: (ms) => void (now += ms) };
}
const wrong = async (): Promise<null> => null;
const right = async (): Promise<"in"> => "in";
const OVERLOADED = { code: "OVERLOADED", facts: { retryAfterSeconds: expect.any(Number) } };

test("after five failures within a minute a name is refused, right or wrong, and the others are not", async () => {
  const { brake, pass } = braked();
  for (let i = 0; i < 5; i++) expect(await brake.guard("anna", wrong)).toBeNull();
  await expect(brake.guard("anna", right)).rejects.toMatchObject(OVERLOADED);
  expect(await brake.guard("bea", right)).toBe("in");
  pass(60_001);
  expect(await brake.guard("anna", right)).toBe("in");
});
test("five guesses sent at once are five", async () => {
  const { brake } = braked();
  let tried = 0;
  const guess = async (): Promise<null> => (tried++, null);
  await Promise.allSettled(Array.from({ length: 15 }, () => brake.guard("anna", guess)));
  expect(tried).toBeLessThanOrEqual(6); // two are compared beside each other
});
test("guessing over many names ends, too", async () => {
  const { brake } = braked();
  for (let i = 0; i < 60; i++) await brake.guard(`n${i}`, wrong);
  await expect(brake.guard("anna", right)).rejects.toMatchObject(OVERLOADED);
});
