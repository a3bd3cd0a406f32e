import { describe, expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { actor, terminalId, workerId } from "../../base/ids.ts";
import { KEPT, NOTHING_YET, type Difference, type ReconcileWork } from "../reconciles.ts";
import type { OpenSubject } from "./subject.ts";

const ANNA = actor("operator:anna");
const T1 = terminalId("t1");
const ONE = workerId("w1");
const TWO = workerId("w2");
const COMPARE: ReconcileWork = { kind: "compare", tables: null, mend: false };
const difference = (n: number): Difference => ({
  n,
  table: "sale",
  key: { sale_id: `S-${n}` },
  kind: "different",
  columns: [{ name: "total", terminal: "1.50", centre: null }],
  because: null,
  repair: "up",
  repaired: null,
});

export function reconcilesContract(adapter: string, open: OpenSubject): void {
  describe(`reconciles contract: ${adapter}`, () => {
    test("one at a time is ordered for a terminal, with its event; the same id again gives what is there", async () => {
      await using subject = await open();
      const { reconciles, trail } = subject.ledger;
      const first = await reconciles.order("r1", T1, COMPARE, ANNA, "monthly");
      expect(first).toMatchObject({ id: "r1", state: "waiting", by: ANNA, work: COMPARE, report: NOTHING_YET });
      expect(await reconciles.order("r1", T1, COMPARE, ANNA, "monthly")).toEqual(first);
      await expect(reconciles.order("r2", T1, COMPARE, ANNA, "again")).rejects.toMatchObject({
        code: "STATE_CONFLICT",
        facts: { id: "r1" },
      });
      await reconciles.order("r3", terminalId("t2"), COMPARE, ANNA, "monthly");
      const told = (await trail.recent(10, null)).filter(({ kind }) => kind === "reconcile ordered");
      expect(told.map(({ actor: by }) => by)).toEqual([ANNA, ANNA]);
      const [newest, oldest] = await reconciles.newest(10, null);
      expect(await reconciles.newest(1, null)).toEqual([newest]);
      expect(await reconciles.newest(10, newest!)).toEqual([oldest]);
      expect([newest?.id ?? "", oldest?.id ?? ""].toSorted()).toEqual(["r1", "r3"]);
      expect((await reconciles.list(T1, 10)).map(({ id }) => id)).toEqual(["r1"]);
    });

    test("it is one worker's until its lease runs out; whoever lost it writes nothing more", async () => {
      await using subject = await open();
      const { reconciles } = subject.ledger;
      await reconciles.order("r1", T1, COMPARE, ANNA, "monthly");
      expect(await reconciles.claim(ONE, 1_000)).toMatchObject({ id: "r1", state: "running" });
      expect(await reconciles.claim(TWO, 1_000)).toBeNull();
      const doing = { ...NOTHING_YET, doing: "sale" };
      expect(await reconciles.report("r1", ONE, doing, 1_000)).toBe(true);
      await subject.advance(1_500);
      expect(await reconciles.claim(TWO, 1_000)).toMatchObject({ id: "r1", report: doing });
      expect(await reconciles.report("r1", ONE, doing, 1_000)).toBe(false);
      expect(await reconciles.end("r1", ONE, "done", doing, "nothing")).toBe(false);
      expect(await reconciles.end("r1", TWO, "done", NOTHING_YET, "both sides are equal")).toBe(true);
      expect(await reconciles.get("r1")).toMatchObject({ state: "done", endedAt: expect.any(Number) });
      expect(await reconciles.claim(TWO, 1_000)).toBeNull();
      expect((await subject.ledger.trail.recent(1, null))[0]).toMatchObject({ kind: "reconciled", actor: ANNA });
    });

    test("differences are kept by number, with both values, and written again in their place", async () => {
      await using subject = await open();
      const { reconciles } = subject.ledger;
      await reconciles.order("r1", T1, COMPARE, ANNA, "monthly");
      await reconciles.found("r1", [difference(1), difference(2), difference(3)]);
      await reconciles.found("r1", [{ ...difference(2), repaired: "healed" }]);
      expect(await reconciles.differences("r1", 1, 10)).toEqual([
        { ...difference(2), repaired: "healed" },
        difference(3),
      ]);
      expect(await reconciles.differences("r1", 0, 1)).toEqual([difference(1)]);
    });

    test("a person may cancel it while it is not over", async () => {
      await using subject = await open();
      const { reconciles } = subject.ledger;
      await expect(reconciles.cancel("r1", ANNA, "?")).rejects.toMatchObject({ code: "NOT_FOUND" });
      await reconciles.order("r1", T1, COMPARE, ANNA, "monthly");
      await reconciles.claim(ONE, 60_000);
      await reconciles.cancel("r1", ANNA, "the shop is busy");
      expect(await reconciles.report("r1", ONE, NOTHING_YET, 1_000)).toBe(false);
      await expect(reconciles.cancel("r1", ANNA, "?")).rejects.toMatchObject({ code: "STATE_CONFLICT" });
    });

    test("of each terminal the newest are kept, with their differences", async () => {
      await using subject = await open();
      const { reconciles } = subject.ledger;
      for (let n = 1; n <= KEPT + 2; n++) {
        await reconciles.order(`r${n}`, T1, COMPARE, ANNA, "daily");
        await reconciles.found(`r${n}`, [difference(1)]);
        await reconciles.cancel(`r${n}`, ANNA, "enough");
        await subject.advance(10);
      }
      expect(await reconciles.list(T1, 100)).toHaveLength(KEPT);
      expect(await reconciles.differences("r1", 0, 10)).toEqual([]);
      expect(await reconciles.differences(`r${KEPT + 2}`, 0, 10)).toHaveLength(1);
    });

    test("due names enrolled terminals without a comparison since then", async () => {
      await using subject = await open();
      const { reconciles, terminals } = subject.ledger;
      for (const id of ["t1", "t2"]) {
        const token = new Uint8Array(32).fill(id.charCodeAt(1));
        await terminals.createToken(token, { terminal: terminalId(id), tags: {}, validMs: 60_000, by: ANNA });
        await terminals.enroll(token, terminalId(id), {}, token);
      }
      expect(await reconciles.due(instant(0), 10)).toEqual(["t1", "t2"]);
      const { orderedAt } = await reconciles.order("r1", T1, COMPARE, ANNA, "daily");
      await reconciles.cancel("r1", ANNA, "enough");
      expect(await reconciles.due(orderedAt, 10)).toEqual(["t2"]);
      expect(await reconciles.due(instant(orderedAt + 1), 10)).toEqual(["t1", "t2"]);
    });

    test("a question waits for its terminal until it is answered or taken back", async () => {
      await using subject = await open();
      const { reconciles } = subject.ledger;
      expect(await reconciles.question(T1)).toBeNull();
      await reconciles.ask(T1, "q1", "how many?");
      await reconciles.ask(T1, "q2", "which?");
      expect(await reconciles.asked()).toEqual([{ terminal: "t1", id: "q2" }]);
      expect(await reconciles.question(T1)).toEqual({ id: "q2", question: "which?" });
      expect(await reconciles.answer(T1, "q1", "three")).toBe(false);
      expect(await reconciles.answered(T1, "q2")).toBeNull();
      expect(await reconciles.answer(T1, "q2", "these")).toBe(true);
      expect(await reconciles.answer(T1, "q2", "these")).toBe(true);
      expect(await reconciles.answered(T1, "q2")).toBe("these");
      expect(await reconciles.asked()).toEqual([]);
      await reconciles.withdraw(T1, "q2");
      expect(await reconciles.answer(T1, "q2", "these")).toBe(false);
    });
  });
}
