import { instant, type Clock, type Instant } from "../../src/base/clock.ts";
import type { Random, Timers } from "../../src/base/runtime.ts";

/** Dice that fall the same for the same seed (mulberry32). */
export class Dice implements Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
  chance(of: number): boolean {
    return this.next() < of;
  }
  pick<T>(from: readonly T[]): T {
    const one = from[this.below(from.length)];
    if (one === undefined) throw new Error("there is nothing to pick from");
    return one;
  }
}

/** What of time the histories need. `pass`: so much of it goes by; `through`: it goes by until the work is done. */
export type WorldTime = Clock &
  Timers & {
    pass(ms: number): Promise<void>;
    until(what: string, done: () => boolean | Promise<boolean>, limitMs?: number): Promise<void>;
    through<T>(what: string, work: Promise<T>): Promise<T>;
  };

type Sleeper = { readonly at: number; readonly wake: () => void };

/** Turns of the event loop after which everything that goes on without a wait has gone on. */
const TURNS = 6;

/**
 * A clock that stands still while anything works, and jumps to the next wake-up when all wait. An hour of waiting costs
 * nothing, and which of several sleepers wakes first is drawn: another seed is another order of events.
 */
export class VirtualTime implements WorldTime {
  readonly #dice: Dice;
  #ms = 0;
  #sleepers: Sleeper[] = [];

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  now(): Instant {
    return instant(Date.UTC(2026, 10, 26, 9) + this.#ms);
  }
  elapsed(): number {
    return this.#ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const sleeper: Sleeper = { at: this.#ms + Math.max(0, ms), wake: () => done() };
      const done = (): void => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", done, { once: true });
    });
  }

  every(ms: number, tick: () => Promise<void> | void, onError: (thrown: unknown) => void): Disposable {
    const over = new AbortController();
    const run = async (): Promise<void> => {
      for (;;) {
        await this.sleep(ms, over.signal);
        if (over.signal.aborted) return;
        try {
          await tick();
        } catch (thrown) {
          onError(thrown);
        }
      }
    };
    void run();
    return { [Symbol.dispose]: () => over.abort() };
  }

  /** Lets the world go on until `done`, for at most so long by its own clock. @throws Error naming `what` */
  async until(what: string, done: () => boolean | Promise<boolean>, limitMs = 4 * 3_600_000): Promise<void> {
    const end = this.#ms + limitMs;
    for (;;) {
      await turns();
      if (await this.#answer(done)) return;
      if (this.#ms > end) throw new Error(`${what} did not come about within ${limitMs / 1000} s`);
      this.#wakeNext();
    }
  }

  /** The question may itself have to wait for time to pass. */
  async #answer(ask: () => boolean | Promise<boolean>): Promise<boolean> {
    const asked = ask();
    if (typeof asked === "boolean") return asked;
    const state = { over: false };
    const answered = asked.finally(() => (state.over = true));
    answered.catch(() => undefined);
    for (await turns(); !state.over; await turns()) this.#wakeNext();
    return answered;
  }

  async pass(ms: number): Promise<void> {
    const end = this.#ms + ms;
    await this.until(`the end of ${ms} ms`, () => this.#ms >= end);
  }

  /** Lets it go on until the promise is settled. */
  async through<T>(what: string, work: Promise<T>): Promise<T> {
    let over = false;
    const settled = work.finally(() => (over = true));
    settled.catch(() => undefined);
    await this.until(what, () => over);
    return settled;
  }

  #wakeNext(): void {
    const first = Math.min(...this.#sleepers.map(({ at }) => at));
    // Nobody sleeps: something waits for the disk, so a moment passes.
    this.#ms = Math.max(this.#ms, Number.isFinite(first) ? first : this.#ms + 1);
    const due = this.#sleepers.filter(({ at }) => at <= this.#ms);
    if (due.length > 0) this.#dice.pick(due).wake();
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise(setImmediate);
}
