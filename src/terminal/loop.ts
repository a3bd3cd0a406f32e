import { backoffMs, type BackoffPolicy } from "../base/backoff.ts";
import { isoOf, later, type Instant } from "../base/clock.ts";
import { asWaybillError, type FaultCode, type WaybillError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { LogEvent } from "../observe/log-events.ts";
import type { Log } from "../observe/log.ts";
import type { Wake } from "../base/wake.ts";

/**
 * - `running`: the last step succeeded;
 * - `failing`: it did not, and trying again by itself may help;
 * - `blocked`: the other side said that somebody must act first; it is asked again now and then.
 */
export type LoopStatus = {
  readonly state: "starting" | "running" | "failing" | "blocked" | "stopped";
  /** When it entered this state, ISO 8601. */
  readonly since: string;
  /** Failures in a row. */
  readonly failures: number;
  readonly lastError: {
    readonly code: FaultCode;
    readonly what: string;
    readonly hint: string;
    readonly at: string;
  } | null;
  /** When it tries again after a failure, ISO 8601. */
  readonly nextTryAt: string | null;
};

export type LoopPolicy = { readonly retry: BackoffPolicy; readonly blockedMs: number };
/** What a loop needs besides its step. `events`: the log's names for a failure that may pass and for one that will not by itself. */
export type LoopParts = {
  readonly runtime: Runtime;
  readonly log: Log;
  /** Counts a failed step. */
  readonly failed?: (error: WaybillError) => void;
  readonly policy: LoopPolicy;
  readonly events: { readonly failed: LogEvent; readonly blocked: LogEvent };
  /** Called when the loop's state has changed, so that the status can be written. */
  readonly changed: () => void;
};

/** One of the agent's loops: the only place that knows how it fares. Errors never end it; only the stop signal does. */
export class Loop {
  readonly #parts: LoopParts;
  #state: LoopStatus["state"] = "starting";
  #since: Instant;
  #failures = 0;
  #lastError: LoopStatus["lastError"] = null;
  #nextTryAt: Instant | null = null;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#since = parts.runtime.clock.now();
  }

  get status(): LoopStatus {
    return {
      state: this.#state,
      since: isoOf(this.#since),
      failures: this.#failures,
      lastError: this.#lastError,
      nextTryAt: this.#nextTryAt === null ? null : isoOf(this.#nextTryAt),
    };
  }

  /**
   * Repeats `step` until the signal is raised. A step gives the milliseconds until the next one, which `wake` cuts short;
   * after a failure nothing cuts the wait short, or every sale would call on a hub that asked for time.
   */
  async run(step: () => Promise<number>, wake: Wake, signal: AbortSignal): Promise<void> {
    const { timers } = this.#parts.runtime;
    while (!signal.aborted) {
      try {
        const waitMs = await step();
        this.#succeeded();
        // Even without a wait the event loop must get its turn: a step on an embedded database never leaves it.
        await (waitMs > 0 ? wake.wait(waitMs, signal) : timers.sleep(0));
      } catch (thrown) {
        if (signal.aborted) break; // what a stop cuts off is no failure
        await timers.sleep(this.#failed(thrown), signal);
      }
    }
    this.#enter("stopped");
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#nextTryAt = null;
    this.#enter("running");
  }

  /** Notes the failure and gives the milliseconds to wait. */
  #failed(thrown: unknown): number {
    const { runtime, log, policy, events } = this.#parts;
    const error = asWaybillError(thrown);
    const now = runtime.clock.now();
    this.#parts.failed?.(error);
    const blocked = error.blame === "caller";
    const known = this.#failures > 0 && this.#lastError?.code === error.code;
    this.#failures += 1;
    const jitterMs = backoffMs(this.#failures, policy.retry, runtime.random);
    const askedMs = typeof error.facts["retryAfterMs"] === "number" ? error.facts["retryAfterMs"] : 0;
    const waitMs = blocked ? policy.blockedMs : askedMs + jitterMs;
    const facts = { failures: this.#failures, waitMs, error };
    // A hub that is away for a week is one line of the log, not ten thousand.
    if (known) log.debug(facts, events.failed);
    else if (blocked) log.error(facts, events.blocked);
    else log.warn(facts, events.failed);
    this.#lastError = { code: error.code, what: error.what, hint: error.hint, at: isoOf(now) };
    this.#nextTryAt = later(now, waitMs);
    this.#enter(blocked ? "blocked" : "failing");
    return waitMs;
  }

  #enter(state: LoopStatus["state"]): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#since = this.#parts.runtime.clock.now();
    this.#parts.changed();
  }
}
