import type { LaneName } from "../../base/ids.ts";
import type { StateKind } from "../../message/lifecycle.ts";
import type { EventKind } from "../events.ts";
import type { Claim, LateItem } from "../port.ts";

/** What the simplest ledger imaginable knows of one message: its state, and the kinds of events it must have had. */
export type ModelMessage = {
  state: StateKind;
  kinds: EventKind[];
  dueAt: number | null;
  behind: { readonly lane: LaneName; readonly n: number } | null;
  giveUp: boolean;
  /** The state to go back to when a claim ends without a settlement. */
  claimedFrom: StateKind | null;
};
export type ModelLane = { readonly name: LaneName; readonly messages: ModelMessage[]; loadedThrough: number };

export const isOpenException = (message: ModelMessage): boolean =>
  ["retrying", "held", "dead"].includes(message.claimedFrom ?? message.state) ||
  (message.state === "received" && message.kinds.includes("requeued")) ||
  (message.claimedFrom === "received" && message.kinds.includes("requeued"));

/** One row per message, no ranges, no indexes: what the real ledger must be equal to after every step. */
export class Model {
  readonly lanes = new Map<LaneName, ModelLane>();

  lane(name: LaneName): ModelLane {
    const known = this.lanes.get(name);
    if (known) return known;
    const made: ModelLane = { name, messages: [], loadedThrough: 0 };
    this.lanes.set(name, made);
    return made;
  }
  message(lane: LaneName, n: number): ModelMessage {
    const message = this.lane(lane).messages[n - 1];
    if (!message) throw new Error(`the model has no message ${lane}/${n}`);
    return message;
  }
  receive(lane: LaneName, through: number): void {
    const { messages } = this.lane(lane);
    while (messages.length < through) {
      messages.push({
        state: "received",
        kinds: ["received"],
        dueAt: null,
        behind: null,
        giveUp: false,
        claimedFrom: null,
      });
    }
  }

  claim(claim: Claim): void {
    for (let n = claim.from; n <= claim.through; n++) this.#take(this.message(claim.lane, n));
    for (const item of claim.late) if (item.order.verb === "load") this.#take(this.message(claim.lane, item.seq));
  }
  #take(message: ModelMessage): void {
    message.claimedFrom = message.state;
    message.state = "processing";
  }
  /** A claim that ended without a settlement: its messages are what they were. */
  giveBack(claim: Claim, kind: "lease lost" | "handed back"): void {
    for (const message of this.#inHand(claim)) {
      message.state = message.claimedFrom ?? message.state;
      message.claimedFrom = null;
      message.kinds.push(kind);
    }
  }
  #inHand(claim: Claim): ModelMessage[] {
    const late = claim.late.filter((item) => item.order.verb === "load").map((item: LateItem) => item.seq);
    const range = Array.from({ length: claim.through - claim.from + 1 }, (_, i) => claim.from + i);
    return [...late, ...range].map((n) => this.message(claim.lane, n));
  }

  load(lane: LaneName, n: number, late: boolean): void {
    this.#leave(lane, n, { state: "loaded" }, late ? "loaded late" : "loaded");
    this.#free(lane, n);
  }
  passOver(
    lane: LaneName,
    n: number,
    to: Partial<ModelMessage> & { readonly state: "retrying" | "held" | "dead" | "discarded" },
  ): void {
    this.#leave(lane, n, to, to.state);
    if (to.state === "discarded") this.#free(lane, n);
  }
  #leave(lane: LaneName, n: number, to: Partial<ModelMessage>, kind: EventKind): void {
    const message = this.message(lane, n);
    Object.assign(message, { dueAt: null, behind: null, giveUp: false, claimedFrom: null }, to);
    message.kinds.push(kind);
  }
  /** What was held behind it is to be looked at again. */
  #free(lane: LaneName, n: number): void {
    for (const { messages } of this.lanes.values()) {
      for (const message of messages) if (message.behind?.lane === lane && message.behind.n === n) message.dueAt = 0;
    }
  }

  /** The late messages that a claim at `now` must give, in order. */
  due(lane: LaneName, now: number): number[] {
    const isDue = (message: ModelMessage): boolean => message.dueAt !== null && message.dueAt <= now;
    return this.lane(lane).messages.flatMap((message, i) => (isDue(message) ? [i + 1] : []));
  }
}
