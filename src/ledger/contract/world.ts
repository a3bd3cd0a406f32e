import { strict as assert } from "node:assert";
import { actor, seq } from "../../base/ids.ts";
import { moved } from "../../message/lifecycle.ts";
import type { Claim, ExceptionWrite, LaneOutcome } from "../port.ts";
import { isOpenException, Model } from "./model.ts";
import type { StateRange, Subject } from "./subject.ts";
import { behind, claimAll, LEASE_MS, passedOver, send, Till } from "./till.ts";

const ANNA = actor("operator:anna");
export const RETRY_MS = 700;

/** One thing that happens; numbers are taken modulo what there is at that moment. */
export type Step =
  | { readonly do: "append"; readonly till: number; readonly count: number; readonly again: number }
  | { readonly do: "claim"; readonly lanes: number; readonly messages: number }
  | { readonly do: "settle"; readonly which: number; readonly fates: readonly number[] }
  | { readonly do: "release"; readonly which: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "order"; readonly which: number; readonly verb: "requeue" | "discard" }
  | { readonly do: "restart" };

/** A ledger and its model, taken through the same steps: terminals, loaders that live or die, operators, and time. */
export class World {
  readonly #subject: Subject;
  readonly #model = new Model();
  readonly #tills = ["t1", "t2", "t3"].map((name) => new Till(name));
  /** Claims whose workers have not been heard of, with the time when their leases end. */
  readonly #inHand: { readonly claim: Claim; until: number }[] = [];
  /** What was open of a claim's lane when it was given out. */
  readonly #blockers = new Map<Claim, readonly number[]>();
  /** What was open of each lane when it was settled last. */
  readonly #left = new Map<string, Pick<Claim, "fence" | "version"> & { readonly open: readonly number[] }>();
  #now = 0;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "append":
        return this.#append(step);
      case "claim":
        return this.#claim(step.lanes, step.messages);
      case "settle":
        return this.#settle(step.which, step.fates);
      case "release": {
        const taken = this.#takeClaim(step.which);
        if (taken) this.#model.giveBack(taken, "handed back");
        return taken && this.#subject.ledger.work.release([taken], 0, "stopping");
      }
      case "wait":
        this.#now += step.ms;
        return this.#subject.advance(step.ms);
      case "order":
        return this.#order(step.which, step.verb);
      case "restart":
        // Then every lease is of a process that is gone: it ends now, and is found so by the next claim.
        for (const held of this.#subject.leasesOutliveRestart ? [] : this.#inHand) {
          held.until = Math.min(held.until, this.#now);
        }
        return this.#subject.restart();
    }
  }

  async #append({ till: which, count, again }: Extract<Step, { do: "append" }>): Promise<void> {
    const till = this.#tills[which % this.#tills.length];
    if (!till) return;
    const from = Math.max(1, till.last + 1 - again);
    till.write(count);
    if (till.last === 0) return;
    const { receivedThrough, duplicates } = await send(this.#subject.ledger, till.messages(from, till.last));
    assert.deepEqual([receivedThrough, duplicates], [till.last, till.last - count - from + 1]);
    this.#model.receive(till.lane, till.last);
  }

  async #claim(lanes: number, messages: number): Promise<void> {
    const claims = await claimAll(this.#subject.ledger, { lanes, messages });
    for (const claim of claims) {
      // A claim of a lane whose lease ran out is how its loss is noticed.
      const lost = this.#inHand.find((held) => held.claim.lane === claim.lane);
      if (lost) {
        assert(lost.until <= this.#now);
        this.#model.giveBack(lost.claim, "lease lost");
        this.#inHand.splice(this.#inHand.indexOf(lost), 1);
      }
      const lane = this.#model.lane(claim.lane);
      assert.equal(claim.from, lane.loadedThrough + 1);
      assert(claim.through <= lane.messages.length);
      const due = this.#model.due(claim.lane, this.#now);
      assert.deepEqual(
        claim.late.map((item) => item.seq),
        due.slice(0, claim.late.length),
      );
      if (claim.late.length < due.length) assert(claim.late.length + claim.through - claim.from + 1 >= 1);
      const openNow = lane.messages.flatMap((message, i) => (isOpenException(message) ? [i + 1] : []));
      const { exceptions } = await this.#subject.ledger.bytes.open(claim.lane);
      assert.deepEqual(
        exceptions.map((one) => one.seq),
        openNow,
      );
      assert.equal(claim.open, openNow.length === 0 ? null : "");
      // Who settled the lane last knows what is open of it.
      const left = this.#left.get(claim.lane);
      if (left?.fence === claim.fence - 1 && left.version === claim.version) assert.deepEqual(left.open, openNow);
      this.#blockers.set(claim, openNow);
      this.#model.claim(claim);
      this.#inHand.push({ claim, until: this.#now + LEASE_MS });
    }
  }

  #takeClaim(which: number): Claim | undefined {
    return this.#inHand.splice(which % Math.max(1, this.#inHand.length), 1)[0]?.claim;
  }

  /** Plays a loader: each message of a claim gets the fate that the step names. */
  async #settle(which: number, fates: readonly number[]): Promise<void> {
    const claim = this.#takeClaim(which);
    if (!claim) return;
    let at = 0;
    const fate = (): number => fates[at++ % fates.length] ?? 0;
    const closed: LaneOutcome["closed"][number][] = [];
    const exceptions: ExceptionWrite[] = [];
    const blockers = [...(this.#blockers.get(claim) ?? [])];
    const decide = (n: number, late: boolean): void => {
      const blocker = blockers.find((one) => one < n && !closed.includes(seq(one)));
      const chosen = fate();
      if (chosen === 1) exceptions.push(passedOver(n, { state: "dead" }));
      else if (chosen === 2) exceptions.push(passedOver(n, { state: "retrying", retryInMs: RETRY_MS }));
      else if (chosen === 3 && blocker !== undefined)
        exceptions.push(passedOver(n, { state: "held", behind: behind(claim.lane, blocker) }));
      else if (late) closed.push(seq(n));
      if (exceptions.at(-1)?.seq === n) blockers.push(n);
    };
    for (const item of claim.late) {
      if (item.order.verb === "discard") exceptions.push(passedOver(item.seq, { state: "discarded" }));
      else decide(item.seq, true);
    }
    for (let n: number = claim.from; n <= claim.through; n++) decide(n, false);
    const outcome: LaneOutcome = {
      lane: claim.lane,
      fence: claim.fence,
      loadedThrough: claim.through,
      version: claim.version + 1,
      exceptions,
      closed,
      events: [],
      lagMs: null,
    };
    assert.deepEqual(await this.#subject.ledger.work.settle([outcome]), ["settled"]);
    this.#settleModel(claim, exceptions, closed);
    const gone = new Set([...closed, ...exceptions.map((write) => write.seq)]);
    const stay = exceptions.filter(({ state }) => state !== "discarded").map((write) => write.seq as number);
    const open = [...(this.#blockers.get(claim) ?? []).filter((n) => !gone.has(seq(n))), ...stay].toSorted(
      (a, b) => a - b,
    );
    this.#left.set(claim.lane, { fence: claim.fence, version: outcome.version, open });
  }

  #settleModel(claim: Claim, exceptions: readonly ExceptionWrite[], closed: readonly number[]): void {
    const { lane } = claim;
    const passed = new Set<number>(exceptions.map((write) => write.seq));
    for (const n of closed) this.#model.load(lane, n, true);
    for (const write of exceptions)
      if (write.state === "discarded") this.#model.passOver(lane, write.seq, { state: "discarded" });
    for (const write of exceptions.toSorted((a, b) => a.seq - b.seq)) {
      if (write.state === "discarded") continue;
      const held = write.behind && { lane, n: write.behind.seq as number };
      const isFree = held !== null && !isOpenException(this.#model.message(lane, held.n));
      const dueAt = write.state === "retrying" ? this.#now + RETRY_MS : isFree ? 0 : null;
      this.#model.passOver(lane, write.seq, { state: write.state, dueAt, behind: held });
    }
    for (let n: number = claim.from; n <= claim.through; n++) if (!passed.has(n)) this.#model.load(lane, n, false);
    this.#model.lane(lane).loadedThrough = claim.through;
  }

  async #order(which: number, verb: "requeue" | "discard"): Promise<void> {
    const all = [...this.#model.lanes.values()].flatMap((lane) =>
      lane.messages.map((message, i) => ({ lane, message, n: seq(i + 1) })),
    );
    const off = all.filter(({ message }) => message.kinds.length > 2);
    const chosen = (off.length > 0 ? off : all)[which % (off.length || all.length || 1)];
    if (!chosen) return;
    const { lane, message, n } = chosen;
    const { exceptions } = this.#subject.ledger;
    const ordered =
      verb === "requeue"
        ? exceptions.requeue(lane.name, n, ANNA, "mended", null)
        : exceptions.discard(lane.name, n, ANNA, "given up");
    if (message.giveUp || moved(message.state, verb) === null) {
      await assert.rejects(ordered, { code: "STATE_CONFLICT" });
      return;
    }
    await ordered;
    message.dueAt = 0;
    message.kinds.push(verb === "requeue" ? "requeued" : "discard ordered");
    if (verb === "requeue") message.state = "received";
    else message.giveUp = true;
  }

  async check(): Promise<void> {
    const { ledger } = this.#subject;
    for (const { name, messages } of this.#model.lanes.values()) {
      const states = expand(await this.#subject.ranges(name));
      assert.deepEqual(
        states,
        messages.map((message) => message.state),
      );
      for (const [i, { kinds }] of messages.entries()) {
        const events = await ledger.trail.of(name, seq(i + 1));
        assert.deepEqual(
          events.map(({ kind }) => kind),
          kinds,
        );
      }
    }
  }

  /** A good day: everything in hand is given back, and everything is loaded. The dead are requeued. */
  async finish(): Promise<void> {
    while (this.#inHand.length > 0) await this.take({ do: "release", which: 0 });
    for (const { name, messages } of this.#model.lanes.values()) {
      for (const [i, message] of messages.entries()) {
        if (message.state !== "dead" || message.giveUp) continue;
        await this.#subject.ledger.exceptions.requeue(name, seq(i + 1), ANNA, "mended", null);
        message.state = "received";
        message.dueAt = 0;
        message.kinds.push("requeued");
      }
    }
    for (let idle = 0; idle < 3;) {
      await this.take({ do: "wait", ms: RETRY_MS });
      await this.#claim(3, 100);
      idle = this.#inHand.length === 0 ? idle + 1 : 0;
      while (this.#inHand.length > 0) await this.#settle(0, [0]);
    }
  }

  async checkEnd(): Promise<void> {
    for (const till of this.#tills.filter(({ last }) => last > 0)) {
      const { messages } = this.#model.lane(till.lane);
      assert.equal(messages.length, till.last);
      assert.deepEqual(
        messages.filter(({ state }) => state !== "loaded" && state !== "discarded"),
        [],
      );
      const pieces = await this.#subject.ledger.bytes.read(till.lane, seq(1), seq(till.last), 0, 1_000_000);
      assert.equal(pieces.map((piece) => new TextDecoder().decode(piece.bytes)).join(""), till.text(1, till.last));
    }
    assert.equal(await this.#subject.ledger.work.nextDue(), null);
  }
}

/** The state of each number from 1; fails when a number is in no range or in two. */
function expand(ranges: readonly StateRange[]): string[] {
  const states: string[] = [];
  for (const { from, through, state } of ranges) {
    assert.equal(from, states.length + 1);
    for (let n = from; n <= through; n++) states.push(state);
  }
  return states;
}
