import { describe, expect, test } from "vitest";
import { instant, later } from "../../base/clock.ts";
import { actor, seq, terminalId, updateId, workerId, type TerminalId } from "../../base/ids.ts";
import { imprintOf, imprintOfNumber } from "../imprints.ts";
import type { Ledger } from "../port.ts";
import type { UpdateEntry } from "../update-log.ts";
import { RETENTION_KINDS, type Keep, type RetentionKind } from "../retention.ts";
import type { OpenSubject, Subject } from "./subject.ts";
import { behind, claimOne, drain, loaded, passedOver, send, sendAny, Till } from "./till.ts";

const DAY = 24 * 3_600_000;
const ANNA = actor("operator:anna");
const KEEP: Keep = {
  messagesMs: 10 * DAY,
  eventsMs: 20 * DAY,
  updatesMs: 10 * DAY,
  awayMs: 40 * DAY,
  historyMs: 50 * DAY,
};

/** Days between two passes: often enough for the notes of how far lanes are. */
const PASS_EVERY = 3;

/** A whole pass in steps of three rows; gives what was removed of each kind that lost anything. */
async function pass(ledger: Ledger, keep: Keep = KEEP): Promise<Partial<Record<RetentionKind, number>>> {
  const removed: Partial<Record<RetentionKind, number>> = {};
  for (const kind of RETENTION_KINDS) {
    for (let next: number | null = 0; next !== null;) {
      const step = await ledger.retention.step(kind, keep, next, 3);
      if (step.removed > 0) removed[kind] = (removed[kind] ?? 0) + step.removed;
      next = step.next;
    }
  }
  return removed;
}
/** Goes on by so many days, with the passes that a hub makes meanwhile. */
async function days(subject: Subject, count: number): Promise<void> {
  for (let left = count; left > 0; left -= PASS_EVERY) {
    await subject.advance(Math.min(left, PASS_EVERY) * DAY);
    await pass(subject.ledger);
  }
}
const stored = async ({ ledger }: Subject, till: Till, n: number): Promise<boolean> => {
  const [piece] = await ledger.bytes.read(till.lane, seq(n), seq(n), 0, 1);
  return piece !== undefined && piece.from <= n;
};
/** Sends each of its messages in a request of its own, so that each is a run of its own. */
const sendEach = async (subject: Subject, till: Till, from: number, through: number): Promise<void> => {
  for (let n = from; n <= through; n++) {
    await subject.advance(1);
    await send(subject.ledger, till.messages(n, n));
  }
};
const found = async ({ ledger }: Subject, value: string): Promise<readonly string[]> =>
  (await ledger.trail.findAnywhere(value, {}, null, 99)).map((hit) => `${hit.lane}/${hit.seq}`);

export function retentionContract(adapter: string, open: OpenSubject): void {
  describe(`retention contract: ${adapter}`, () => {
    test("loaded messages go with their searchable values when they have been loaded for as long as they are kept", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(6, { search: ["4711"] });
      await sendEach(subject, till, 1, 5);
      await drain(ledger);
      await pass(ledger);
      await days(subject, 9);
      expect(await stored(subject, till, 1), "in its time").toBe(true);
      expect((await ledger.retention.outlook(KEEP)).find(({ kind }) => kind === "messages")?.oldest).not.toBeNull();
      await subject.advance(DAY);
      await send(ledger, till.messages(6, 6));
      await drain(ledger);
      await days(subject, 8); // weeks go as a whole
      for (const n of [1, 2, 3, 4]) expect(await stored(subject, till, n), `message ${n}`).toBe(false);
      expect(
        [await stored(subject, till, 5), await stored(subject, till, 6)],
        "the last request, and what it follows",
      ).toEqual([true, true]);
      expect(await found(subject, "4711")).toEqual(["t1/E1/6", "t1/E1/5"]);
      expect(await ledger.trail.state(till.lane, seq(2))).toBe("loaded");
      expect(await ledger.trail.overview()).toMatchObject({ received: 6, loaded: 6, backlog: 0 });
    });

    test("a lane's last request stays, so that an agent which did not hear of it is not taken for another", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(9);
      await sendEach(subject, till, 1, 6);
      await subject.advance(1);
      await send(ledger, till.messages(7, 9));
      await drain(ledger);
      await pass(ledger);
      await days(subject, 30);
      expect([await stored(subject, till, 5), await stored(subject, till, 6)], "what it follows stays too").toEqual([
        false,
        true,
      ]);
      expect(await send(ledger, till.messages(7, 8))).toMatchObject({ duplicates: 2, receivedThrough: 9 });
      // What is not kept cannot be compared, and is not believed.
      expect(await sendAny(ledger, till.messages(2, 5))).toMatchObject({ refused: "CHAIN_BROKEN" });
      till.write(1);
      expect(await send(ledger, till.messages(10, 10))).toMatchObject({ receivedThrough: 10 });
    });

    test("I7: nothing unfinished goes, whatever its age, nor its values and events; nor what was discarded (I1)", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(9, { search: ["4711"] });
      await sendEach(subject, till, 1, 8);
      await drain(ledger, (n) => {
        if (n === 2 || n === 5) return { state: "dead" };
        if (n === 3) return { state: "held", fault: null, behind: behind(till.lane, 2) };
        return n === 4 ? { state: "retrying", retryInMs: 1_000 * DAY } : null;
      });
      await ledger.exceptions.discard(till.lane, seq(5), ANNA, "a test sale");
      await ledger.work.settle([
        loaded(await claimOne(ledger), { closed: [], exceptions: [passedOver(5, { state: "discarded" })] }),
      ]);
      await pass(ledger);
      await subject.advance(DAY);
      await send(ledger, till.messages(9, 9)); // received, and never loaded
      await days(subject, 60);
      const kept = [];
      for (let n = 1; n <= 9; n++) if (await stored(subject, till, n)) kept.push(n);
      expect(kept, "8: what the last request follows").toEqual([2, 3, 4, 5, 8, 9]);
      expect(await found(subject, "4711")).toEqual([9, 8, 5, 4, 3, 2].map((n) => `t1/E1/${n}`));
      const told = async (n: number) => (await ledger.trail.of(till.lane, seq(n))).map(({ kind }) => kind);
      expect(await told(2)).toEqual(["received", "dead"]);
      expect(await told(5)).toEqual(["received", "dead", "discard ordered", "discarded"]);
      expect(await told(9)).toEqual(["received"]);
      expect(await told(1)).not.toContain("received");
      expect(await ledger.trail.overview()).toMatchObject({ dead: 1, held: 1, retrying: 1, discarded: 1, backlog: 1 });
    });

    test("what came long ago but was loaded of late stays as long as what came of late", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(5);
      await sendEach(subject, till, 1, 5);
      await days(subject, 60);
      await drain(ledger);
      await days(subject, 8);
      expect(await stored(subject, till, 1)).toBe(true);
      await days(subject, 12);
      expect(await stored(subject, till, 1)).toBe(false);
    });

    test("of messages loaded late the story of their repair goes too, and they stay loaded", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(4);
      await sendEach(subject, till, 1, 4);
      await drain(ledger, (n) => (n === 2 ? { state: "dead" } : null));
      await ledger.exceptions.requeue(till.lane, seq(2), ANNA, "mended", new TextEncoder().encode('{"seq":2}'), null);
      await ledger.work.settle([loaded(await claimOne(ledger))]);
      await days(subject, 9);
      expect(await ledger.exceptions.get(till.lane, seq(2))).toMatchObject({ state: "loaded", edited: true });
      await days(subject, 12);
      expect(await ledger.exceptions.get(till.lane, seq(2))).toBeNull();
      expect(await stored(subject, till, 2)).toBe(false);
      expect(await ledger.trail.state(till.lane, seq(2))).toBe("loaded");
      expect(await ledger.trail.overview()).toMatchObject({ loaded: 4, dead: 0, retrying: 0 });
    });

    test("of messages that the hub numbers the lines go like all others, and their imprints stay", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const imprint = (n: number) => ({ id: imprintOfNumber(n), content: imprintOf(`message ${n}`) });
      const till = new Till("t1", "documents").write(4, { imprint });
      await sendEach(subject, till, 1, 4);
      await drain(ledger, (n) => (n === 2 ? { state: "dead" } : null));
      await days(subject, 60);
      const kept = [1, 2, 3, 4].map((n) => stored(subject, till, n));
      expect(await Promise.all(kept), "2 is unfinished; 3 is what the last request follows").toEqual([
        false,
        true,
        true,
        true,
      ]);
      const ids = [1, 2, 4].map(imprintOfNumber);
      expect(await ledger.lanes.imprinted(till.terminal, ids)).toEqual(
        [1, 2, 4].map((n) => ({ epoch: "documents", seq: n, ...imprint(n) })),
      );
    });

    test("a centre restored to a copy older than what is kept: the numbers that nobody has are named, the rest is loaded again", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(8);
      await sendEach(subject, till, 1, 5);
      await drain(ledger);
      await days(subject, 30); // 1…3 are gone: 5 was the last request, and 4 is what it follows
      await sendEach(subject, till, 6, 8);
      await drain(ledger);
      await pass(ledger);
      await ledger.work.doubt([till.lane]);
      const claim = await claimOne(ledger);
      const centre = { loadedThrough: seq(1), version: 1, passed: [] };
      expect(await ledger.work.adopt(till.lane, claim.fence, centre)).toBe("behind");
      await ledger.work.release([claim], 0, "restored");
      expect(await ledger.restores.missing(null, 9)).toMatchObject([
        { lane: till.lane, from: 2, through: 5, state: "lost" },
      ]);
      expect(await claimOne(ledger)).toMatchObject({ from: 6, through: 8 });
      expect((await subject.ranges(till.lane)).map(({ state }) => state)).toEqual([
        "loaded",
        "discarded",
        "processing",
      ]);
    });

    test("updates stay until every terminal that may come back has applied them", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const [t1, t2, gone] = [await enrol(ledger, "t1"), await enrol(ledger, "t2"), await enrol(ledger, "t3")];
      await ledger.updates.publish([1, 2, 3, 4, 5].map(entry), ANNA);
      const apply = (terminal: TerminalId, through: number) =>
        ledger.updates.acknowledge(terminal, updateId(through), []);
      await apply(t1, 5);
      await apply(t2, 2);
      await apply(gone, 1);
      const see = async () => {
        const at = (await ledger.terminals.get(t1))!.enrolledAt;
        const now = instant(at + 35 * DAY);
        await ledger.terminals.seen(
          [t1, t2].map((terminal) => ({ terminal, at: now, skewMs: null, version: null, deliveredThrough: null })),
        );
      };
      await see();
      await days(subject, 30);
      expect(await read(ledger, t2, 2), "t3 may come back, and has applied 1").toMatchObject([3, 4, 5]);
      expect(await read(ledger, gone, 1)).toEqual([2, 3, 4, 5]);
      await days(subject, 12); // t3 has been away for more than 40 days
      expect(await read(ledger, t2, 2)).toEqual([3, 4, 5]);
      await expect(read(ledger, gone, 1)).rejects.toMatchObject({ code: "CURSOR_GONE", facts: { oldest: 3 } });
      const late = await enrol(ledger, "t4");
      expect(await read(ledger, late, 0), "its snapshot holds what went").toEqual([3, 4, 5]);
      await expect(read(ledger, t2, 0), "it was there before them").rejects.toMatchObject({ code: "CURSOR_GONE" });
    });

    test("a terminal that missed updates which are gone begins again behind them, and is restored until both sides were compared", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const away = await enrol(ledger, "t1");
      await ledger.lanes.openEpoch(away, null, "i1", "first start");
      await ledger.updates.publish([1, 2, 3].map(entry), ANNA);
      await ledger.updates.acknowledge(away, updateId(1), []);
      expect(await ledger.updates.beginAgain(away, updateId(1)), "nothing is gone yet").toBe(false);
      await days(subject, 42);
      await expect(read(ledger, away, 1)).rejects.toMatchObject({ code: "CURSOR_GONE" });
      expect(await ledger.updates.beginAgain(away, updateId(3)), "it has seen them all").toBe(false);
      expect(await ledger.restores.restored(away, 10)).toEqual([]);
      expect(await ledger.updates.beginAgain(away, updateId(1))).toBe(true);
      expect(await ledger.updates.beginAgain(away, updateId(1)), "once is enough").toBe(false);
      await ledger.updates.publish([4].map(entry), ANNA);
      expect(await read(ledger, away, 1)).toEqual([4]);
      expect(await ledger.restores.restored(away, 10)).toMatchObject([{ terminal: "t1" }]);
      const told = (await ledger.trail.recent(10, null)).filter(({ kind }) => kind === "began again");
      expect(told).toMatchObject([{ actor: "system", detail: expect.stringContaining("updates 2–3") }]);
    });

    test("the names of strands go with the ids that no cursor can show any more", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const t1 = await enrol(ledger, "t1");
      const start = (await ledger.terminals.get(t1))!.enrolledAt;
      for (const [at, name] of ["A", "B", "C"].entries()) {
        const seat = await ledger.seats?.take("publisher", workerId("w1"), 60_000);
        await ledger.updates.attest(name, seat ?? undefined);
        await ledger.updates.publish(
          [entry(1)].map((one) => ({ ...one, at: later(start, at < 2 ? 0 : 12 * DAY) })),
          ANNA,
        );
      }
      await ledger.updates.acknowledge(t1, updateId(2), []);
      await days(subject, 12);
      await expect(read(ledger, t1, 1)).rejects.toMatchObject({ code: "CURSOR_GONE" });
      expect((await ledger.updates.strands()).map(({ name }) => name)).toEqual(["B", "C"]);
      expect(await ledger.updates.read(["all"], t1, updateId(2), 1_000, "B")).toMatchObject({
        through: 3,
        strand: "C",
      });
      await expect(ledger.updates.read(["all"], t1, updateId(2), 1_000, "A")).rejects.toMatchObject({
        facts: { other: true },
      });
    });

    test("updates in their time stay, whoever has applied them", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const t1 = await enrol(ledger, "t1");
      const start = (await ledger.terminals.get(t1))!.enrolledAt;
      await ledger.updates.publish(
        [entry(1)].map((one) => ({ ...one, at: start })),
        ANNA,
      );
      await ledger.updates.acknowledge(t1, updateId(1), []);
      await days(subject, 9);
      expect(await read(ledger, t1, 0)).toEqual([1]);
      await days(subject, 2);
      await expect(read(ledger, t1, 0)).rejects.toMatchObject({ code: "CURSOR_GONE" });
      expect(await read(ledger, t1, 1)).toEqual([]);
    });

    test("the outlook counts what a pass would look at, and a pass over nothing removes nothing", async () => {
      await using subject = await open();
      const { ledger } = subject;
      expect(await pass(ledger)).toEqual({});
      const till = new Till("t1").write(3);
      await sendEach(subject, till, 1, 3);
      await drain(ledger, (n) => (n === 2 ? { state: "dead" } : null));
      await subject.advance(19 * DAY);
      const lines = await ledger.retention.outlook(KEEP);
      expect(lines.map(({ kind }) => kind)).toEqual(["messages", "exceptions", "events", "updates", "history"]);
      expect(lines[1]).toEqual({ kind: "exceptions", about: 0, oldest: null });
      expect(lines[4]).toEqual({ kind: "history", about: 0, oldest: null });
    });
  });
}

const TAG_BYTES = 32;
async function enrol(ledger: Ledger, name: string): Promise<TerminalId> {
  const terminal = terminalId(name);
  const [token, key] = ["token", "key"].map((what) => Buffer.from(`${what} ${name}`.padEnd(TAG_BYTES, ".")));
  await ledger.terminals.createToken(token!, { terminal, tags: {}, validMs: DAY, by: ANNA });
  await ledger.terminals.enroll(token!, terminal, {}, key!);
  return terminal;
}
const entry = (n: number): UpdateEntry => ({
  audience: "all",
  tx: `tx ${n}`,
  at: instant(n),
  origin: null,
  trace: null,
  changes: new TextEncoder().encode("[]"),
  count: 0,
});
const read = async (ledger: Ledger, terminal: TerminalId, after: number): Promise<readonly number[]> =>
  (await ledger.updates.read(["all"], terminal, updateId(after), 1_000_000)).updates.map(({ id }) => id);
