import { describe, expect, test } from "vitest";
import { instant } from "../src/base/clock.ts";
import type { Minute } from "./api.ts";
import { dayOf, ratesOf, slotsOf } from "./flow.ts";

const points = (...received: readonly number[]) =>
  received.map((n, i) => ({ at: instant(i * 1_000), received: n, loaded: n }));

describe("rates from running totals", () => {
  test("are differences a second, over several steps so that one second does not jitter", () => {
    expect(ratesOf(points(0, 10, 20, 60), 1).received).toEqual([null, 10, 10, 40]);
    expect(ratesOf(points(0, 10, 20, 60), 3).received).toEqual([null, 10, 10, 20]);
  });
  test("never fall below nothing: a total that fell was restored", () => {
    expect(ratesOf(points(100, 0, 5), 1).loaded).toEqual([null, 0, 5]);
  });
  test("two looks at the same moment tell nothing", () => {
    const twice = [
      { at: instant(5), received: 1, loaded: 1 },
      { at: instant(5), received: 9, loaded: 9 },
    ];
    expect(ratesOf(twice, 1).received).toEqual([null, null]);
  });
});

describe("a day for drawing", () => {
  const minute = (n: number, received: number): Minute =>
    ({ at: n * 60_000, received, loaded: received, backlog: 0, out: 120, lag: [] }) as unknown as Minute;

  test("has a rate a second for each minute, and what went out", () => {
    const { times, flow } = dayOf([minute(0, 0), minute(1, 600)]);
    expect(times).toEqual([0, 60]);
    expect(flow.received).toEqual([null, 10]);
    expect(flow.out).toEqual([2, 2]);
  });
  test("breaks where the hub was away, rather than drawing over it", () => {
    const { times, minutes, flow } = dayOf([minute(0, 0), minute(1, 600), minute(60, 6_000)]);
    expect(times).toEqual([0, 60, 120, 3_600]);
    expect(minutes[2]).toBeNull();
    expect(flow.received).toEqual([null, 10, null, null]);
  });
  test("a pause of a minute or two is no break", () => {
    expect(dayOf([minute(0, 0), minute(2, 600), minute(5, 900)]).minutes).not.toContain(null);
  });
  test("is empty for a hub that has just begun", () => {
    expect(dayOf([])).toEqual({ times: [], minutes: [], flow: { received: [], loaded: [], out: [] } });
  });
});

test("a terminal's day has every slot of the last 24 hours, quiet ones too, and none before", () => {
  const slot = 600_000;
  const now = 200 * slot + 5;
  const at = (n: number) => ({ at: instant(n * slot), received: n, loaded: 1 });
  const { times, received, loaded } = slotsOf([at(56), at(57), at(200)], slot, now);
  expect(times).toHaveLength(144);
  expect([times[0], times.at(-1)]).toEqual([(57 * slot) / 1_000, (200 * slot) / 1_000]);
  expect([received[0], received[1], received.at(-1), loaded.at(-1)]).toEqual([57, 0, 200, 1]);
});
