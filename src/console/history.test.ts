import { expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { updateId } from "../base/ids.ts";
import type { Overview } from "../ledger/port.ts";
import { History } from "./history.ts";

const overview = (received: number, loaded: number): Overview => ({
  terminals: 1,
  received,
  loaded,
  backlog: received - loaded,
  oldestReceivedAt: null,
  retrying: 1,
  held: 2,
  dead: 3,
  discarded: 0,
  updatesHead: updateId(0),
});
/** A history of so many seconds, ten messages received and eight loaded in each. */
function running(seconds: number): History {
  const history = new History();
  for (let i = 0; i <= seconds; i++) history.add(instant(i * 1_000), overview(i * 10, i * 8));
  return history;
}

test("rates are differences of the counters over the last seconds", () => {
  expect(running(0).rates()).toEqual({ received: 0, loaded: 0 });
  expect(running(100).rates()).toEqual({ received: 10, loaded: 8 });
});
test("counters that fell (a ledger restored) are no negative rate", () => {
  const history = running(10);
  history.add(instant(11_000), overview(0, 0));
  expect(history.rates()).toEqual({ received: 0, loaded: 0 });
});
test("seconds are kept for ten minutes, minutes for a day", () => {
  const history = running(26 * 3_600);
  expect(history.of("minutes")).toHaveLength(600);
  const hours = history.of("hours");
  expect(hours.length).toBeGreaterThanOrEqual(1_440);
  expect(hours.length).toBeLessThanOrEqual(1_441);
  expect(hours.at(-1)).toEqual(history.of("minutes").at(-1));
  expect(hours.at(-1)?.open).toBe(6);
});
