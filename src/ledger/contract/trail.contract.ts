import { describe, expect, test } from "vitest";
import { later, type Instant } from "../../base/clock.ts";
import { actor, epoch, laneName, seq } from "../../base/ids.ts";
import type { OpenSubject } from "./subject.ts";
import { behind, claimOne, drain, loaded, passedOver, send, Till } from "./till.ts";

export function trailContract(adapter: string, open: OpenSubject): void {
  describe(`trail contract: ${adapter}`, () => {
    test("the events of a message are those of every range that covers it, in order", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(1_000);
      let sent = 0;
      for (const size of [1, 2, 61, 436, 500]) await send(ledger, till.messages(sent + 1, (sent += size)));
      await drain(ledger, (n) => (n === 500 ? { state: "dead" } : null));
      const kinds = async (n: number) =>
        (await ledger.trail.of(till.lane, seq(n))).map(({ kind, from, through }) => [kind, from, through]);
      expect(await kinds(1)).toEqual([
        ["received", 1, 1],
        ["loaded", 1, 499],
      ]);
      expect(await kinds(64)).toEqual([
        ["received", 4, 64],
        ["loaded", 1, 499],
      ]);
      expect(await kinds(500)).toEqual([
        ["received", 65, 500],
        ["dead", 500, 500],
      ]);
      expect(await kinds(1_000)).toEqual([
        ["received", 501, 1_000],
        ["loaded", 501, 1_000],
      ]);
      expect(await kinds(1_001)).toEqual([]);
      expect(await ledger.trail.of(new Till("t2").lane, seq(1))).toEqual([]);
    });

    test("recent events come newest first, page by page, notes among them", async () => {
      await using subject = await open();
      const { trail } = subject.ledger;
      const till = new Till("t1").write(1);
      await send(subject.ledger, till.messages(1, 1));
      const start = (await trail.recent(1, null))[0]!.id;
      for (let i = 1; i <= 5; i++) await trail.note("row recreated", till.lane, actor("system"), `note ${i}`);
      const first = await trail.recent(3, null);
      const rest = (await trail.recent(9, first.at(-1)!.id)).filter(({ id }) => id > start);
      expect([...first, ...rest].map(({ detail }) => detail)).toEqual([5, 4, 3, 2, 1].map((i) => `note ${i}`));
      expect(first[0]).toMatchObject({ lane: till.lane, from: 0, through: 0, kind: "row recreated", actor: "system" });
    });

    test("messages are found by the values of searchable columns, newest first", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const old = new Till("t1", "E1").write(2, { search: ["4711", "Anna"] }).write(1, { search: ["4712"] });
      await send(ledger, old.messages(1, 3));
      const { epoch: next } = await ledger.lanes.openEpoch(old.terminal, epoch("E1"), "install-1", "restored");
      const newer = new Till("t1", next).write(1, { search: ["4711"] });
      await send(ledger, newer.messages(1, 1));
      await send(ledger, new Till("t2").write(1, { search: ["4711"] }).messages(1, 1));
      expect(await ledger.trail.find(old.terminal, "4711", 10)).toEqual([
        { lane: newer.lane, seq: 1 },
        { lane: old.lane, seq: 2 },
        { lane: old.lane, seq: 1 },
      ]);
      expect(await ledger.trail.find(old.terminal, "4711", 1)).toHaveLength(1);
      expect(await ledger.trail.find(old.terminal, "471", 10)).toEqual([]);
    });

    test("every message has one state, and there is none before the first or after the last", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(12);
      await send(ledger, till.messages(1, 12));
      const first = await claimOne(ledger, { messages: 6 });
      await ledger.work.settle([
        loaded(first, {
          exceptions: [
            passedOver(2),
            passedOver(4, { state: "held", behind: behind(till.lane, 2) }),
            passedOver(6, { state: "retrying", retryInMs: 0 }),
          ],
        }),
      ]);
      await claimOne(ledger, { messages: 3 });
      const states = await Promise.all(Array.from({ length: 14 }, (_, n) => ledger.trail.state(till.lane, seq(n))));
      expect(states).toEqual([
        null,
        "loaded",
        "dead",
        "loaded",
        "held",
        "loaded",
        "processing",
        "processing",
        "processing",
        "processing",
        "received",
        "received",
        "received",
        null,
      ]);
    });

    test("the overview adds up: received = loaded + backlog + open + discarded", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(10);
      await send(ledger, till.messages(1, 10));
      const claim = await claimOne(ledger, { messages: 7 });
      await ledger.work.settle([loaded(claim, { exceptions: [passedOver(2), passedOver(3)], lagMs: 12 })]);
      await ledger.exceptions.discard(till.lane, seq(2), actor("operator:anna"), "why not");
      const late = await claimOne(ledger, { messages: 1 });
      await ledger.work.settle([loaded(late, { exceptions: [passedOver(2, { state: "discarded" })] })]);
      expect(await ledger.trail.overview()).toMatchObject({
        terminals: 0,
        received: 10,
        loaded: 6,
        backlog: 2,
        retrying: 0,
        held: 0,
        dead: 1,
        discarded: 1,
        updatesHead: 0,
        oldestReceivedAt: expect.any(Number),
      });
    });

    test("what came of a lane is told newest first, page by page, with its states, within a time, and parts as they came", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(4, { bytes: 100 });
      await send(ledger, till.messages(1, 2));
      await subject.advance(60_000);
      await send(ledger, till.messages(3, 4));
      await subject.advance(60_000);
      await drain(ledger, (n) => (n === 2 ? { state: "dead" } : null));
      till.write(1);
      await send(ledger, till.messages(5, 5));
      const ALWAYS = { since: null, until: null };
      const all = await ledger.trail.arrivals(till.lane, null, ALWAYS, 1e9);
      expect(all.pieces.map(({ from, through }) => [from, through])).toEqual([
        [5, 5],
        [3, 4],
        [1, 2],
      ]);
      expect(all.next).toBeNull();
      const stateOf = (n: number) => all.states.find(({ from, through }) => from <= n && n <= through)?.state;
      expect([1, 2, 3, 4, 5].map(stateOf)).toEqual(["loaded", "dead", "loaded", "loaded", "received"]);
      const [first, second, third] = all.pieces;
      const page = await ledger.trail.arrivals(till.lane, null, ALWAYS, 1);
      expect(page).toMatchObject({ pieces: [first], next: 5 });
      expect(await ledger.trail.arrivals(till.lane, page.next, ALWAYS, 1)).toMatchObject({ pieces: [second], next: 3 });
      expect(await ledger.trail.arrivals(till.lane, seq(3), ALWAYS, 1)).toMatchObject({ pieces: [third], next: null });
      expect((await ledger.trail.arrivals(till.lane, seq(4), ALWAYS, 1)).pieces).toEqual([second]); // 3 is in it
      const from = second!.receivedAt;
      const within = async (since: Instant | null, until: Instant | null) =>
        (await ledger.trail.arrivals(till.lane, null, { since, until }, 1e9)).pieces;
      expect(await within(from, null)).toEqual([first, second]);
      expect(await within(null, from)).toEqual([third]);
      expect(await within(from, later(from, 1))).toEqual([second]);
      expect(await within(null, first!.receivedAt)).toEqual([second, third]);
      expect(await within(later(first!.receivedAt, 1), null)).toEqual([]);
      expect((await ledger.trail.arrivals(laneName(till.terminal, epoch("no")), null, ALWAYS, 1e9)).pieces).toEqual([]);
    });
  });
}
