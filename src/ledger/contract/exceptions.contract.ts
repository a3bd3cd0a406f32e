import { describe, expect, test } from "vitest";
import { actor, seq, type Seq } from "../../base/ids.ts";
import { isFaultCode, WaybillError } from "../../base/errors.ts";
import { LIFE, STATE_KINDS, VERBS, type StateKind, type Verb } from "../../message/lifecycle.ts";
import type { Claim } from "../port.ts";
import type { OpenSubject, Subject } from "./subject.ts";
import { behind, claimAll, claimOne, drain, loaded, passedOver, send, Till } from "./till.ts";

const ANNA = actor("operator:anna");

export function exceptionsContract(adapter: string, open: OpenSubject): void {
  describe(`exceptions contract: ${adapter}`, () => {
    test("are listed oldest first, page by page, and by what is asked for", async () => {
      await using subject = await open();
      const { ledger } = subject;
      for (const name of ["a", "b"]) {
        const till = new Till(name).write(10);
        await send(ledger, till.messages(1, 10));
        await drain(ledger, (n) =>
          n % 2 === 0 ? { state: "dead", tables: n > 5 ? ["stock", "sale"] : ["sale"] } : null,
        );
        await subject.advance(5);
      }
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const page: Awaited<ReturnType<typeof ledger.exceptions.list>> = await ledger.exceptions.list({}, 3, after);
        expect(page.rows.length).toBeLessThanOrEqual(3);
        seen.push(...page.rows.map((row) => `${row.lane}/${row.seq}`));
        after = page.next;
      } while (after !== null);
      expect(seen).toEqual(["a", "b"].flatMap((name) => [2, 4, 6, 8, 10].map((n) => `${name}/E1/${n}`)));
      const count = async (filter: Parameters<typeof ledger.exceptions.list>[0]) =>
        (await ledger.exceptions.list(filter, 99, null)).rows.length;
      expect(await count({ terminal: new Till("b").terminal })).toBe(5);
      expect(await count({ table: "stock" })).toBe(6);
      expect(await count({ states: ["held"] })).toBe(0);
      expect(await count({ fault: "ROW_REFUSED", states: ["dead"] })).toBe(10);
      expect(await count({ fault: "ROW_EXISTS" })).toBe(0);
    });

    test("a row says what waits behind it, directly or through others", async () => {
      await using subject = await open();
      const till = new Till("t1").write(6);
      await send(subject.ledger, till.messages(1, 6));
      const waits: Record<number, number> = { 3: 1, 4: 3, 6: 4 };
      await drain(subject.ledger, (n) =>
        n === 1
          ? { state: "dead" }
          : waits[n]
            ? { state: "held", fault: null, behind: behind(till.lane, waits[n]) }
            : null,
      );
      const holds = (await subject.ledger.exceptions.list({}, 10, null)).rows.map((row) => [row.seq, row.holds]);
      expect(holds).toEqual([
        [1, 3],
        [3, 2],
        [4, 1],
        [6, 0],
      ]);
      expect(await subject.ledger.exceptions.get(till.lane, seq(4))).toMatchObject({
        behind: { lane: till.lane, seq: 3, on: "sale S-1" },
      });
    });

    test("its row and every event about it alone name its trace, also when a later settlement does not know it", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(3);
      await send(ledger, till.messages(1, 3));
      const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
      await drain(ledger, (n) => (n === 2 ? { state: "dead", trace } : null));
      const named = async (): Promise<unknown> => ({
        row: (await ledger.exceptions.get(till.lane, seq(2)))?.trace,
        events: (await ledger.trail.of(till.lane, seq(2))).map((event) => [event.kind, event.trace]),
        recent: (await ledger.trail.recent(50, null)).filter((event) => event.trace !== null).length,
      });
      const received = ["received", null]; // of 1…3: of no one message
      expect(await named()).toEqual({ row: trace, events: [received, ["dead", trace]], recent: 1 });
      await ledger.exceptions.discard(till.lane, seq(2), ANNA, "a test sale");
      await drain(ledger);
      expect(await named()).toMatchObject({
        row: trace,
        events: [received, ["dead", trace], ["discard ordered", trace], ["discarded", trace]],
      });
      expect((await ledger.trail.of(till.lane, seq(1))).map((event) => event.trace)).toEqual([null, null]);
    });

    test("a requeued message is due now, with the edit when there is one; the line as received stays", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = await withDead(subject);
      const edit = new TextEncoder().encode('{"seq":1,"w":"mended"}');
      await ledger.exceptions.requeue(till.lane, seq(1), ANNA, "typo in the quantity", edit);
      const claim = await claimOne(ledger);
      expect(claim.late).toMatchObject([{ seq: 1, state: "received", attempts: 0, order: { verb: "load" } }]);
      expect(Buffer.from(claim.late[0]!.revision!).toString()).toBe('{"seq":1,"w":"mended"}');
      expect(await ledger.exceptions.get(till.lane, seq(1))).toMatchObject({ edited: true, state: "processing" });
      const [piece] = await ledger.bytes.read(till.lane, seq(1), seq(1), 0, 1);
      expect(new TextDecoder().decode(piece!.bytes)).toBe(till.text(1, 1));
      await ledger.work.settle([loaded(claim)]);
      const kinds = (await ledger.trail.of(till.lane, seq(1))).map(({ kind, actor: by }) => [kind, by]);
      expect(kinds).toEqual([
        ["received", "terminal:t1"],
        ["dead", "worker:worker-1"],
        ["requeued", ANNA],
        ["loaded late", "worker:worker-1"],
      ]);
    });

    test("a discard is an order that the next worker carries out, told with who and why", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = await withDead(subject);
      await ledger.exceptions.discard(till.lane, seq(1), ANNA, "a training sale");
      expect(await ledger.trail.state(till.lane, seq(1))).toBe("dead");
      const claim = await claimOne(ledger);
      expect(claim.late).toMatchObject([{ seq: 1, order: { verb: "discard", by: ANNA, reason: "a training sale" } }]);
      await ledger.work.settle([loaded(claim, { exceptions: [passedOver(1, { state: "discarded" })] })]);
      expect(await ledger.trail.state(till.lane, seq(1))).toBe("discarded");
      expect((await ledger.trail.of(till.lane, seq(1))).slice(2)).toMatchObject([
        { kind: "discard ordered", actor: ANNA, detail: "a training sale" },
        { kind: "discarded", actor: ANNA, detail: "a training sale" },
      ]);
      expect(await claimAll(ledger)).toEqual([]);
    });

    test("of two operators the second hears that the message has moved on", async () => {
      await using subject = await open();
      const till = await withDead(subject);
      const { exceptions } = subject.ledger;
      await exceptions.discard(till.lane, seq(1), ANNA, "a training sale");
      const code = { code: "STATE_CONFLICT" };
      await expect(exceptions.requeue(till.lane, seq(1), actor("operator:ben"), "again", null)).rejects.toMatchObject(
        code,
      );
      await expect(exceptions.discard(till.lane, seq(1), actor("operator:ben"), "too")).rejects.toMatchObject(code);
    });

    test("what is not there is NOT_FOUND", async () => {
      await using subject = await open();
      const till = await withDead(subject);
      const { exceptions } = subject.ledger;
      await expect(exceptions.requeue(till.lane, seq(99), ANNA, "", null)).rejects.toMatchObject({ code: "NOT_FOUND" });
      await expect(exceptions.discard(new Till("nobody").lane, seq(1), ANNA, "")).rejects.toMatchObject({
        code: "NOT_FOUND",
      });
      expect(await exceptions.get(till.lane, seq(99))).toBeNull();
    });

    describe.each(STATE_KINDS)("a message that is %s moves as the table of moves says", (state) => {
      test.each(VERBS.map((verb) => [verb, LIFE[state][verb]] as const))("%s → %s", async (verb, expected) => {
        await using subject = await open();
        const message = await bring(subject, state);
        expect(await stateNow(message)).toBe(state);
        await attempt(message, verb);
        expect(await stateNow(message)).toBe(expected ?? state);
      });
    });
  });
}

async function withDead(subject: Subject): Promise<Till> {
  const till = new Till("t1").write(1);
  await send(subject.ledger, till.messages(1, 1));
  await drain(subject.ledger, () => ({ state: "dead" }));
  return till;
}

/** A message brought into a state, and the claim of its lane that is in hand: with it for `processing`, beside it otherwise. */
type Brought = {
  readonly subject: Subject;
  readonly till: Till;
  readonly n: Seq;
  readonly claim: () => Promise<Claim>;
};

const stateNow = ({ subject, till, n }: Brought) => subject.ledger.trail.state(till.lane, n);

async function bring(subject: Subject, state: StateKind): Promise<Brought> {
  const { ledger } = subject;
  const till = new Till("t1").write(3);
  const n = seq(2);
  const beside = async (): Promise<Claim> => {
    till.write(1);
    await send(ledger, till.messages(till.last, till.last));
    return claimOne(ledger);
  };
  if (state === "received") {
    await send(ledger, till.messages(1, 3));
    return { subject, till, n, claim: () => claimOne(ledger, { messages: 1 }) };
  }
  if (state === "processing") {
    await send(ledger, till.messages(1, 3));
    const claim = await claimOne(ledger);
    return { subject, till, n, claim: async () => claim };
  }
  await send(ledger, till.messages(1, 3));
  const claim = await claimOne(ledger);
  const exceptions = {
    loaded: [],
    retrying: [passedOver(2, { state: "retrying", retryInMs: 1_000 })],
    held: [passedOver(1), passedOver(2, { state: "held", fault: null, behind: behind(till.lane, 1) })],
    dead: [passedOver(2)],
    discarded: [passedOver(2)],
  }[state];
  await ledger.work.settle([loaded(claim, { exceptions })]);
  if (state === "discarded") await giveUp(subject, till, n);
  return { subject, till, n, claim: beside };
}

async function giveUp({ ledger }: Subject, till: Till, n: Seq): Promise<void> {
  await ledger.exceptions.discard(till.lane, n, ANNA, "because");
  const claim = await claimOne(ledger);
  await ledger.work.settle([loaded(claim, { exceptions: [passedOver(n, { state: "discarded" })] })]);
}

async function attempt(message: Brought, verb: Verb): Promise<void> {
  const { subject, till, n } = message;
  const { ledger } = subject;
  const refusedOnly = (thrown: unknown): void => {
    if (!(thrown instanceof WaybillError) || thrown.code !== "STATE_CONFLICT" || !isFaultCode(thrown.code))
      throw thrown;
  };
  const settle = async (outcome: Parameters<typeof loaded>[1]): Promise<void> => {
    const claim = await message.claim();
    await ledger.work
      .settle([loaded(claim, { loadedThrough: seq(Math.max(n, claim.through)), ...outcome })])
      .catch(refusedOnly);
  };
  switch (verb) {
    case "claim":
      if ((await stateNow(message)) === "held") await giveUp(subject, till, seq(1));
      await subject.advance(1_000);
      await claimAll(ledger);
      return;
    case "load":
      return settle((await stateNow(message)) === "processing" ? {} : { closed: [n] });
    case "retry":
      return settle({ exceptions: [passedOver(n, { state: "retrying", retryInMs: 5 })] });
    case "hold":
      return settle({ exceptions: [passedOver(n, { state: "held", behind: behind(till.lane, 1) })] });
    case "bury":
      return settle({ exceptions: [passedOver(n)] });
    case "release":
      return ledger.work.release([await message.claim()], 0, "the test says so");
    case "requeue":
      return ledger.exceptions.requeue(till.lane, n, ANNA, "again", null).catch(refusedOnly);
    case "discard":
      return giveUp(subject, till, n).catch(refusedOnly);
  }
}
