import { describe, expect, test } from "vitest";
import { actor, seq } from "../../base/ids.ts";
import type { OpenSubject } from "./subject.ts";
import { claimAll, claimOne, loaded, send, Till } from "./till.ts";

const ANNA = actor("operator:anna");

export function restoresContract(adapter: string, open: OpenSubject): void {
  describe(`restores contract: ${adapter}`, () => {
    test("a doubted lane is claimed though it holds nothing, once", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(3);
      await send(ledger, till.messages(1, 3));
      await ledger.work.settle([loaded(await claimOne(ledger))]);
      expect(await claimAll(ledger)).toEqual([]);
      await ledger.work.doubt([till.lane]);
      const claim = await claimOne(ledger);
      expect([claim.from, claim.through, claim.late]).toEqual([4, 3, []]);
      await ledger.work.settle([loaded(claim)]);
      expect(await claimAll(ledger)).toEqual([]);
    });

    test("marks gives every lane that nobody has claimed, page by page", async () => {
      await using subject = await open();
      const { ledger } = subject;
      for (let i = 0; i < 5; i++) await send(ledger, new Till(`t${i}`).write(2).messages(1, 2));
      const [claimed] = await claimAll(ledger, { lanes: 1 });
      const seen: string[] = [];
      for (let after: number | null = null; ;) {
        const page: Awaited<ReturnType<typeof ledger.work.marks>> = await ledger.work.marks(2, after);
        seen.push(...page.marks.map(({ lane }) => lane));
        if (page.next === null) break;
        after = page.next;
      }
      expect(seen).toHaveLength(4);
      expect(seen).not.toContain(claimed?.lane);
    });

    test("a message known from the centre alone is tried only when its terminal has sent it again", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(3);
      await send(ledger, till.messages(1, 1));
      const first = await claimOne(ledger);
      const passed = [{ seq: seq(3), state: "retrying" as const, fault: "ROW_REFUSED" as const, attempts: 1 }];
      await ledger.work.adopt(till.lane, first.fence, { loadedThrough: seq(3), version: 7, passed });
      await ledger.work.release([first], 0, "asked");
      expect(await claimAll(ledger)).toEqual([]);
      expect(await ledger.restores.missing(null, 10), "it may still come").toEqual([]);
      await send(ledger, till.messages(2, 3));
      expect((await claimOne(ledger)).late.map((item) => item.seq)).toEqual([3]);
    });

    test("what nobody has any more is named until a person has given it up", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(9);
      await send(ledger, till.messages(1, 1));
      const first = await claimOne(ledger);
      const passed = [{ seq: seq(3), state: "dead" as const, fault: "CHECK_VIOLATED" as const, attempts: 1 }];
      await ledger.work.adopt(till.lane, first.fence, { loadedThrough: seq(4), version: 7, passed });
      await ledger.work.release([first], 0, "asked");
      await send(ledger, { ...till.messages(8, 9), oldest: seq(8) });
      expect(await ledger.restores.missing(null, 10)).toMatchObject([
        { lane: till.lane, from: 3, through: 3, state: "dead" },
        { lane: till.lane, from: 5, through: 7, state: "lost" },
      ]);
      expect(await ledger.restores.missing("t2" as typeof till.terminal, 10)).toEqual([]);
      await ledger.exceptions.discard(till.lane, seq(3), ANNA, "entered again by hand");
      const claim = await claimOne(ledger);
      const given = { seq: seq(3), state: "discarded" as const, fault: null, detail: "", attempts: 1 };
      const write = { ...given, retryInMs: null, behind: null, route: null, sets: null, tables: [] };
      await ledger.work.settle([loaded(claim, { exceptions: [write] })]);
      expect(await ledger.restores.missing(null, 10)).toMatchObject([{ from: 5, through: 7 }]);
    });

    test("a terminal with a new epoch is restored until somebody settles it", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(1);
      await send(ledger, till.request());
      expect(await ledger.restores.restored(null, 10)).toEqual([]);
      const { epoch } = await ledger.lanes.openEpoch(till.terminal, till.epoch, "install-1", "older than the hub");
      expect(await ledger.restores.restored(till.terminal, 10)).toMatchObject([
        { terminal: "t1", lane: `t1/${epoch}`, reason: "older than the hub" },
      ]);
      expect(await ledger.restores.settled(till.terminal, ANNA, "compared")).toBe(true);
      expect(await ledger.restores.settled(till.terminal, ANNA, "compared")).toBe(false);
      expect(await ledger.restores.restored(null, 10)).toEqual([]);
      const told = { kind: "restore settled", actor: ANNA, detail: "t1: compared" };
      expect(await ledger.trail.recent(5, null)).toContainEqual(expect.objectContaining(told));
    });

    test("of one terminal the newest refused installs are remembered, not all", async () => {
      await using subject = await open();
      const { lanes, restores } = subject.ledger;
      const { terminal } = new Till("t1");
      const { epoch } = await lanes.openEpoch(terminal, null, "install-0", "new");
      for (let n = 1; n <= 25; n++) {
        await subject.advance(10);
        const refused = lanes.openEpoch(terminal, epoch, `install-${n}`, "?");
        await expect(refused).rejects.toMatchObject({ code: "EPOCH_WAITS" });
      }
      const asks = await restores.asks(terminal, 100);
      expect(asks.map(({ install }) => install)).toEqual(Array.from({ length: 20 }, (_, i) => `install-${25 - i}`));
    });

    test("an install that was refused is named, and takes over once when a person allows it", async () => {
      await using subject = await open();
      const { lanes, restores } = subject.ledger;
      const { terminal } = new Till("t1");
      const first = await lanes.openEpoch(terminal, null, "install-1", "new");
      const second = () => lanes.openEpoch(terminal, first.epoch, "install-2", "a copy of its disk");
      await expect(second()).rejects.toMatchObject({ code: "EPOCH_WAITS" });
      await expect(second()).rejects.toMatchObject({ code: "EPOCH_WAITS" });
      expect(await restores.asks(terminal, 10)).toMatchObject([
        { terminal: "t1", install: "install-2", previous: first.epoch, reason: "a copy of its disk", allowedBy: null },
      ]);
      await expect(restores.allow(terminal, "install-9", ANNA, "?")).rejects.toMatchObject({ code: "NOT_FOUND" });
      await restores.allow(terminal, "install-2", ANNA, "the old disk is scrapped");
      const { epoch } = await second();
      expect(await second(), "the same call again").toEqual({ epoch });
      expect(await restores.asks(terminal, 10)).toEqual([]);
      await expect(lanes.openEpoch(terminal, first.epoch, "install-3", "again")).rejects.toMatchObject({
        code: "EPOCH_WAITS",
      });
    });
  });
}
