import { expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { silentLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { Breaker } from "./breaker.ts";

function setUp() {
  let ms = 0;
  const clock = { now: () => instant(1_000_000 + ms), elapsed: () => ms };
  const metrics = new Metrics();
  const breaker = new Breaker(
    "central",
    { clock, random: { next: () => 1, bytes: () => new Uint8Array() } },
    silentLog,
    metrics,
  );
  return { breaker, metrics, pass: (by: number) => (ms += by) };
}

test("nothing is tried while it is open, then one probe decides, and a failed probe waits twice as long", () => {
  const { breaker, pass } = setUp();
  expect(breaker.waitMs()).toBe(0);
  const first = breaker.failed("CENTRAL_UNAVAILABLE");
  expect(breaker.state).toMatchObject({ kind: "open", failures: 1, fault: "CENTRAL_UNAVAILABLE" });
  expect(breaker.waitMs()).toBe(first);
  pass(first);
  expect(breaker.waitMs()).toBe(0);
  expect(breaker.state.kind).toBe("half-open");
  expect(breaker.failed("CENTRAL_UNAVAILABLE")).toBeGreaterThan(first * 1.8);
  expect(breaker.state).toMatchObject({ kind: "open", failures: 2 });
});

test("a success closes it and forgets the failures", () => {
  const { breaker, metrics } = setUp();
  breaker.failed("DATABASE_BUSY");
  expect(metrics.value("waybill_breaker_open", { target: "central" })).toBe(1);
  breaker.succeeded();
  expect(breaker.state).toEqual({ kind: "closed" });
  expect(metrics.value("waybill_breaker_open", { target: "central" })).toBe(0);
});

test("the wait is capped at half a minute, however long the target is away", () => {
  const { breaker } = setUp();
  const waits = Array.from({ length: 2_000 }, () => breaker.failed("CENTRAL_UNAVAILABLE"));
  expect(Math.max(...waits)).toBeLessThanOrEqual(30_100);
});
