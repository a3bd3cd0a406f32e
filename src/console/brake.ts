import type { Clock } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";

const WINDOW_MS = 60_000;
/** Guessing one name's password ends here; the others still sign in. */
const MOST_OF_ONE = 5;
/** Guessing over many names ends here. */
const MOST_OF_ALL = 60;
/** Passwords compared at once: each holds a core and 32 MiB. */
const MOST_AT_ONCE = 2;
const MOST_WAITING = 20;

/** Slows down whoever guesses. Counts in this process: with several hubs an attacker has so many more tries, still few. */
export class Brake {
  readonly #clock: Clock;
  #failures: readonly { readonly name: string; readonly at: number }[] = [];
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What `check` gives; null counts as a failure for `name`. @throws OVERLOADED without calling `check` */
  async guard<T>(name: string, check: () => Promise<T | null>): Promise<T | null> {
    this.#refuseGuessing(name);
    await this.#turn();
    try {
      this.#refuseGuessing(name); // those who waited beside each other may have used the tries up
      const result = await check();
      if (result === null) this.#failures = [...this.#failures, { name, at: this.#clock.elapsed() }];
      return result;
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  #refuseGuessing(name: string): void {
    const from = this.#clock.elapsed() - WINDOW_MS;
    this.#failures = this.#failures.filter(({ at }) => at > from);
    const mine = this.#failures.filter((each) => each.name === name);
    const first = (mine.length >= MOST_OF_ONE ? mine : this.#failures.length >= MOST_OF_ALL ? this.#failures : [])[0];
    if (first) throw tooMany(Math.ceil((first.at - from) / 1_000));
  }

  async #turn(): Promise<void> {
    if (this.#running >= MOST_AT_ONCE) {
      if (this.#waiting.length >= MOST_WAITING) throw tooMany(1);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running++;
  }
}

const tooMany = (retryAfterSeconds: number): WaybillError =>
  new WaybillError("OVERLOADED", "too many sign-ins failed", { facts: { retryAfterSeconds } });
