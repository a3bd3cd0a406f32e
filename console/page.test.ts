import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { diffLines } from "./diff.ts";
import { ago, duration, updatesBehind } from "./format.ts";
import { faultOfJson, indented } from "./json-text.ts";

/** The parts of the console's page that decide something and need no browser. */
describe("the payload in the editor", () => {
  test("keeps every number letter by letter", () => {
    const line =
      '{"seq":9007199254740993,"changes":[{"row":{"price":1.0,"rate":1e400,"note":"a, \\"b\\": {}"}}],"none":{}}';
    const text = indented(line);
    for (const token of ["9007199254740993", "1.0", "1e400", '"a, \\"b\\": {}"', '"none": {}'])
      expect(text).toContain(token);
    expect(text.split("\n").length).toBeGreaterThan(5);
  });
  test("says the same as before, for any JSON", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(JSON.parse(indented(json))).toEqual(JSON.parse(json));
      }),
    );
  });
  test("is indented once: doing it again changes nothing", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(indented(indented(json))).toBe(indented(json));
      }),
    );
  });
  test("a text that is no JSON is told why", () => {
    expect(faultOfJson("{}")).toBeNull();
    expect(faultOfJson('{"a":}')).toMatch(/./);
  });
});

describe("the difference of two texts", () => {
  const text = fc.array(fc.constantFrom("a", "b", "c", "")).map((lines) => lines.join("\n"));
  const side = (lines: ReturnType<typeof diffLines>, not: string): string =>
    lines
      .filter(({ kind }) => kind !== not)
      .map((line) => line.text)
      .join("\n");

  test("holds both texts whole, in order", () => {
    fc.assert(
      fc.property(text, text, (before, after) => {
        const lines = diffLines(before, after);
        expect(side(lines, "added")).toBe(before);
        expect(side(lines, "removed")).toBe(after);
      }),
    );
  });
  test("marks only the line that changed", () => {
    const lines = diffLines("a\nb\nc", "a\nB\nc");
    expect(lines.map(({ kind }) => kind)).toEqual(["same", "removed", "added", "same"]);
  });
});

describe("figures for people", () => {
  test.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1_500, "1.5 s"],
    [59_000, "59 s"],
    [250_000, "4 min 10 s"],
    [3_600_000, "1 h"],
    [90_000_000, "1 d 1 h"],
  ])("%i ms is %s", (ms, text) => expect(duration(ms)).toBe(text));
  test("what happened within this second is now, also by a clock that is ahead", () => {
    expect(ago(1_000, 1_900)).toBe("now");
    expect(ago(5_000, 1_000)).toBe("now");
    expect(ago(1_000, 3_900)).toBe("2 s ago");
  });
  test("updates are counted within one term of their ids only", () => {
    expect(updatesBehind(12, 10)).toBe(2);
    expect(updatesBehind(1e12 + 3, 10)).toBeNull();
    expect(updatesBehind(5, 0)).toBeNull();
  });
});
