import fc from "fast-check";
import { expect, test } from "vitest";
import { changed, changesBetween } from "./changes.ts";

const value = fc.object({
  maxDepth: 3,
  values: [fc.integer({ max: 3 }), fc.constant(null), fc.string({ maxLength: 2 })],
});
const json = value.map((each) => JSON.parse(JSON.stringify(each)) as unknown);

test("whoever is told the changes knows what came after, whatever came before", () => {
  fc.assert(
    fc.property(json, json, (before, after) => {
      const told = JSON.parse(JSON.stringify(changesBetween(before, after))) as ReturnType<typeof changesBetween>;
      expect(changed(before, told)).toEqual(after);
    }),
  );
});

test("what stays is not told, and stays the same object", () => {
  const before = { at: 1, overview: { dead: 0, held: 2 }, fleet: { first: [{ id: "a" }] }, lag: null };
  const after = { at: 2, overview: { dead: 1, held: 2 }, fleet: { first: [{ id: "a" }] }, lag: null };
  const told = changesBetween(before, after);
  expect(told).toEqual([
    [["at"], 2],
    [["overview", "dead"], 1],
  ]);
  expect(changed(before, told).fleet).toBe(before.fleet);
});

test("a part that is gone is told as gone, and null is a value", () => {
  expect(changesBetween({ parts: { centre: 1 } }, { parts: {} })).toEqual([[["parts", "centre"]]]);
  expect(changesBetween({ lag: { p50: 1 } }, { lag: null })).toEqual([[["lag"], null]]);
  expect(changed<unknown>({ lag: null }, [[["lag"], { p50: 1 }]])).toEqual({ lag: { p50: 1 } });
});
