import { describe, expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import { silentLog } from "../observe/log.ts";
import { Loop } from "./loop.ts";
import { Wake } from "../base/wake.ts";

/** Time that stands still except where a loop sleeps; every sleep is written down and ends at once. */
function stillRuntime(random = 0.5): Runtime & { readonly slept: number[] } {
  const slept: number[] = [];
  let now = 0;
  return {
    ...systemRuntime,
    slept,
    clock: { now: () => instant(now), elapsed: () => now },
    random: { ...systemRuntime.random, next: () => random },
    timers: {
      ...systemRuntime.timers,
      sleep: async (ms) => {
        slept.push(ms);
        now += ms;
      },
    },
  };
}

const policy = { retry: { firstMs: 100, factor: 2, capMs: 1_000 }, blockedMs: 60_000 };

/** Runs the steps one after another, then stops the loop. */
async function run(
  steps: readonly (() => number)[],
): Promise<{ loop: Loop; slept: readonly number[]; states: string[] }> {
  const runtime = stillRuntime();
  const stop = new AbortController();
  const states: string[] = [];
  const loop: Loop = new Loop({
    runtime,
    log: silentLog,
    policy,
    events: { failed: "submit.failed", blocked: "submit.stopped" },
    changed: () => states.push(loop.status.state),
  });
  let next = 0;
  await loop.run(
    async () => {
      const step = steps[next++];
      if (step) return step();
      stop.abort();
      return 0;
    },
    new Wake(runtime.timers),
    stop.signal,
  );
  return { loop, slept: runtime.slept, states };
}
const fails = (error: Error) => (): number => {
  throw error;
};

describe("a loop of the agent", () => {
  test("comes back after a failure with growing, jittered waits, and forgets them at the first success", async () => {
    const away = fails(new WaybillError("HUB_UNREACHABLE", "no answer"));
    const { slept, states } = await run([away, away, away, () => 7, away]);
    expect(slept.slice(0, 5)).toEqual([50, 100, 200, 7, 50]);
    expect(states).toEqual(["failing", "running", "failing", "running", "stopped"]);
  });

  test("waits at least as long as the hub asked", async () => {
    const { slept } = await run([fails(new WaybillError("UNAVAILABLE", "busy", { facts: { retryAfterMs: 3_000 } }))]);
    expect(slept[0]).toBe(3_050);
  });

  test("what only a person can mend is asked about seldom, and shown", async () => {
    const { slept, loop, states } = await run([fails(new WaybillError("EPOCH_WAITS", "two installs"))]);
    expect(slept[0]).toBe(60_000);
    expect(states[0]).toBe("blocked");
    expect(loop.status.lastError).toMatchObject({ code: "EPOCH_WAITS", what: "two installs" });
  });

  test("an error that is none of ours does not end it", async () => {
    const { loop, states } = await run([fails(new TypeError("oops"))]);
    expect(states[0]).toBe("failing");
    expect(loop.status.lastError?.code).toBe("INTERNAL");
  });
});

describe("a bell between loops", () => {
  test("a ring while nobody waits is kept for the next who does", async () => {
    const runtime = stillRuntime();
    const wake = new Wake(runtime.timers);
    wake.ring();
    await wake.wait(1_000, new AbortController().signal);
    expect(runtime.slept).toEqual([]);
    await wake.wait(1_000, new AbortController().signal);
    expect(runtime.slept).toEqual([1_000]);
  });

  test("a ring ends the wait of the one who waits", async () => {
    const wake = new Wake(systemRuntime.timers);
    const waited = wake.wait(60_000, new AbortController().signal);
    wake.ring();
    await waited;
  });
});
