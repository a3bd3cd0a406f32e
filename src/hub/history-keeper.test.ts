import { expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { updateId, workerId } from "../base/ids.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import { LAG_LIMITS_MS, MINUTE_MS, type MinuteFlow, type MinuteTotals } from "../ledger/history.ts";
import type { Ledger } from "../ledger/port.ts";
import type { Overview } from "../ledger/trail.ts";
import { createLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { HistoryKeeper } from "./history-keeper.ts";

type Written = { readonly process: string; readonly totals: MinuteTotals; readonly flow: MinuteFlow };

/** A keeper whose second passes when the test says so, over a ledger that remembers what was written. */
function keeping(overview: Partial<Overview> = {}) {
  let now = 10 * MINUTE_MS;
  let failing = false;
  let tick: () => Promise<void> | void = () => undefined;
  const warned: unknown[] = [];
  const written: Written[] = [];
  const runtime: Runtime = {
    ...systemRuntime,
    clock: { ...systemRuntime.clock, now: () => instant(now) },
    timers: {
      ...systemRuntime.timers,
      every: (_, each, onError) => {
        tick = async () => {
          try {
            await each();
          } catch (thrown) {
            onError(thrown);
          }
        };
        return { [Symbol.dispose]: () => (tick = () => undefined) };
      },
    },
  };
  const whole: Overview = {
    terminals: 2,
    received: 100,
    loaded: 90,
    backlog: 10,
    oldestReceivedAt: instant(now),
    retrying: 1,
    held: 2,
    dead: 3,
    discarded: 0,
    updatesHead: updateId(0),
    ...overview,
  };
  const ledger = {
    trail: { overview: async () => (failing ? Promise.reject(new Error("away")) : whole) },
    history: {
      record: async (process: string, totals: MinuteTotals, flow: MinuteFlow) =>
        void written.push({ process, totals, flow }),
    },
  } as unknown as Pick<Ledger, "history" | "trail">;
  const metrics = new Metrics();
  const log = createLog({ level: "silent", form: "json" });
  log.warn = (facts: unknown) => warned.push(facts);
  const keeper = new HistoryKeeper({ ledger, runtime, log, metrics, process: workerId("hub-1") });
  return {
    keeper,
    metrics,
    written,
    warned,
    fail: (is: boolean) => (failing = is),
    pass: async (ms: number) => {
      now += ms;
      await tick();
    },
  };
}

test("a minute is written once, when it has ended", async () => {
  const at = keeping();
  using _keeper = at.keeper;
  for (let second = 0; second < 59; second++) await at.pass(1_000);
  expect(at.written).toEqual([]);
  await at.pass(1_000);
  await at.pass(1_000);
  expect(at.written).toHaveLength(1);
  expect(at.written[0]).toMatchObject({
    process: "hub-1",
    totals: { received: 100, loaded: 90, backlog: 10, retrying: 1, held: 2, dead: 3, oldestMs: MINUTE_MS },
  });
});

test("holds what this process did within the minute, not since it began", async () => {
  const at = keeping({ oldestReceivedAt: null });
  using _keeper = at.keeper;
  at.metrics.add("waybill_updates_forwarded_total", 5, {});
  at.metrics.observe("waybill_load_lag_seconds", 0.001, {});
  await at.pass(MINUTE_MS);
  at.metrics.add("waybill_updates_forwarded_total", 2, {});
  await at.pass(MINUTE_MS);
  expect(at.written.map(({ flow }) => flow.out)).toEqual([5, 2]);
  const loads = at.written.map(({ flow }) => flow.lag.reduce((sum, n) => sum + n, 0));
  expect(loads).toEqual([1, 0]);
  expect(at.written[0]?.flow.lag).toHaveLength(LAG_LIMITS_MS.length + 1);
  expect(at.written[0]?.totals.oldestMs).toBe(0);
});

test("a ledger that is away costs its minute, is said once, and is not asked again until the next", async () => {
  const at = keeping();
  using _keeper = at.keeper;
  at.fail(true);
  await at.pass(MINUTE_MS);
  await at.pass(1_000);
  expect(at.warned).toHaveLength(1);
  at.fail(false);
  await at.pass(MINUTE_MS);
  expect(at.written).toHaveLength(1);
});

test("writes nothing more when it has ended", async () => {
  const at = keeping();
  at.keeper[Symbol.dispose]();
  await at.pass(MINUTE_MS);
  expect(at.written).toEqual([]);
});
