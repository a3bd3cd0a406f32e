import { backoffMs, type BackoffPolicy } from "../base/backoff.ts";
import { isoOf, later, type Instant } from "../base/clock.ts";
import type { FaultCode } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";

/** Data, so that `/readyz`, the log and the console say the same: why nothing is tried, since when, until when. */
export type BreakerState =
  | { readonly kind: "closed" }
  | {
      readonly kind: "open" | "half-open";
      readonly since: Instant;
      readonly failures: number;
      readonly retryAt: Instant;
      readonly fault: FaultCode;
    };

const POLICY: BackoffPolicy = { firstMs: 200, factor: 2, capMs: 30_000 };
/** Full jitter may give no wait at all; a target that is away is not asked more often than this. */
const LEAST_WAIT_MS = 20;

export type Tell = (kind: "breaker opened" | "breaker probed" | "breaker closed", detail: string) => void;

/** 2, 4, 8 …: the trail of an outage stays short, however long it lasts. */
const isRound = (failures: number): boolean => Number.isInteger(Math.log2(failures));

/**
 * Guards one target that may be away. After a failure nothing is tried for a while that doubles up to 30 s (with jitter);
 * then one probe at a time decides. It counts failures of the target only: no attempt of any message.
 */
export class Breaker {
  readonly #target: string;
  readonly #runtime: Pick<Runtime, "clock" | "random">;
  readonly #log: Log;
  readonly #tell: Tell;
  readonly #metrics: Metrics;
  #state: BreakerState = { kind: "closed" };
  /** By the clock that cannot jump. */
  #retryAtElapsed = 0;

  /** @param tell writes a turn of the breaker into the audit trail */
  constructor(
    target: string,
    runtime: Pick<Runtime, "clock" | "random">,
    log: Log,
    metrics: Metrics,
    tell: Tell = () => undefined,
  ) {
    this.#target = target;
    this.#runtime = runtime;
    this.#log = log;
    this.#tell = tell;
    this.#metrics = metrics;
    this.#metrics.set("waybill_breaker_open", 0, { target });
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Milliseconds for which nothing may be tried; 0 when closed, or when a probe may go. */
  waitMs(): number {
    if (this.#state.kind === "closed") return 0;
    const left = this.#retryAtElapsed - this.#runtime.clock.elapsed();
    if (left > 0) return left;
    if (this.#state.kind === "open") {
      this.#state = { ...this.#state, kind: "half-open" };
      this.#log.debug({ target: this.#target }, "breaker.probing");
    }
    return 0;
  }

  /** @returns milliseconds until it is tried again */
  failed(fault: FaultCode): number {
    const { clock, random } = this.#runtime;
    const failures = this.#state.kind === "closed" ? 1 : this.#state.failures + 1;
    const waitMs = LEAST_WAIT_MS + backoffMs(Math.min(failures, 32), POLICY, random);
    const since = this.#state.kind === "closed" ? clock.now() : this.#state.since;
    this.#state = { kind: "open", since, failures, retryAt: later(clock.now(), waitMs), fault };
    this.#retryAtElapsed = clock.elapsed() + waitMs;
    this.#metrics.set("waybill_breaker_open", 1, { target: this.#target });
    const facts = { target: this.#target, fault, failures, since: isoOf(since), retryInMs: waitMs };
    this.#log.warn(facts, "breaker.opened");
    if (failures === 1) this.#tell("breaker opened", `${this.#target}: ${fault}`);
    else if (isRound(failures))
      this.#tell("breaker probed", `${this.#target}: ${fault}, ${failures} failures in a row`);
    return waitMs;
  }

  succeeded(): void {
    if (this.#state.kind === "closed") return;
    const { failures, since } = this.#state;
    this.#state = { kind: "closed" };
    this.#metrics.set("waybill_breaker_open", 0, { target: this.#target });
    this.#log.info({ target: this.#target, failures, since: isoOf(since) }, "breaker.closed");
    this.#tell("breaker closed", `${this.#target}: after ${failures} failures in a row since ${isoOf(since)}`);
  }
}
