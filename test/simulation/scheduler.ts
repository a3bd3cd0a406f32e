import { createHash } from "node:crypto";
import type { Dice } from "./dice.ts";

type Due = { readonly at: number; readonly tie: number; readonly label: string; act: (() => void) | null };
export type Planned = { cancel(): void };

/**
 * The only source of "what happens next". Everything that would wait in the real world (a timer, an answer, a disk) waits
 * here, in virtual time; one step lets exactly one wait end, and everything that follows from it by itself runs to rest
 * before the next. So one seed has one history.
 */
export class Scheduler {
  readonly #dice: Dice;
  readonly #heap: Due[] = [];
  readonly #history = createHash("sha256");
  #nowMs = 0;
  #steps = 0;

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  /** Virtual milliseconds since the beginning. */
  get nowMs(): number {
    return this.#nowMs;
  }
  get steps(): number {
    return this.#steps;
  }
  /** Of all that happened, in order. Ends the run. */
  digest(): string {
    return this.#history.digest("hex").slice(0, 16);
  }
  /** Makes something a part of the history besides the steps themselves. */
  note(what: string): void {
    this.#history.update(what);
  }

  /** Plans `act` for `delayMs` from now; equals in time take place in an order that the dice choose. */
  in(delayMs: number, label: string, act: () => void): Planned {
    const due: Due = { at: this.#nowMs + Math.max(0, delayMs), tie: this.#dice.next(), label, act };
    push(this.#heap, due);
    return {
      cancel: () => {
        due.act = null;
      },
    };
  }

  /** Lets the next wait end, and what follows from it come to rest. False: nothing waits any more. */
  async step(): Promise<boolean> {
    for (let due = pop(this.#heap); due; due = pop(this.#heap)) {
      if (due.act === null) continue;
      this.#nowMs = due.at;
      this.#steps++;
      this.#history.update(`${due.at.toFixed(3)} ${due.label}\n`);
      due.act();
      // All promises that can go on do so before the event loop comes to this. Nothing in a simulated world waits for
      // a thread, a socket or a file, so afterwards everybody waits for the scheduler again.
      await new Promise(setImmediate);
      return true;
    }
    return false;
  }
}

const before = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.tie < b.tie);

function push(heap: Due[], due: Due): void {
  let at = heap.push(due) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Due;
    if (!before(due, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = due;
}

function pop(heap: Due[]): Due | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Due, heap[child] as Due)) child++;
    if (!before(heap[child] as Due, last)) break;
    heap[at] = heap[child] as Due;
    at = child;
  }
  heap[at] = last;
  return top;
}
