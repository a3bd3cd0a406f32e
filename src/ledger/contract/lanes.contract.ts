import { describe, expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { seq, type Epoch, type TerminalId } from "../../base/ids.ts";
import { chainNext, CHAIN_START } from "../../message/chain.ts";
import { imprintOf, imprintOfNumber } from "../imprints.ts";
import type { OpenSubject } from "./subject.ts";
import { claimAll, claimOne, loaded, send, sendAny, Till } from "./till.ts";

export function lanesContract(adapter: string, open: OpenSubject): void {
  describe(`lanes contract: ${adapter}`, () => {
    test("numbers seen before with the same content are counted as duplicates and change nothing", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(12);
      expect(await send(ledger, till.messages(1, 10))).toMatchObject({ receivedThrough: 10, duplicates: 0 });
      expect(await send(ledger, till.messages(6, 12))).toMatchObject({ receivedThrough: 12, duplicates: 5 });
      expect(await send(ledger, till.messages(1, 12))).toMatchObject({ receivedThrough: 12, duplicates: 12 });
      expect(await storedText(subject.ledger, till)).toBe(till.text(1, 12));
    });

    test("how far a lane has come is told by its name alone; of a lane that there is not, nothing", async () => {
      await using subject = await open();
      const { lanes } = subject.ledger;
      const till = new Till("t1").write(3);
      const { terminal, epoch } = till.messages(1, 3);
      expect(await lanes.received(terminal, epoch)).toBeNull();
      await send(subject.ledger, till.messages(1, 3));
      expect(await lanes.received(terminal, epoch)).toBe(3);
      expect(await lanes.received(terminal, "another" as Epoch)).toBeNull();
      expect(await lanes.received("t2" as TerminalId, epoch)).toBeNull();
    });

    test("a message is known again by the imprint it came with, in its terminal's lanes alone; a refused one leaves none", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const word = imprintOf("receipt 4711");
      const imprint = (n: number) => ({ id: n === 3 ? word : imprintOfNumber(n), content: imprintOf(`as ${n}`) });
      const [till, other] = [new Till("t1").write(4, { imprint }), new Till("t2").write(1, { imprint })];
      await send(ledger, till.messages(1, 2));
      await send(ledger, till.messages(2, 3));
      const gap = till.messages(4, 4);
      expect(await sendAny(ledger, { ...gap, terminal: other.terminal })).toMatchObject({ refused: "SEQUENCE_GAP" });
      const asked = [imprintOfNumber(1), word, imprintOfNumber(4)];
      expect(await ledger.lanes.imprinted(till.terminal, asked)).toEqual([
        { epoch: till.epoch, seq: 1, ...imprint(1) },
        { epoch: till.epoch, seq: 3, ...imprint(3) },
      ]);
      expect(await ledger.lanes.imprinted(other.terminal, asked)).toEqual([]);
      await send(ledger, other.messages(1, 1));
      expect(await ledger.lanes.imprinted(other.terminal, asked)).toMatchObject([{ seq: 1 }]);
      await ledger.lanes.openEpoch(till.terminal, till.epoch, "i1", "again", "E2" as Epoch);
      await send(ledger, new Till("t1", "E2").write(1, { imprint: () => imprint(3) }).messages(1, 1));
      expect(await ledger.lanes.imprinted(till.terminal, [word])).toEqual([
        { epoch: till.epoch, seq: 3, ...imprint(3) },
        { epoch: "E2", seq: 1, ...imprint(3) },
      ]);
      expect(await ledger.lanes.imprinted(till.terminal, [])).toEqual([]);
    });

    test("an acknowledgement gives the chain after the last stored number", async () => {
      await using subject = await open();
      const till = new Till("t1").write(3);
      const answer = await send(subject.ledger, till.messages(1, 3));
      let chain: Uint8Array = CHAIN_START;
      for (const line of till.lines) chain = chainNext(chain, new TextEncoder().encode(line.text));
      expect(Buffer.from(answer.chain)).toEqual(Buffer.from(chain));
    });

    test("a known number with other content is CHAIN_BROKEN and names the first such number", async () => {
      await using subject = await open();
      const till = new Till("t1").write(20);
      await send(subject.ledger, till.messages(1, 9));
      await send(subject.ledger, till.messages(10, 20));
      for (const first of [1, 5, 9, 10, 14, 20]) {
        const other = new Till("t1");
        other.lines.push(...till.lines);
        for (let n = first; n <= 20; n++)
          other.lines[n - 1] = { ...other.lines[n - 1]!, text: `{"seq":${n},"w":"other"}` };
        expect(await sendAny(subject.ledger, other.messages(1, 20))).toMatchObject({
          refused: "CHAIN_BROKEN",
          facts: { seq: first },
        });
        other.write(5);
        expect(await sendAny(subject.ledger, other.messages(1, 25))).toMatchObject({
          refused: "CHAIN_BROKEN",
          facts: { seq: first },
        });
      }
      expect(await storedText(subject.ledger, till)).toBe(till.text(1, 20));
    });

    test("a chain that is not ours at the place where the request begins is CHAIN_BROKEN", async () => {
      await using subject = await open();
      const till = new Till("t1").write(5);
      await send(subject.ledger, till.messages(1, 5));
      const other = new Till("t1").write(7, { word: "other" });
      expect(await sendAny(subject.ledger, other.messages(6, 7))).toMatchObject({
        refused: "CHAIN_BROKEN",
        facts: { seq: 5 },
      });
    });

    test("a first number too high is SEQUENCE_GAP with the one expected", async () => {
      await using subject = await open();
      const till = new Till("t1").write(10);
      expect(await sendAny(subject.ledger, till.messages(3, 4))).toMatchObject({
        refused: "SEQUENCE_GAP",
        facts: { expected: 1 },
      });
      await send(subject.ledger, till.messages(1, 4));
      expect(await sendAny(subject.ledger, till.messages(6, 10))).toMatchObject({
        refused: "SEQUENCE_GAP",
        facts: { expected: 5 },
      });
    });

    test("lines that do not follow each other are SEQUENCE_GAP, whatever their sender says", async () => {
      await using subject = await open();
      const request = new Till("t1").write(4).messages(1, 4);
      const holed = { ...request, lines: request.lines.filter((line) => line.seq !== 3) };
      expect(await sendAny(subject.ledger, holed)).toMatchObject({ refused: "SEQUENCE_GAP", facts: { expected: 3 } });
      expect(await subject.ledger.lanes.of(request.terminal)).toEqual([]);
    });

    test("one submission's refusal does not touch another", async () => {
      await using subject = await open();
      const [a, b, c] = [new Till("a").write(3), new Till("b").write(3), new Till("c").write(3)];
      const answers = await subject.ledger.lanes.append([
        a.messages(1, 3),
        b.messages(2, 3),
        c.messages(1, 2),
        c.messages(3, 3),
      ]);
      expect(answers).toMatchObject([
        { receivedThrough: 3 },
        { refused: "SEQUENCE_GAP" },
        { receivedThrough: 2 },
        { receivedThrough: 3 },
      ]);
    });

    test("all are stored in one transaction: a failure of the store leaves none of them", async () => {
      await using subject = await open();
      const [a, b] = [new Till("a").write(2).messages(1, 2), new Till("b").write(2).messages(1, 2)];
      const unstorable = { ...b, lines: b.lines.map((line) => ({ ...line, at: instant(Number.NaN) })) };
      await expect(subject.ledger.lanes.append([a, unstorable])).rejects.toMatchObject({ code: "INTERNAL" });
      expect(await subject.ledger.lanes.of(a.terminal)).toEqual([]);
    });

    test("a message in parts moves receivedThrough only when it is whole, and a resend goes on inside it", async () => {
      await using subject = await open();
      const till = new Till("t1").write(1).writeParts(5).write(1);
      const part = (p: number) => ({ seq: 1, part: p });
      expect(await send(subject.ledger, till.request({ seq: 0, part: 0 }, part(2)))).toMatchObject({
        receivedThrough: 1,
        partial: { seq: 2, part: 2 },
      });
      expect(await sendAny(subject.ledger, till.request(part(3), part(4)))).toMatchObject({
        facts: { expected: 2, part: 3 },
      });
      expect(await send(subject.ledger, till.request(part(1), part(3)))).toMatchObject({
        partial: { seq: 2, part: 3 },
      });
      expect(await send(subject.ledger, till.request({ seq: 1, part: 0 }, part(4)))).toMatchObject({
        partial: { seq: 2, part: 4 },
      });
      expect(await send(subject.ledger, till.request(part(4)))).toMatchObject({
        receivedThrough: 3,
        duplicates: 0,
        partial: null,
      });
      expect(await send(subject.ledger, till.request(part(2)))).toMatchObject({ receivedThrough: 3, duplicates: 2 });
      expect(await storedText(subject.ledger, till)).toBe(till.text(1, 3));
    });

    test("a message that began in parts is CHAIN_BROKEN when it comes again as one line, or ends sooner", async () => {
      await using subject = await open();
      const till = new Till("t1").writeParts(4);
      await send(subject.ledger, till.request(undefined, { seq: 0, part: 3 }));
      const whole = new Till("t1").write(1);
      expect(await sendAny(subject.ledger, whole.request())).toMatchObject({
        refused: "CHAIN_BROKEN",
        facts: { seq: 1 },
      });
      const shorter = new Till("t1").writeParts(2);
      expect(await sendAny(subject.ledger, shorter.request())).toMatchObject({
        refused: "CHAIN_BROKEN",
        facts: { seq: 1 },
      });
    });

    test("numbers that the sender has lost are missing: the lane goes on behind them and they never count as loaded", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(20);
      await send(ledger, till.messages(1, 4));
      expect(await send(ledger, till.request({ seq: 9, part: 0 }, { seq: 15, part: 0 }, 10))).toMatchObject({
        receivedThrough: 15,
      });
      // The same again, and once more with what follows: nothing more is missing.
      expect(await send(ledger, till.request({ seq: 9, part: 0 }, { seq: 15, part: 0 }, 10))).toMatchObject({
        duplicates: 6,
      });
      expect(await send(ledger, till.request({ seq: 12, part: 0 }, { seq: 20, part: 0 }, 10))).toMatchObject({
        duplicates: 3,
      });
      expect(await send(ledger, till.request({ seq: 9, part: 0 }, { seq: 12, part: 0 }, 10))).toMatchObject({
        duplicates: 3,
      });
      const events = await ledger.trail.of(till.lane, seq(7));
      expect(events.map(({ kind, from, through }) => [kind, from, through])).toEqual([["missing", 5, 9]]);
      const first = await claimOne(ledger);
      expect([first.from, first.through]).toEqual([1, 4]);
      await ledger.work.settle([loaded(first)]);
      const second = await claimOne(ledger);
      expect([second.from, second.through]).toEqual([10, 20]);
      await ledger.work.settle([loaded(second)]);
      const states = await Promise.all([4, 5, 9, 10, 20, 21].map((n) => ledger.trail.state(till.lane, seq(n))));
      expect(states).toEqual(["loaded", "discarded", "discarded", "loaded", "loaded", null]);
    });

    test("numbers lost at the very start are passed only after the centre was asked about them", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(12);
      await send(ledger, till.request({ seq: 9, part: 0 }, { seq: 12, part: 0 }, 10));
      const ask = await claimOne(ledger);
      expect([ask.from, ask.through, ask.late]).toEqual([1, 0, []]);
      // A settlement without an act of the centre has asked nobody.
      await ledger.work.settle([loaded(ask, { version: ask.version })]);
      await subject.advance(60_000);
      const again = await claimOne(ledger);
      expect([again.from, again.through]).toEqual([1, 0]);
      // The ledger was restored: the centre has loaded seven of them.
      expect(await ledger.work.adopt(till.lane, again.fence, { loadedThrough: seq(7), version: 3, passed: [] })).toBe(
        "adopted",
      );
      await ledger.work.release([again], 0, "asked");
      const next = await claimOne(ledger);
      expect([next.from, next.through, next.version]).toEqual([10, 12, 3]);
      const states = await Promise.all([1, 7, 8, 9, 10].map((n) => ledger.trail.state(till.lane, seq(n))));
      expect(states).toEqual(["loaded", "loaded", "discarded", "discarded", "processing"]);
    });

    test("a terminal that has no epoch begins the one it names", async () => {
      await using subject = await open();
      const till = new Till("t1", "first").write(1);
      await send(subject.ledger, till.messages(1, 1));
      expect(await subject.ledger.lanes.of(till.terminal)).toMatchObject([
        { epoch: "first", current: true, receivedThrough: 1 },
      ]);
    });

    test("a lane that a newer epoch has ended is EPOCH_CLOSED with the epoch that goes on", async () => {
      await using subject = await open();
      const old = new Till("t1", "old").write(3);
      await send(subject.ledger, old.messages(1, 2));
      const { epoch } = await subject.ledger.lanes.openEpoch(old.terminal, old.epoch, "install-1", "restored");
      expect(await sendAny(subject.ledger, old.messages(3, 3))).toMatchObject({
        refused: "EPOCH_CLOSED",
        facts: { epoch },
      });
      await send(subject.ledger, new Till("t1", epoch).write(1).messages(1, 1));
      const lanes = await subject.ledger.lanes.of(old.terminal);
      expect(lanes.map((lane) => [lane.epoch, lane.current])).toEqual([
        ["old", false],
        [epoch, true],
      ]);
    });

    test("an epoch is opened by compare-and-set, and the same call answers the same", async () => {
      await using subject = await open();
      const { lanes } = subject.ledger;
      const { terminal } = new Till("t1");
      const first = await lanes.openEpoch(terminal, null, "install-1", "new");
      expect(await lanes.openEpoch(terminal, null, "install-1", "new")).toEqual(first);
      const second = await lanes.openEpoch(terminal, first.epoch, "install-1", "restored");
      expect(second.epoch).not.toBe(first.epoch);
      await expect(lanes.openEpoch(terminal, null, "install-1", "late")).rejects.toMatchObject({
        code: "EPOCH_CLOSED",
        facts: { epoch: second.epoch },
      });
    });

    test("an epoch is called as its opener names it, and the terminal counts as set back unless it goes on", async () => {
      await using subject = await open();
      const { lanes, restores } = subject.ledger;
      const till = new Till("t1").write(1);
      await send(subject.ledger, till.request());
      const name = "soap-v1.2-from-1" as typeof till.epoch;
      const open2 = () => lanes.openEpoch(till.terminal, till.epoch, "soap", "number 1 came again", name, "goes on");
      expect(await open2()).toEqual({ epoch: name });
      expect(await open2()).toEqual({ epoch: name });
      expect((await lanes.of(till.terminal)).map((lane) => [lane.epoch, lane.current])).toEqual([
        [till.epoch, false],
        [name, true],
      ]);
      expect(await restores.restored(null, 9)).toEqual([]);
      const third = "01JDCV5T7M0000000000000000" as typeof till.epoch;
      expect(await lanes.openEpoch(till.terminal, name, "soap", "set back", third)).toEqual({ epoch: third });
      expect(await restores.restored(null, 9)).toMatchObject([{ lane: `t1/${third}` }]);
      // An allowed install may come with a name that was given before.
      const again = await lanes.openEpoch(till.terminal, third, "soap", "set back once more", name);
      expect([till.epoch, name, third]).not.toContain(again.epoch);
    });

    test("a second install within an hour waits for an operator", async () => {
      await using subject = await open();
      const { terminal } = new Till("t1");
      const first = await subject.ledger.lanes.openEpoch(terminal, null, "install-1", "new");
      const takeOver = () => subject.ledger.lanes.openEpoch(terminal, first.epoch, "install-2", "another till");
      await expect(takeOver()).rejects.toMatchObject({ code: "EPOCH_WAITS" });
      await subject.advance(60 * 60 * 1000);
      await expect(takeOver()).resolves.toMatchObject({ epoch: expect.any(String) });
    });

    test("what was acknowledged is there after a restart, unfinished parts too", async () => {
      await using subject = await open();
      const till = new Till("t1").write(3).writeParts(3);
      await send(subject.ledger, till.request(undefined, { seq: 3, part: 2 }));
      await subject.restart();
      expect(await send(subject.ledger, till.request({ seq: 3, part: 2 }))).toMatchObject({
        receivedThrough: 4,
        duplicates: 0,
      });
      expect(await storedText(subject.ledger, till)).toBe(till.text(1, 4));
    });

    test("stored lines are read in pieces of about the size asked for", async () => {
      await using subject = await open();
      const till = new Till("t1").write(40, { bytes: 20_000 });
      await send(subject.ledger, till.messages(1, 40));
      const pieces = await subject.ledger.bytes.read(till.lane, seq(1), seq(40), 0, 1);
      expect(pieces).toHaveLength(1);
      const [piece] = pieces;
      expect(piece!.from).toBe(1);
      expect(piece!.through).toBeLessThan(40);
      const rest = await subject.ledger.bytes.read(till.lane, seq(piece!.through + 1), seq(40), 0, 10_000_000);
      expect(rest[0]!.from).toBe(piece!.through + 1);
      expect(rest.at(-1)!.through).toBe(40);
    });

    test("parts are read from the part asked for", async () => {
      await using subject = await open();
      const till = new Till("t1").writeParts(6, { bytes: 150_000 });
      await send(subject.ledger, till.request());
      const read = async (afterPart: number) => subject.ledger.bytes.read(till.lane, seq(1), seq(1), afterPart, 1);
      const [first] = await read(0);
      expect([first!.part, first!.from, first!.through]).toEqual([1, 1, 1]);
      const [second] = await read(first!.throughPart);
      expect(second!.part).toBe(first!.throughPart + 1);
      expect(await read(6)).toEqual([]);
    });

    test("concurrent submissions of many terminals are all stored, each in its order", async () => {
      await using subject = await open();
      const tills = Array.from({ length: 40 }, (_, i) => new Till(`t${i}`).write(20));
      await Promise.all(
        tills.map(async (till) => {
          for (let from = 1; from <= 20; from += 5) await send(subject.ledger, till.messages(from, from + 4));
        }),
      );
      for (const till of tills) expect(await storedText(subject.ledger, till)).toBe(till.text(1, 20));
      expect(await claimAll(subject.ledger, { lanes: 100 })).toHaveLength(40);
    });
  });
}

async function storedText(ledger: Awaited<ReturnType<OpenSubject>>["ledger"], till: Till): Promise<string> {
  const pieces = await ledger.bytes.read(till.lane, seq(1), seq(till.last), 0, 1_000_000_000);
  return pieces.map((piece) => new TextDecoder().decode(piece.bytes)).join("");
}
