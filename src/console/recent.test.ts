import { expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { updateId } from "../base/ids.ts";
import type { Overview } from "../ledger/trail.ts";
import { Recent } from "./recent.ts";

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
/** So many seconds, ten messages received and eight loaded in each. */
function running(seconds: number): Recent {
  const recent = new Recent();
  for (let i = 0; i <= seconds; i++) recent.add(instant(i * 1_000), overview(i * 10, i * 8));
  return recent;
}

test("rates are differences of the counters over the last seconds", () => {
  expect(running(0).rates()).toEqual({ received: 0, loaded: 0, out: 0 });
  expect(running(100).rates()).toEqual({ received: 10, loaded: 8, out: 0 });
});
test("counters that fell (a ledger restored) are no negative rate", () => {
  const recent = running(10);
  recent.add(instant(11_000), overview(0, 0));
  expect(recent.rates()).toEqual({ received: 0, loaded: 0, out: 0 });
});
test("seconds are kept for ten minutes", () => {
  const points = running(3_600).points();
  expect(points).toHaveLength(600);
  expect(points.at(-1)).toMatchObject({ at: 3_600_000, open: 6 });
});
test("a new term of update ids is no rate", () => {
  const recent = new Recent();
  for (const [second, head] of [7, 9, 1_000_000_000_001].entries())
    recent.add(instant(second * 1_000), { ...overview(0, 0), updatesHead: updateId(head) });
  expect(recent.rates().out).toBe(0);
});
