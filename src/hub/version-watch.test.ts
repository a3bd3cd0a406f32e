import { expect, test } from "vitest";
import { WaybillError } from "../base/errors.ts";
import { epoch, laneName, seq, terminalId } from "../base/ids.ts";
import { systemRuntime } from "../base/runtime.ts";
import { silentLog } from "../observe/log.ts";
import { VersionWatch } from "./version-watch.ts";

test("I9: a look that failed is repeated soon, not in a minute", async () => {
  const lane = laneName(terminalId("t1"), epoch("e1"));
  const stop = new AbortController();
  const doubted = Promise.withResolvers<readonly string[]>();
  let looks = 0;
  const watch = new VersionWatch({
    work: {
      marks: async () => ({ marks: [{ lane, loadedThrough: seq(9), version: 7 }], next: null }),
      doubt: async (lanes) => doubted.resolve(lanes),
    },
    central: {
      marks: async () => {
        if (++looks === 1) throw new WaybillError("DATABASE_UNAVAILABLE", "just now");
        return [{ lane, loadedThrough: seq(8), version: 6 }];
      },
    },
    runtime: { timers: systemRuntime.timers, random: { ...systemRuntime.random, next: () => 0 } },
    log: silentLog,
    doubted: () => undefined,
  });
  const running = watch.run(stop.signal);
  expect(await doubted.promise).toEqual([lane]);
  stop.abort();
  await running;
});
