import { describe, expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { workerId } from "../../base/ids.ts";
import { LAG_LIMITS_MS, MINUTE_MS, MINUTES_KEPT_MS, type MinuteFlow, type MinuteTotals } from "../history.ts";
import type { OpenSubject } from "./subject.ts";

const [ONE, TWO] = [workerId("hub-1"), workerId("hub-2")];
const ALWAYS = instant(0);
const totals = (received: number): MinuteTotals => ({
  received,
  loaded: received - 3,
  backlog: 3,
  oldestMs: 1_200,
  retrying: 1,
  held: 2,
  dead: 0,
});
const lag = (...at: readonly number[]): number[] =>
  Array.from({ length: LAG_LIMITS_MS.length + 1 }, (_, i) => at.filter((each) => each === i).length);
const flow = (out: number, ...at: readonly number[]): MinuteFlow => ({ out, lag: lag(...at) });

export function historyContract(adapter: string, open: OpenSubject): void {
  describe(`history contract: ${adapter}`, () => {
    test("the minute that ended is there after a restart: totals once, flow summed over processes", async () => {
      await using subject = await open();
      await subject.ledger.history.record(ONE, totals(100), flow(5, 0, 1));
      await subject.ledger.history.record(TWO, totals(101), flow(7, 1));
      await subject.ledger.history.record(TWO, totals(102), flow(8, 1, 2)); // the same minute again
      await subject.restart();
      const [minute, ...more] = await subject.ledger.history.since(ALWAYS);
      expect(more).toEqual([]);
      expect(minute).toMatchObject({ ...totals(100), out: 13, lag: lag(0, 1, 1, 2) });
      expect(Number(minute?.at) % MINUTE_MS).toBe(0);
    });

    test("minutes follow each other, oldest first, from the time asked for", async () => {
      await using subject = await open();
      for (let n = 1; n <= 3; n++) {
        await subject.ledger.history.record(ONE, totals(n), flow(n));
        await subject.advance(MINUTE_MS);
      }
      const all = await subject.ledger.history.since(ALWAYS);
      expect(all.map(({ received }) => received)).toEqual([1, 2, 3]);
      expect((await subject.ledger.history.since(all[1]!.at)).map(({ out }) => out)).toEqual([2, 3]);
    });

    test("of minutes that are old only the full hours are kept", async () => {
      await using subject = await open();
      const { history } = subject.ledger;
      for (let n = 0; n < 61; n++) {
        await history.record(ONE, totals(n), flow(1));
        await subject.advance(MINUTE_MS);
      }
      await subject.advance(MINUTES_KEPT_MS);
      await history.record(ONE, totals(100), flow(1));
      const kept = await history.since(ALWAYS);
      expect(kept.length).toBeLessThanOrEqual(3);
      expect(kept.slice(0, -1).every(({ at }) => at % 3_600_000 === 0)).toBe(true);
      expect(kept.slice(0, -1).length).toBeGreaterThan(0);
    });
  });
}
