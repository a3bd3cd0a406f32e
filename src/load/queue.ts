import type { LaneWork } from "./lane-work.ts";
import { Loading, type Trial } from "./message.ts";
import { OpenIndex, type Blocker } from "./open-index.ts";
import { pageAhead } from "./page.ts";
import { ValuePool } from "./value-pool.ts";

type Chosen = (message: Loading) => boolean;
export const NOT_TRIED = { attempts: 0, fault: null };
/** Messages of a lane that are tried alone, in order. */
export type Apart = { readonly lane: LaneWork; readonly messages: readonly Trial[] };

/**
 * The new messages of a lane that nobody holds up, by when they are tried: first those tried `together`, then (together, too)
 * those that were `put off`, and at last those `apart`, each alone. No message overtakes one that it must come after.
 */
export class Queue {
  readonly lane: LaneWork;
  together: readonly Loading[] = [];
  readonly apart: Trial[] = [];
  #putOff: readonly Loading[] = [];

  private constructor(lane: LaneWork) {
    this.lane = lane;
  }

  static async of(lane: LaneWork): Promise<Queue> {
    const queue = new Queue(lane);
    const free: Loading[] = [];
    for (const whole of lane.prepared.messages) {
      const asked = blockerOf(lane, whole); // most need no promise, here and below
      const behind = asked && (await asked);
      const ahead = behind && pageAhead(lane, whole);
      const message = ahead ?? whole;
      const paused = behind && !ahead ? null : lane.routes.pausedFor(message);
      const route = paused && (await paused);
      if (behind && !ahead) await lane.hold(whole, behind, NOT_TRIED);
      else if (route !== null) await lane.holdFor(whole, route, NOT_TRIED);
      else if (message instanceof Loading) free.push(message);
      else queue.apart.push(message); // in parts: the only one of its claim
    }
    queue.together = free;
    return queue;
  }

  /**
   * Sets some apart, and lets some go after the others; both with all that must not overtake them.
   * @param isLater asked of those that are not set apart
   */
  part(isApart: Chosen, isLater: Chosen = () => false): void {
    if (!this.together.some((message) => isApart(message) || isLater(message))) return;
    const values = new ValuePool(); // those here were free of all that was set apart before
    const [apart, later] = [new Ahead(), new Ahead()];
    const all = [...this.together, ...this.#putOff];
    const before = this.together.length;
    const [together, putOff]: [Loading[], Loading[]] = [[], []];
    let at = 0;
    for (const message of all) {
      const isNew = at++ < before;
      const mayFollow = message.mayBeIn(values);
      if (isApart(message) || (mayFollow && apart.isBefore(message))) {
        this.apart.push(message);
        apart.add(message);
      } else if (!isNew || isLater(message) || (mayFollow && later.isBefore(message))) {
        putOff.push(message);
        later.add(message);
      } else {
        together.push(message);
        continue;
      }
      message.addTo(values);
    }
    this.together = together;
    // Those put off before may stand behind those put off now, and come before them.
    this.#putOff = putOff.toSorted((a, b) => a.seq - b.seq);
  }

  /**
   * Those set apart, in order: those that can be tried `first`, and those of which it was asked that they be tried `last`, with all
   * that must not overtake them.
   */
  turns(isLast: Chosen): { readonly first: Apart; readonly last: Apart } {
    const { lane } = this;
    const [first, last]: [Trial[], Trial[]] = [[], []];
    const values = new ValuePool();
    const ahead = new Ahead();
    for (const message of this.apart.toSorted((a, b) => a.seq - b.seq)) {
      if (!(message instanceof Loading)) first.push(message);
      else if (isLast(message) || (message.mayBeIn(values) && ahead.isBeforeOrAdds(message))) {
        last.push(message);
        ahead.add(message);
        message.addTo(values);
      } else first.push(message);
    }
    return { first: { lane, messages: first }, last: { lane, messages: last } };
  }

  /** Is one that came before this message, but is tried after it, to add to a sum that this one adds to? */
  isAddedToBefore({ seq, sets }: Loading): boolean {
    return [...this.apart, ...this.#putOff].some(
      (other) => other.seq < seq && other instanceof Loading && !other.sets.adds.isDisjointFrom(sets.adds),
    );
  }

  /** Those tried together are done with; now it is the turn of those that were put off. */
  goOn(): void {
    this.together = this.#putOff;
    this.#putOff = [];
  }
}

/** So many that may have to follow are each compared with all before them; when more ask, an index of all is made. */
const FEW = 32;

/** Messages that others must not overtake. What they touch is worked out when one asks that could meet them, which is seldom. */
class Ahead {
  readonly #index = new OpenIndex();
  #added: Loading[] = [];
  #asked = 0;

  add(message: Loading): void {
    this.#added.push(message);
  }
  isBefore(message: Loading): boolean {
    this.#takeIn(message);
    return this.#index.size > 0 && this.#index.follows(message.lane, message.seq, message.sets);
  }
  /** Or adds one of them to a sum that this one adds to? If the sum has to begin, the order counts. */
  isBeforeOrAdds(message: Loading): boolean {
    return this.isBefore(message) || this.#index.adder(message.lane, message.seq, message.sets) !== null;
  }
  #takeIn(asking: Loading): void {
    if (this.#added.length === 0) return;
    const near = this.#asked++ < FEW ? asking.pool() : null;
    const far: Loading[] = [];
    for (const message of this.#added) {
      if (near && !message.mayBeIn(near)) far.push(message);
      else this.#index.open(message.lane, message.seq, message.sets.sets());
    }
    this.#added = far;
  }
}

/** The open exception that the message waits behind; null: none. */
export function blockerOf({ open }: LaneWork, message: Trial): Promise<Blocker | null> | null {
  if (open.size === 0 || (message instanceof Loading && !message.mayMeet(open))) return null;
  return message.touched().then((touched) => open.blocker(message.lane, message.seq, touched));
}
