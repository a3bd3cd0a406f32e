import type { Timers } from "../base/runtime.ts";

/** Wakes one waiting loop. A ring while nobody waits is kept, so that news between a look and the wait is never slept through. */
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

  /** Resolves at the next ring (at once when one was kept), after `ms`, or when `stop` is raised. */
  async wait(ms: number, stop: AbortSignal): Promise<void> {
    if (!this.#rung && !stop.aborted) {
      const waiting = new AbortController();
      const end = (): void => waiting.abort();
      stop.addEventListener("abort", end, { once: true });
      this.#waiting = waiting;
      await this.#timers.sleep(ms, waiting.signal);
      this.#waiting = null;
      stop.removeEventListener("abort", end);
    }
    this.#rung = false;
  }
}
