import { describe, expect, test } from "vitest";
import { seq, workerId } from "../../base/ids.ts";
import { setsAsText } from "../key-sets.ts";
import type { OpenSubject } from "./subject.ts";
import {
  behind,
  claimAll,
  claimOne,
  drain,
  LEASE_MS,
  LIMIT,
  loaded,
  openOf,
  passedOver,
  send,
  Till,
  openWith,
} from "./till.ts";

export function workContract(adapter: string, open: OpenSubject): void {
  const withMessages = (count: number) => openWith(open, count);

  describe(`work contract: ${adapter}`, () => {
    test("a claim gives at most so many lanes and messages, and nobody else is given these lanes", async () => {
      await using subject = await open();
      const { ledger } = subject;
      for (let i = 0; i < 8; i++) await send(ledger, new Till(`t${i}`).write(30).messages(1, 30));
      const first = await claimAll(ledger, { lanes: 5, messages: 10 });
      expect(first.map(({ from, through }) => [from, through])).toEqual(Array(5).fill([1, 10]));
      const second = await claimAll(ledger, { lanes: 5, messages: 10 }, workerId("worker-2"));
      expect(second).toHaveLength(3);
      expect(new Set([...first, ...second].map(({ lane }) => lane)).size).toBe(8);
      expect(await claimAll(ledger)).toEqual([]);
    });

    test("a lane is given to one worker at a time", async () => {
      await using subject = await open();
      const tills = Array.from({ length: 60 }, (_, i) => new Till(`t${i}`).write(3));
      await Promise.all(tills.map((till) => send(subject.ledger, till.messages(1, 3))));
      const claims = await Promise.all(
        Array.from({ length: 30 }, (_, i) => claimAll(subject.ledger, { lanes: 4 }, workerId(`worker-${i}`))),
      );
      const lanes = claims.flat().map(({ lane }) => lane);
      expect(lanes).toHaveLength(60);
      expect(new Set(lanes).size).toBe(60);
    });

    test("longest due first: a lane that was just served goes behind those that wait", async () => {
      await using subject = await open();
      const { ledger } = subject;
      for (const name of ["a", "b", "c"]) {
        await send(ledger, new Till(name).write(4).messages(1, 4));
        await subject.advance(10);
      }
      const order: string[] = [];
      for (let i = 0; i < 6; i++) {
        const claim = await claimOne(ledger, { messages: 2 });
        order.push(claim.terminal);
        await ledger.work.settle([loaded(claim)]);
        await subject.advance(10);
      }
      expect(order).toEqual(["a", "b", "c", "a", "b", "c"]);
    });

    test("a claim takes about so many bytes, at least one message", async () => {
      await using subject = await open();
      const till = new Till("t1").write(10, { bytes: 10_000 });
      for (let n = 1; n <= 10; n++) await send(subject.ledger, till.messages(n, n));
      const small = await claimOne(subject.ledger, { bytes: 1 });
      expect([small.from, small.through]).toEqual([1, 1]);
      await subject.ledger.work.settle([loaded(small)]);
      const larger = await claimOne(subject.ledger, { bytes: 25_000 });
      expect([larger.from, larger.through]).toEqual([2, 4]);
    });

    test("a message stored in parts is claimed alone", async () => {
      await using subject = await open();
      const till = new Till("t1").write(2).writeParts(3).writeParts(1).write(2);
      await send(subject.ledger, till.request());
      const seen: unknown[] = [];
      for (let i = 0; i < 4; i++) {
        const claim = await claimOne(subject.ledger);
        seen.push([claim.from, claim.through, claim.inParts]);
        await subject.ledger.work.settle([loaded(claim)]);
      }
      expect(seen).toEqual([
        [1, 2, false],
        [3, 3, true],
        [4, 4, true],
        [5, 6, false],
      ]);
    });

    test("settling moves the watermarks, and the claim tells the central row's version", async () => {
      const { subject, till } = await withMessages(10);
      await using _ = subject;
      const claim = await claimOne(subject.ledger, { messages: 6 });
      expect(claim.version).toBe(0);
      expect(await subject.ledger.work.settle([loaded(claim, { version: 1, lagMs: 42 })])).toEqual(["settled"]);
      expect(await subject.ledger.lanes.of(till.terminal)).toMatchObject([{ loadedThrough: 6, claimedThrough: 6 }]);
      expect((await claimOne(subject.ledger)).version).toBe(1);
    });

    test("a claim whose lease ran out is lost to the first worker and settled by the second", async () => {
      const { subject, till } = await withMessages(10);
      await using _ = subject;
      const { ledger } = subject;
      const first = await claimOne(ledger);
      await subject.advance(LEASE_MS);
      const second = await claimOne(ledger);
      expect(second.fence).toBeGreaterThan(first.fence);
      expect(await ledger.work.settle([loaded(first, { exceptions: [passedOver(1)] })])).toEqual(["lost"]);
      expect(await ledger.exceptions.get(till.lane, seq(1))).toBeNull();
      expect(await ledger.work.settle([loaded(second)])).toEqual(["settled"]);
      expect((await ledger.trail.of(till.lane, seq(1))).map(({ kind }) => kind)).toEqual([
        "received",
        "lease lost",
        "loaded",
      ]);
    });

    test("a settlement counts by its fence, though its lease ran out, until another claims", async () => {
      const { subject } = await withMessages(3);
      await using _ = subject;
      const claim = await claimOne(subject.ledger);
      await subject.advance(LEASE_MS * 2);
      expect(await subject.ledger.work.settle([loaded(claim)])).toEqual(["settled"]);
      expect(await subject.ledger.work.settle([loaded(claim)])).toEqual(["lost"]);
    });

    test("renewing prolongs the leases and names those that are lost", async () => {
      await using subject = await open();
      const { ledger } = subject;
      for (const name of ["a", "b"]) await send(ledger, new Till(name).write(1).messages(1, 1));
      const [a, b] = await claimAll(ledger);
      await ledger.work.settle([loaded(b!)]);
      await subject.advance(LEASE_MS - 1);
      expect(await ledger.work.renew([a!, b!], LEASE_MS)).toEqual([b!.lane]);
      await subject.advance(LEASE_MS - 1);
      expect(await claimAll(ledger)).toEqual([]);
    });

    test("a worker whose lane was claimed by another neither renews its lease nor hands it back", async () => {
      const { subject } = await withMessages(3);
      await using _ = subject;
      const { ledger } = subject;
      const first = await claimOne(ledger);
      await subject.advance(LEASE_MS + 1);
      const second = await claimOne(ledger);
      expect(await ledger.work.renew([first], 100 * LEASE_MS)).toEqual([first.lane]);
      await ledger.work.release([first], 0, "CENTRAL_UNAVAILABLE");
      expect(await claimAll(ledger)).toEqual([]);
      await subject.advance(LEASE_MS + 1); // the second's lease runs out as if nobody had spoken
      const third = await claimOne(ledger);
      expect(third.fence).toBeGreaterThan(second.fence);
    });

    test("a clock that is set back delays nothing: what was due, handed back, tried again later or leased is due all the same", async () => {
      await using subject = await open();
      const DAY_MS = 86_400_000;
      const tills = ["t1", "t2", "t3", "t4"].map((name) => new Till(name).write(3));
      for (const till of tills) await send(subject.ledger, till.messages(1, 3));
      const [leased, handedBack, retried] = await claimAll(subject.ledger, { lanes: 3 });
      if (!leased || !handedBack || !retried) throw new Error("three lanes are due");
      await subject.ledger.work.release([handedBack], 5_000, "CENTRAL_UNAVAILABLE");
      const later = passedOver(2, { state: "retrying", retryInMs: 600_000 });
      await subject.ledger.work.settle([loaded(retried, { exceptions: [later] })]);
      await subject.setBack(DAY_MS);
      await subject.ledger.work.nextDue();
      const due = await claimAll(subject.ledger, { lanes: 9 });
      expect(new Set(due.map(({ lane }) => lane))).toEqual(new Set([handedBack.lane, retried.lane, tills[3]?.lane]));
      expect(due.find(({ lane }) => lane === retried.lane)?.late).toMatchObject([{ seq: 2 }]);
      await subject.advance(LEASE_MS + 1);
      expect((await claimAll(subject.ledger, { lanes: 9 })).map(({ lane }) => lane)).toContain(leased.lane);
    });

    test("a clock that was set back while nobody had the ledger open delays nothing", async () => {
      const { subject } = await withMessages(3);
      await using _ = subject;
      await subject.ledger.work.release([await claimOne(subject.ledger)], 5_000, "the hub stops");
      await subject.setBack(86_400_000);
      await subject.restart();
      expect((await claimOne(subject.ledger)).from).toBe(1);
    });

    test("a clock that was set back delays nothing though who noticed was killed before it claimed", async () => {
      const { subject, till } = await withMessages(3);
      await using _ = subject;
      await subject.ledger.work.release([await claimOne(subject.ledger)], 5_000, "the hub stops");
      await subject.setBack(86_400_000);
      till.write(1);
      await send(subject.ledger, till.messages(4, 4)); // the trail's last line bears the new time
      await subject.restart();
      expect((await claimOne(subject.ledger)).from).toBe(1);
    });

    test("a lane handed back is judged by nobody and due again when it was asked", async () => {
      const { subject, till } = await withMessages(5);
      await using _ = subject;
      const { ledger } = subject;
      const claim = await claimOne(ledger);
      await ledger.work.release([claim], 1_000, "CENTRAL_UNAVAILABLE");
      expect(await ledger.work.settle([loaded(claim)])).toEqual(["lost"]);
      expect(await ledger.work.nextDue()).toBe(1_000);
      till.write(1); // what comes in meanwhile must not cut the wait short
      await send(ledger, till.messages(6, 6));
      expect(await claimAll(ledger)).toEqual([]);
      await subject.advance(1_000);
      const again = await claimOne(ledger);
      expect([again.from, again.through, again.unsettled]).toEqual([1, 6, 0]);
    });

    test("a claim that ended unsettled shrinks the next one by half, down to one message, also over restarts", async () => {
      const { subject } = await withMessages(100);
      await using _ = subject;
      const sizes: number[] = [];
      const counts: number[] = [];
      for (let i = 0; i < 10; i++) {
        const claim = await claimOne(subject.ledger, { messages: 64 });
        sizes.push(claim.through - claim.from + 1);
        counts.push(claim.unsettled);
        if (i % 2 === 0) await subject.restart();
        if (i % 2 === 1 || subject.leasesOutliveRestart) await subject.advance(LEASE_MS);
      }
      expect(sizes).toEqual([64, 32, 16, 8, 4, 2, 1, 1, 1, 1]);
      expect(counts).toEqual([0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    });

    test("a suspect lane is claimed alone, and is so until it has passed the place", async () => {
      await using subject = await open();
      const { ledger } = subject;
      for (const name of ["a", "b", "c"]) await send(ledger, new Till(name).write(8).messages(1, 8));
      await claimAll(ledger); // its worker dies
      await subject.advance(LEASE_MS);
      await send(ledger, new Till("healthy").write(1).messages(1, 1));
      const [only, ...others] = await claimAll(ledger);
      expect(others).toEqual([]);
      expect([only!.from, only!.through]).toEqual([1, 4]);
      await ledger.work.settle([loaded(only!)]);
      for (let i = 0; i < 6; i++) {
        const claims = await claimAll(ledger);
        expect(claims).toHaveLength(1);
        await ledger.work.settle(claims.map((claim) => loaded(claim)));
      }
      for (const name of ["a", "b", "c"]) await send(ledger, new Till(name).write(16).messages(9, 16));
      expect((await claimAll(ledger)).map(({ from, through }) => [from, through])).toEqual(Array(3).fill([9, 16]));
    });

    test("a one-message lane in a batch that died is not blamed for it", async () => {
      await using subject = await open();
      for (const name of ["a", "b"]) await send(subject.ledger, new Till(name).write(1).messages(1, 1));
      await claimAll(subject.ledger);
      await subject.advance(LEASE_MS);
      expect((await claimOne(subject.ledger)).unsettled).toBe(0);
    });

    test("a lane of a newer epoch waits until all received messages of the older ones are loaded or excepted", async () => {
      const { subject, till } = await withMessages(4);
      await using _ = subject;
      const { ledger } = subject;
      const { epoch } = await ledger.lanes.openEpoch(till.terminal, till.epoch, "install-1", "restored");
      const newer = new Till("t1", epoch).write(2);
      await send(ledger, newer.messages(1, 2));
      const [old, ...none] = await claimAll(ledger, { messages: 3 });
      expect([old!.lane, none]).toEqual([till.lane, []]);
      await ledger.work.settle([loaded(old!)]);
      const [rest, ...still] = await claimAll(ledger);
      expect([rest!.lane, rest!.from, still]).toEqual([till.lane, 4, []]);
      await ledger.work.settle([loaded(rest!, { exceptions: [passedOver(4)] })]);
      const next = await claimOne(ledger);
      expect([next.lane, next.from, next.through]).toEqual([newer.lane, 1, 2]);
      expect((await openOf(ledger, next)).map(({ lane, seq: n }) => [lane, n])).toEqual([[till.lane, 4]]);
    });

    test("a claim says whether anything is open, and how the older lanes stand that have something", async () => {
      const { subject, till } = await withMessages(2);
      await using _ = subject;
      const { ledger } = subject;
      const first = await claimOne(ledger);
      expect([first.open, await ledger.bytes.open(till.lane)]).toEqual([null, { exceptions: [], older: "" }]);
      const { epoch } = await ledger.lanes.openEpoch(till.terminal, till.epoch, "install-1", "restored");
      const newer = new Till("t1", epoch).write(3);
      await ledger.work.settle([loaded(first, { exceptions: [passedOver(1), passedOver(2)] })]);
      await send(ledger, newer.messages(1, 1));
      const second = await claimOne(ledger);
      // The lane itself has none, the one before it has two.
      const { older, exceptions } = await ledger.bytes.open(newer.lane);
      expect([second.lane, second.open, exceptions.length]).toEqual([newer.lane, older, 2]);
      expect(older).not.toBe("");
      await ledger.work.settle([loaded(second, { exceptions: [passedOver(1)] })]);
      await send(ledger, newer.messages(2, 2));
      const third = await claimOne(ledger);
      expect([third.open, third.fence, third.version]).toEqual([older, second.fence + 1, second.version + 1]);
      expect((await ledger.bytes.open(till.lane)).older).toBe("");
      await ledger.work.settle([loaded(third)]);
      // One of the older lane's is loaded after all: what was known of it holds no longer.
      await ledger.exceptions.requeue(till.lane, seq(2), "operator:anna" as never, "again", null);
      const late = await claimOne(ledger);
      await ledger.work.settle([loaded(late)]);
      await send(ledger, newer.messages(3, 3));
      const last = await claimOne(ledger);
      expect([last.lane, (await openOf(ledger, last)).length]).toEqual([newer.lane, 2]);
      expect(last.open).not.toBe(older);
      expect(last.open).toBe((await ledger.bytes.open(newer.lane)).older);
    });

    test("a retrying message is given again when it is due, with its attempts and key sets", async () => {
      const { subject } = await withMessages(3);
      await using _ = subject;
      const { ledger } = subject;
      const sets = {
        writes: ["sale S-1"],
        adds: ["stock 7"],
        creates: ["sale S-1"],
        deletes: [],
        parents: ["store 014"],
      };
      const claim = await claimOne(ledger);
      await ledger.work.settle([
        loaded(claim, {
          exceptions: [passedOver(2, { state: "retrying", retryInMs: 500, attempts: 1, sets: setsAsText(sets) })],
        }),
      ]);
      expect(await claimAll(ledger)).toEqual([]);
      expect(await ledger.work.nextDue()).toBe(500);
      await subject.advance(500);
      const again = await claimOne(ledger);
      expect([again.from, again.through]).toEqual([4, 3]);
      expect(again.late).toEqual([
        {
          lane: claim.lane,
          seq: 2,
          state: "retrying",
          fault: "ROW_REFUSED",
          attempts: 1,
          sets,
          order: { verb: "load" },
          probe: false,
          revision: null,
        },
      ]);
      expect(await openOf(ledger, again)).toHaveLength(1);
    });

    test("a late message in the hand of a lost or stopped worker is what it was, and the trail says so", async () => {
      const { subject, till } = await withMessages(2);
      await using _ = subject;
      const { ledger } = subject;
      await ledger.work.settle([
        loaded(await claimOne(ledger), { exceptions: [passedOver(1, { state: "retrying", retryInMs: 0 })] }),
      ]);
      await claimOne(ledger);
      expect(await ledger.trail.state(till.lane, seq(1))).toBe("processing");
      await subject.advance(LEASE_MS);
      await ledger.work.release([await claimOne(ledger)], 0, "the hub stops");
      expect(await ledger.trail.state(till.lane, seq(1))).toBe("retrying");
      const kinds = (await ledger.trail.of(till.lane, seq(1))).map(({ kind }) => kind);
      expect(kinds).toEqual(["received", "retrying", "lease lost", "handed back"]);
      expect((await ledger.trail.of(till.lane, seq(2))).map(({ kind }) => kind)).toEqual(["received", "loaded"]);
    });

    test("held messages are given when what they wait behind is closed, in their order", async () => {
      const { subject, till } = await withMessages(6);
      await using _ = subject;
      const { ledger } = subject;
      const held = (n: number, on: number) =>
        passedOver(n, { state: "held", fault: null, behind: behind(till.lane, on) });
      const claim = await claimOne(ledger);
      await ledger.work.settle([
        loaded(claim, { exceptions: [held(4, 2), passedOver(2, { state: "retrying", retryInMs: 10 }), held(5, 4)] }),
      ]);
      expect((await ledger.exceptions.get(till.lane, seq(2)))!.holds).toBe(2);
      await subject.advance(10);
      const first = await claimOne(ledger);
      expect(first.late.map(({ seq: n }) => n)).toEqual([2]);
      await ledger.work.settle([loaded(first)]);
      const second = await claimOne(ledger);
      expect(second.late.map(({ seq: n }) => n)).toEqual([4]);
      await ledger.work.settle([loaded(second)]);
      const third = await claimOne(ledger);
      expect(third.late.map(({ seq: n }) => n)).toEqual([5]);
      await ledger.work.settle([loaded(third)]);
      expect(await ledger.work.nextDue()).toBeNull();
    });

    test("with a message that misses a parent come the others that do, due or not, and those held behind them", async () => {
      const { subject, till } = await withMessages(7);
      await using _ = subject;
      const { ledger } = subject;
      const held = (n: number, on: number) =>
        passedOver(n, { state: "held", fault: null, behind: behind(till.lane, on) });
      const missing = passedOver(2, { state: "retrying", fault: "PARENT_MISSING", retryInMs: 10 });
      const later = passedOver(7, { state: "retrying", fault: "PARENT_MISSING", retryInMs: 10_000 });
      const other = passedOver(3, { state: "retrying", fault: "ROW_MISSING", retryInMs: 10 });
      const claim = await claimOne(ledger);
      await ledger.work.settle([
        loaded(claim, { exceptions: [missing, other, held(4, 2), held(5, 4), held(6, 3), later] }),
      ]);
      await subject.advance(10);
      const late = await claimOne(ledger);
      expect(late.late.map(({ seq: n }) => n)).toEqual([2, 3, 4, 5, 7]);
      const closed = [2, 4, 5, 7].map((n) => seq(n));
      await ledger.work.settle([loaded(late, { closed, exceptions: [passedOver(3)] })]);
      expect((await ledger.exceptions.get(till.lane, seq(5)))!.state).toBe("loaded");
      expect((await ledger.exceptions.get(till.lane, seq(6)))!.state).toBe("held");
    });

    test("a message held behind one that was closed meanwhile, in an older lane, is due at once", async () => {
      const { subject, till } = await withMessages(1);
      await using _ = subject;
      const { ledger } = subject;
      await drain(ledger, () => ({ state: "retrying", retryInMs: 10 }));
      const { epoch } = await ledger.lanes.openEpoch(till.terminal, till.epoch, "install-1", "restored");
      const newer = new Till("t1", epoch).write(1);
      await send(ledger, newer.messages(1, 1));
      const claim = await claimOne(ledger);
      await subject.advance(10);
      await ledger.work.settle([loaded(await claimOne(ledger))]);
      await ledger.work.settle([
        loaded(claim, { exceptions: [passedOver(1, { state: "held", behind: behind(till.lane, 1) })] }),
      ]);
      expect((await claimOne(ledger)).late.map(({ lane, seq: n }) => [lane, n])).toEqual([[newer.lane, 1]]);
    });

    test("a lane that its loader has stopped is not claimed again at once", async () => {
      const { subject } = await withMessages(3);
      await using _ = subject;
      const claim = await claimOne(subject.ledger);
      await subject.ledger.work.settle([loaded(claim, { loadedThrough: seq(0) })]);
      expect(await claimAll(subject.ledger)).toEqual([]);
      expect(await subject.ledger.work.nextDue()).toBeGreaterThan(0);
    });

    test("a settlement of what was not claimed is refused and changes nothing", async () => {
      const { subject, till } = await withMessages(6);
      await using _ = subject;
      const { ledger } = subject;
      const first = await claimOne(ledger, { messages: 2 });
      await ledger.work.settle([loaded(first, { exceptions: [passedOver(1)] })]);
      const claim = await claimOne(ledger, { messages: 3 });
      for (const wrong of [
        loaded(claim, { loadedThrough: seq(6) }),
        loaded(claim, { loadedThrough: seq(1) }), // a watermark never goes back
        loaded(claim, { closed: [seq(1)] }), // dead, and in nobody's hand
        loaded(claim, { closed: [seq(4)] }),
        loaded(claim, { exceptions: [passedOver(6)] }),
        loaded(claim, { exceptions: [passedOver(4, { state: "discarded" })] }),
      ]) {
        await expect(ledger.work.settle([wrong])).rejects.toMatchObject({ code: "STATE_CONFLICT" });
      }
      expect(await ledger.trail.state(till.lane, seq(1))).toBe("dead");
      expect(await ledger.trail.state(till.lane, seq(3))).toBe("processing");
      expect(await ledger.work.settle([loaded(claim)])).toEqual(["settled"]);
    });

    test("a settlement counts once: said again, its lease has ended", async () => {
      const { subject, till } = await withMessages(5);
      await using _ = subject;
      const { ledger } = subject;
      const claim = await claimOne(ledger, { messages: 3 });
      expect(await ledger.work.settle([loaded(claim)])).toEqual(["settled"]);
      expect(await ledger.work.settle([loaded(claim)])).toEqual(["lost"]);
      expect((await ledger.trail.of(till.lane, seq(1))).map(({ kind }) => kind)).toEqual(["received", "loaded"]);
    });

    test("nothing is due when there is no work", async () => {
      await using subject = await open();
      expect(await subject.ledger.work.nextDue()).toBeNull();
      expect(await subject.ledger.work.claim(workerId("w"), LIMIT, LEASE_MS)).toEqual([]);
      await send(subject.ledger, new Till("t1").write(1).messages(1, 1));
      expect(await subject.ledger.work.nextDue()).toBe(0);
    });
  });
}
