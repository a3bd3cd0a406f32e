import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { until } from "../../test/kit/until.ts";
import { instant } from "./clock.ts";
import { newUlid, systemRuntime, systemTimers, type Random } from "./runtime.ts";

describe("sleep", () => {
  test("lasts as long as asked", async () => {
    const before = performance.now();
    await systemTimers.sleep(20);
    expect(performance.now() - before).toBeGreaterThan(18);
  });
  test("ends at once, without an error, when a stop is or was requested", async () => {
    const stop = new AbortController();
    const asleep = systemTimers.sleep(60_000, stop.signal);
    stop.abort();
    await asleep;
    await systemTimers.sleep(60_000, stop.signal);
  });
});

describe("every", () => {
  test("a tick that still runs is not overtaken by the next", async () => {
    const ticking = Promise.withResolvers<void>();
    let ticks = 0;
    let others = 0;
    const fail = (thrown: unknown): void => expect.fail(String(thrown));
    using _held = systemTimers.every(1, () => ((ticks += 1), ticking.promise), fail);
    using _free = systemTimers.every(1, () => void (others += 1), fail);
    await until(() => others > 10);
    expect(ticks).toBe(1);
    ticking.resolve();
    await until(() => ticks > 1);
  });
  test("errors are told, whether thrown or rejected, and the ticks go on until disposed", async () => {
    const told: unknown[] = [];
    let ticks = 0;
    {
      using _ = systemTimers.every(
        1,
        () => {
          ticks += 1;
          if (ticks === 1) throw new Error("thrown");
          return ticks === 2 ? Promise.reject(new Error("rejected")) : undefined;
        },
        (thrown) => told.push((thrown as Error).message),
      );
      await until(() => ticks > 3);
    }
    expect(told).toEqual(["thrown", "rejected"]);
    const after = ticks;
    let others = 0;
    using _others = systemTimers.every(
      1,
      () => void (others += 1),
      () => undefined,
    );
    await until(() => others > 3);
    expect(ticks).toBe(after);
  });
});

describe("a ULID", () => {
  const bytes = (fill: number): Random => ({ next: () => 0, bytes: (count) => new Uint8Array(count).fill(fill) });

  test("has the form of its specification", () => {
    // The example of https://github.com/ulid/spec: the first ten letters are the time.
    expect(newUlid(instant(1_469_918_176_385), bytes(0))).toBe("01ARYZ6S410000000000000000");
    expect(newUlid(instant(281_474_976_710_655), bytes(255))).toBe("7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  });
  test("sorts by time of birth, whatever the chance", () => {
    const time = fc.integer({ min: 0, max: 2 ** 48 - 2 });
    fc.assert(
      fc.property(time, (now) => {
        expect(newUlid(instant(now), bytes(255)) < newUlid(instant(now + 1), bytes(0))).toBe(true);
      }),
    );
  });
  test("sorts behind the one it comes after, in the same millisecond and when the clock was set back", () => {
    const [first, ...rest] = [5, 5, 3, 3, 6].map((ms, i) => ({ ms, fill: 255 - i }));
    let last = newUlid(instant(first!.ms), bytes(first!.fill));
    for (const { ms, fill } of rest) {
      const next = newUlid(instant(ms), bytes(fill), last);
      expect(next > last && next.length === 26).toBe(true);
      last = next;
    }
    expect(newUlid(instant(1), bytes(0), "01ARYZ6S41000000000000ZZZZ")).toBe("01ARYZ6S410000000000010000");
  });
  test("two of one moment differ", () => {
    const born = Array.from({ length: 1_000 }, () => newUlid(instant(1), systemRuntime.random));
    expect(new Set(born).size).toBe(1_000);
  });
});
