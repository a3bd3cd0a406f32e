import { describe, expect, test } from "vitest";
import { actor, seq } from "../../base/ids.ts";
import type { PauseScope } from "../pauses.ts";
import type { OpenSubject, Subject } from "./subject.ts";
import { claimAll, claimOne, drain, loaded, passedOver, send, Till } from "./till.ts";

const ANNA = actor("operator:anna");
const WORKER = actor("worker:w1");
const EVERYTHING: PauseScope = { kind: "everything", name: "" };
const SALE: PauseScope = { kind: "route", name: "sale" };

export function pausesContract(adapter: string, open: OpenSubject): void {
  describe(`pauses contract: ${adapter}`, () => {
    const kinds = async ({ ledger }: Subject): Promise<string[]> =>
      (await ledger.trail.recent(20, null)).map(({ kind }) => kind);
    const sent = async ({ ledger }: Subject, ...names: string[]): Promise<Till[]> => {
      const tills = names.map((name) => new Till(name).write(3));
      for (const till of tills) await send(ledger, till.messages(1, 2));
      return tills;
    };
    const lanes = async ({ ledger }: Subject): Promise<string[]> => {
      const claims = await claimAll(ledger);
      await ledger.work.settle(claims.map((claim) => loaded(claim)));
      return claims.map(({ lane }) => lane).toSorted();
    };

    test("what is paused is not claimed, also what comes meanwhile, until it is resumed; the rest is", async () => {
      for (const scope of [EVERYTHING, { kind: "terminal", name: "a" }, { kind: "lane", name: "a/E1" }] as const) {
        await using subject = await open();
        const [a] = await sent(subject, "a", "b");
        await subject.ledger.pauses.pause(scope, ANNA, "schema change");
        const rest = scope.kind === "everything" ? [] : ["b/E1"];
        expect(await lanes(subject)).toEqual(rest);
        await send(subject.ledger, a!.messages(3, 3));
        await subject.restart();
        expect(await lanes(subject)).toEqual([]);
        expect(await subject.ledger.work.nextDue()).toBeNull();
        expect(await subject.ledger.pauses.list()).toMatchObject([
          { ...scope, by: ANNA, reason: "schema change", fault: null },
        ]);
        await subject.ledger.pauses.resume(scope, ANNA, "done");
        expect(await lanes(subject)).toEqual(scope.kind === "everything" ? ["a/E1", "b/E1"] : ["a/E1"]);
        expect(await subject.ledger.pauses.list()).toEqual([]);
        expect(await kinds(subject)).toEqual(expect.arrayContaining(["paused", "resumed"]));
      }
    });

    test("what is in work is finished, and then not claimed again", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await sent(subject, "a");
      const claim = await claimOne(ledger, { messages: 1 });
      await ledger.pauses.pause({ kind: "terminal", name: "a" }, ANNA, "why");
      expect(await ledger.pauses.inWork()).toBe(1);
      expect(await ledger.work.settle([loaded(claim)])).toEqual(["settled"]);
      expect(await ledger.pauses.inWork()).toBe(0);
      expect(await claimAll(ledger)).toEqual([]);
    });

    test("a second pause by a person and a resume of nothing are refused", async () => {
      await using subject = await open();
      const { pauses } = subject.ledger;
      await pauses.pause(EVERYTHING, ANNA, "first");
      await expect(pauses.pause(EVERYTHING, ANNA, "second")).rejects.toMatchObject({ code: "STATE_CONFLICT" });
      await expect(pauses.resume(SALE, ANNA, "no")).rejects.toMatchObject({ code: "NOT_FOUND" });
    });

    test("a route is tripped once, claims name it, and what waits for it is due when a person resumes it", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await sent(subject, "a");
      expect(await ledger.pauses.trip("sale", "COLUMN_UNKNOWN", "no column total", WORKER)).toBe(true);
      expect(await ledger.pauses.trip("sale", "COLUMN_UNKNOWN", "no column total", WORKER)).toBe(false);
      expect((await kinds(subject)).filter((kind) => kind === "route paused")).toHaveLength(1);
      const claim = await claimOne(ledger);
      expect(claim.paused).toEqual(["sale"]);
      const waiting = passedOver(1, { state: "held", attempts: 0, route: "sale" });
      await ledger.work.settle([loaded(claim, { exceptions: [waiting] })]);
      expect(await ledger.pauses.list()).toMatchObject([{ ...SALE, fault: "COLUMN_UNKNOWN" }]);
      expect(await ledger.pauses.waiting()).toEqual([{ route: "sale", messages: 1 }]);
      expect(await claimAll(ledger)).toEqual([]);
      await ledger.pauses.resume(SALE, ANNA, "the column is back");
      const again = await claimOne(ledger);
      expect(again.late).toMatchObject([{ seq: 1, state: "held", probe: false }]);
      expect(again.paused).toEqual([]);
    });

    test("the oldest message probes a tripped route; the route goes on when it went through, or met something else", async () => {
      for (const fate of ["loaded", "dead", "held"] as const) {
        await using subject = await open();
        const { ledger } = subject;
        await sent(subject, "a", "b");
        await ledger.pauses.trip("sale", "COLUMN_UNKNOWN", "no column total", WORKER);
        await drain(ledger, () => ({ state: "held", attempts: 0, route: "sale" }));
        expect(await ledger.pauses.probe()).toBe(false);
        await subject.advance(1_000);
        expect(await ledger.pauses.probe()).toBe(true);
        const probe = await claimOne(ledger);
        expect(probe.late).toMatchObject([{ seq: 1, probe: true }]);
        const outcome =
          fate === "loaded"
            ? { closed: [seq(1)] }
            : { closed: [], exceptions: [passedOver(1, { state: fate, route: fate === "held" ? "sale" : null })] };
        await ledger.work.settle([loaded(probe, outcome)]);
        expect(await ledger.pauses.probe()).toBe(fate !== "held");
        expect(await ledger.pauses.list()).toHaveLength(fate === "held" ? 1 : 0);
        const freed = (await claimAll(ledger)).flatMap(({ late }) => late);
        expect(freed).toHaveLength(fate === "held" ? 0 : 3);
      }
    });

    test("every fourth probe is a message that was not tried yet: the fault may be that of some terminals only", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await sent(subject, "a");
      await ledger.pauses.trip("sale", "COLUMN_UNKNOWN", "no column total", WORKER);
      await drain(ledger, (n) => ({
        state: "held",
        attempts: 0,
        route: "sale",
        fault: n === 1 ? "COLUMN_UNKNOWN" : null,
      }));
      const probed: number[] = [];
      for (let probes = 0; probes < 5; probes++) {
        await subject.advance(30_000);
        expect(await ledger.pauses.probe()).toBe(true);
        const claim = await claimOne(ledger);
        const [item] = claim.late;
        probed.push(item!.seq);
        const again = passedOver(item!.seq, { state: "held", attempts: 0, route: "sale", fault: item!.fault });
        await ledger.work.settle([loaded(claim, { closed: [], exceptions: [again] })]);
      }
      expect(probed).toEqual([1, 1, 1, 2, 1]);
    });

    test("what comes to wait for a route that was resumed meanwhile is freed; so is all that waits, some at a time", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await sent(subject, "a");
      await ledger.pauses.pause(SALE, ANNA, "why");
      const claim = await claimOne(ledger);
      await ledger.pauses.resume(SALE, ANNA, "done");
      const waiting = [1, 2].map((n) => passedOver(n, { state: "held", attempts: 0, route: "sale" }));
      await ledger.work.settle([loaded(claim, { exceptions: waiting })]);
      expect(await claimAll(ledger)).toEqual([]);
      expect(await ledger.pauses.probe()).toBe(true);
      expect((await claimOne(ledger)).late.map(({ seq: n }) => n)).toEqual([1, 2]);
      expect(await ledger.pauses.probe()).toBe(false);
    });

    test("a route that nothing waits for stays paused while something may be on its way, and goes on after a minute", async () => {
      await using subject = await open();
      const { pauses } = subject.ledger;
      await pauses.trip("sale", "COLUMN_UNKNOWN", "no column total", WORKER);
      await subject.advance(30_000);
      expect(await pauses.probe()).toBe(false);
      expect(await pauses.list()).toHaveLength(1);
      await subject.advance(60_000);
      expect(await pauses.probe()).toBe(false);
      expect(await pauses.list()).toEqual([]);
    });

    test("a clock that is set back frees nothing that waits for a route, and delays no probe", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await sent(subject, "a", "b");
      await ledger.pauses.trip("sale", "COLUMN_UNKNOWN", "no column total", WORKER);
      await drain(ledger, () => ({ state: "held", attempts: 0, route: "sale" }));
      await subject.setBack(86_400_000);
      expect(await ledger.pauses.probe()).toBe(false); // it is the next claim that brings forward
      expect(await claimAll(ledger)).toEqual([]);
      expect(await ledger.pauses.probe()).toBe(true);
      expect((await claimAll(ledger)).flatMap(({ late }) => late)).toMatchObject([{ seq: 1, probe: true }]);
    });

    test("a person's pause of a route takes the place of Waybill's, and is not probed", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await sent(subject, "a");
      await ledger.pauses.trip("sale", "COLUMN_UNKNOWN", "no column total", WORKER);
      await drain(ledger, () => ({ state: "held", attempts: 0, route: "sale" }));
      await ledger.pauses.pause(SALE, ANNA, "we know");
      await subject.advance(60_000);
      expect(await ledger.pauses.probe()).toBe(false);
      expect(await ledger.pauses.list()).toMatchObject([{ by: ANNA, fault: null, probeAt: null }]);
    });
  });
}
