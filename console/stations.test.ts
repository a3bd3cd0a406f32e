import { describe, expect, test } from "vitest";
import { stationsOf } from "./stations.ts";

const T = Date.parse("2026-11-26T21:00:00Z");
type Given = Parameters<typeof stationsOf>[0];
const way = (state: string, events: readonly (readonly [string, number])[], more: object = {}) =>
  stationsOf({
    state,
    exception: null,
    payload: { lines: [JSON.stringify({ at: new Date(T).toISOString() })], truncated: false },
    events: events.map(([kind, at]) => ({ kind, at: T + at, detail: "" })),
    ...more,
  } as unknown as Given).map(({ name, state: how, tookMs }) => [name, how, tookMs]);

describe("the way of a message", () => {
  test("loaded: each leg with the time it took", () => {
    expect(
      way("loaded", [
        ["received", 40],
        ["loaded", 65],
      ]),
    ).toEqual([
      ["Committed at the till", "passed", null],
      ["Stored at the hub", "passed", 40],
      ["In the central database", "passed", 25],
    ]);
  });
  test("stuck: where, and that it has not arrived", () => {
    const stuck = way("dead", [
      ["received", 40],
      ["dead", 50],
    ]);
    expect(stuck.at(-2)).toEqual(["dead", "ill", 10]);
    expect(stuck.at(-1)).toEqual(["In the central database", "ahead", null]);
  });
  test("loaded late: was set aside, and then arrived", () => {
    const late = way("loaded", [
      ["received", 40],
      ["dead", 50],
      ["requeued", 90],
      ["loaded late", 100],
    ]);
    expect(late.map(([name]) => name)).toContain("Set aside");
    expect(late.at(-1)).toEqual(["In the central database", "passed", 50]);
  });
  test("given up: ends there, and nothing is said of the centre", () => {
    const given = way("discarded", [
      ["received", 40],
      ["dead", 50],
      ["discarded", 80],
    ]);
    expect(given.at(-1)).toEqual(["Given up", "ill", null]);
  });
  test("a line that cannot be read has no time of commit, and is on its way all the same", () => {
    const blank = way("received", [["received", 40]], { payload: { lines: ["{"], truncated: false } });
    expect(blank[0]).toEqual(["Committed at the till", "passed", null]);
    expect(blank[1]).toEqual(["Stored at the hub", "passed", null]);
  });
});
