import { systemClock } from "../../src/base/clock.ts";
import { systemTimers } from "../../src/base/runtime.ts";
import type { WorldTime } from "./virtual-time.ts";

/** A pause of a history is this many times shorter, and never longer than the second figure, in ms. */
const SHORTER = 20;
const LONGEST_PAUSE_MS = 1_000;
const LOOK_MS = 25;
/** Some of it is found out once a minute only. */
const LIMIT_MS = 150_000;

/** The system's time, for stations on servers, whose work no clock of ours can wait for: pauses are shorter, waits are waits. */
export const REAL_TIME: WorldTime = {
  now: () => systemClock.now(),
  elapsed: () => systemClock.elapsed(),
  sleep: systemTimers.sleep,
  every: systemTimers.every,
  pass: (ms) => systemTimers.sleep(Math.min(ms / SHORTER, LONGEST_PAUSE_MS)),
  through: async (_, work) => work,
  until: async (what, done) => {
    const end = systemClock.elapsed() + LIMIT_MS;
    while (!(await done())) {
      if (systemClock.elapsed() > end) throw new Error(`${what} did not come about within ${LIMIT_MS / 1000} s`);
      await systemTimers.sleep(LOOK_MS);
    }
  },
};
