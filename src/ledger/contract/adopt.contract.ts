import { describe, expect, test } from "vitest";
import { seq } from "../../base/ids.ts";
import type { OpenSubject } from "./subject.ts";
import { behind, claimAll, claimOne, drain, loaded, openOf, openWith, passedOver, send, Till } from "./till.ts";

/** What the ledger makes of the central database's word, when that differs from its own. */
export function adoptContract(adapter: string, open: OpenSubject): void {
  const withMessages = (count: number) => openWith(open, count);

  describe(`adopt contract: ${adapter}`, () => {
    test("a centre whose version alone is behind was restored too: a late load is done again", async () => {
      const { subject, till } = await withMessages(3);
      await using _ = subject;
      const { ledger } = subject;
      await drain(ledger, (n) => (n === 2 ? { state: "dead" } : null));
      await ledger.exceptions.requeue(till.lane, seq(2), "operator:anna" as never, "mended", null);
      await drain(ledger); // loaded late: the watermark stays, the version grows
      expect(await ledger.trail.state(till.lane, seq(2))).toBe("loaded");
      till.write(1);
      await send(ledger, till.messages(4, 4));
      const found = await claimOne(ledger);
      const passed = [{ seq: seq(2), state: "dead", fault: "ROW_REFUSED", attempts: 1 } as const];
      const before = { loadedThrough: seq(3), version: found.version - 1, passed };
      expect(await ledger.work.adopt(till.lane, found.fence, before)).toBe("behind");
      await ledger.work.release([found], 0, "behind");
      expect((await claimOne(ledger)).late.map((item) => item.seq)).toEqual([2]);
    });

    test("the centre's own words are adopted after a crash between load and settle", async () => {
      const { subject, till } = await withMessages(10);
      await using _ = subject;
      const { ledger } = subject;
      const claim = await claimOne(ledger);
      const passed = [
        { seq: seq(3), state: "dead", fault: "ROW_REFUSED", attempts: 1 } as const,
        { seq: seq(5), state: "held", fault: null, attempts: 0 } as const,
      ];
      expect(await ledger.work.adopt(till.lane, claim.fence, { loadedThrough: seq(8), version: 4, passed })).toBe(
        "adopted",
      );
      await ledger.work.release([claim], 0, "adopted");
      const next = await claimOne(ledger);
      expect([next.from, next.through, next.version]).toEqual([9, 10, 4]);
      expect((await openOf(subject.ledger, next)).map(({ seq: n, state, sets }) => [n, state, sets])).toEqual([
        [3, "dead", null],
        [5, "held", null],
      ]);
      expect(next.late.map(({ seq: n }) => n)).toEqual([5]);
      const kinds = async (n: number) => (await ledger.trail.of(till.lane, seq(n))).map(({ kind }) => kind);
      expect(await kinds(2)).toEqual(["received", "adopted"]);
      expect(await kinds(3)).toEqual(["received", "adopted"]);
      expect(await ledger.work.adopt(till.lane, claim.fence, { loadedThrough: seq(9), version: 5, passed })).toBe(
        "lost",
      );
    });

    test("an exception that the centre no longer names was loaded late, and frees what waits behind it", async () => {
      const { subject, till } = await withMessages(4);
      await using _ = subject;
      const { ledger } = subject;
      const claim = await claimOne(ledger);
      await ledger.work.settle([
        loaded(claim, {
          exceptions: [
            passedOver(2, { state: "retrying", retryInMs: 0 }),
            passedOver(3, { state: "held", behind: behind(till.lane, 2) }),
          ],
        }),
      ]);
      const late = await claimOne(ledger); // loads message 2, then dies before it settles
      const passed = [{ seq: seq(3), state: "held", fault: null, attempts: 0 } as const];
      expect(await ledger.work.adopt(till.lane, late.fence, { loadedThrough: seq(4), version: 2, passed })).toBe(
        "adopted",
      );
      await ledger.work.release([late], 0, "adopted");
      expect(await ledger.trail.state(till.lane, seq(2))).toBe("loaded");
      expect((await claimOne(ledger)).late.map(({ seq: n }) => n)).toEqual([3]);
    });

    test("a centre that knows less was restored: what it does not show is loaded again, with what people decided", async () => {
      const { subject, till } = await withMessages(10);
      await using _ = subject;
      const { ledger } = subject;
      await drain(ledger, (n) => (n === 4 || n === 6 || n === 8 ? { state: "dead" } : null));
      const by = "operator:anna" as never;
      await ledger.exceptions.requeue(till.lane, seq(4), by, "mended", null);
      await ledger.exceptions.discard(till.lane, seq(6), by, "a test sale");
      await ledger.exceptions.requeue(till.lane, seq(8), by, "mended by hand", new TextEncoder().encode("{}"));
      const late = await claimOne(ledger);
      await ledger.work.settle([loaded(late, { exceptions: [passedOver(6, { state: "discarded" })] })]);
      // The centre comes back as it was after message 2; messages are loaded again in their order.
      till.write(1);
      await send(ledger, till.messages(11, 11));
      const found = await claimOne(ledger);
      expect(await ledger.work.adopt(till.lane, found.fence, { loadedThrough: seq(2), version: 1, passed: [] })).toBe(
        "behind",
      );
      await ledger.work.release([found], 0, "behind");
      const steps: unknown[] = [];
      for (;;) {
        const [claim] = await claimAll(ledger);
        if (!claim) break;
        steps.push([
          claim.from,
          claim.through,
          claim.late.map((item) => [item.seq, item.order.verb, item.revision !== null]),
        ]);
        const given = claim.late.filter((item) => item.order.verb === "discard");
        const exceptions = given.map((item) => passedOver(item.seq, { state: "discarded" }));
        await ledger.work.settle([loaded(claim, { exceptions })]);
      }
      expect(steps).toEqual([
        [3, 5, []],
        [6, 5, [[6, "discard", false]]],
        [7, 7, []],
        [8, 7, [[8, "load", true]]],
        [9, 11, []],
      ]);
      const states = await Promise.all([4, 6, 8, 11].map((n) => ledger.trail.state(till.lane, seq(n))));
      expect(states).toEqual(["loaded", "discarded", "loaded", "loaded"]);
      expect(await ledger.lanes.of(till.terminal)).toMatchObject([{ loadedThrough: 11 }]);
    });

    test.each([1, 900])(
      "a centre of another history, version %d, is believed in all it says: what is open there, and what is not",
      async (version) => {
        await using subject = await open();
        const { ledger } = subject;
        const till = new Till("t1").write(4);
        await send(ledger, till.messages(1, 3));
        await drain(ledger, (n) => (n === 2 ? { state: "dead" } : null));
        await send(ledger, till.messages(4, 4));
        await drain(ledger);
        await ledger.work.doubt([till.lane]);
        const found = await claimOne(ledger);
        expect(found.version).toBeGreaterThan(1);
        // Both were restored, to different moments: there 2 is loaded, 3 waits, and 5 and 6 are messages not yet here again.
        const passed = [
          { seq: seq(3), state: "held" as const, fault: null, attempts: 0 },
          { seq: seq(5), state: "dead" as const, fault: "ROW_REFUSED" as const, attempts: 1 },
        ];
        await ledger.work.adopt(till.lane, found.fence, { loadedThrough: seq(6), version, passed });
        await ledger.work.release([found], 0, "asked");
        expect(await ledger.trail.state(till.lane, seq(2))).toBe("loaded");
        till.write(3);
        await send(ledger, till.messages(5, 7));
        const next = await claimOne(ledger);
        expect([next.from, next.through, next.version]).toEqual([7, 7, version]);
        expect((await openOf(subject.ledger, next)).map(({ seq: n, state }) => [n, state])).toEqual([
          [3, "held"],
          [5, "dead"],
        ]);
        expect(next.late.map((item) => item.seq)).toEqual([3]);
      },
    );

    test("numbers that a terminal had lost are named once, also when the centre goes back behind them", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(8);
      await send(ledger, till.messages(1, 2));
      await send(ledger, till.request({ seq: 5, part: 0 }, { seq: 8, part: 0 }, 6));
      await drain(ledger);
      await ledger.work.doubt([till.lane]);
      const found = await claimOne(ledger);
      expect(await ledger.work.adopt(till.lane, found.fence, { loadedThrough: seq(1), version: 1, passed: [] })).toBe(
        "behind",
      );
      await ledger.work.release([found], 0, "behind");
      await drain(ledger);
      expect(await ledger.lanes.of(till.terminal)).toMatchObject([{ loadedThrough: 8 }]);
      const named = (await ledger.trail.of(till.lane, seq(4))).filter(({ kind }) => kind === "missing");
      expect(named).toMatchObject([{ from: 3, through: 5 }]);
    });
  });
}
