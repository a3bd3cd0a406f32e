import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffMs } from "./backoff.ts";
import type { Random } from "./runtime.ts";

const policy = { firstMs: 100, factor: 2, capMs: 1_000 };
const dice = (next: number): Random => ({ next: () => next, bytes: () => new Uint8Array() });
/** Just below 1, the highest that a Random gives. */
const HIGHEST = 1 - 2 ** -53;

test("the longest wait doubles with each failure in a row, up to the cap", () => {
  const longest = [1, 2, 3, 4, 5, 6].map((attempt) => backoffMs(attempt, policy, dice(HIGHEST)));
  expect(longest).toEqual([100, 200, 400, 800, 1_000, 1_000]);
});

test("the wait is spread over all of the time up to the longest", () => {
  expect(backoffMs(3, policy, dice(0))).toBe(0);
  expect(backoffMs(3, policy, dice(0.5))).toBe(200);
});

test("the wait stays a whole number of milliseconds within the cap after any number of failures", () => {
  const chance = fc.double({ min: 0, max: HIGHEST, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), chance, (attempt, next) => {
      const ms = backoffMs(attempt, policy, dice(next));
      expect(Number.isInteger(ms)).toBe(true);
      expect(ms).toBeGreaterThanOrEqual(0);
      expect(ms).toBeLessThanOrEqual(policy.capMs);
    }),
  );
});
