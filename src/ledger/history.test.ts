import { expect, test } from "vitest";
import { LAG_LIMITS_MS, lagAt } from "./history.ts";

const counts = (given: Readonly<Record<number, number>>): number[] =>
  Array.from({ length: LAG_LIMITS_MS.length + 1 }, (_, i) => given[i] ?? 0);

test("a percentile is told from the classes", () => {
  expect(lagAt(0.5, counts({}))).toBeNull();
  expect(lagAt(0.5, counts({ 0: 10 }))).toBe(25);
  expect(lagAt(0.5, counts({ 0: 50, 1: 50 }))).toBe(50);
  expect(lagAt(0.99, counts({ 0: 98, 6: 2 }))).toBe(875);
  expect(lagAt(1, counts({ 0: 1, [LAG_LIMITS_MS.length]: 1 }))).toBe(3_600_000);
});
