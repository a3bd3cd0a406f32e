import type { Timers } from "./runtime.ts";

/** A bell between loops: one waits for it, another rings. A ring while nobody waits is kept for the next who does. */
export class Wake {
  readonly #timers: Timers;
  #rung = false;
  #waiting: AbortController | null = null;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  ring(): void {
    this.#rung = true;
    this.#waiting?.abort();
  }

  /** Returns after `ms`, or as soon as it rings or `signal` is raised. For one waiter at a time. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const waiting = new AbortController();
      const end = (): void => waiting.abort();
      signal.addEventListener("abort", end, { once: true });
      this.#waiting = waiting;
      await this.#timers.sleep(ms, waiting.signal);
      this.#waiting = null;
      signal.removeEventListener("abort", end);
    }
    this.#rung = false;
  }
}
