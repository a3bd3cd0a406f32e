import { backoffMs, type BackoffPolicy } from "../base/backoff.ts";
import { asWaybillError, type WaybillError } from "../base/errors.ts";
import type { LaneName, WorkerId } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Claim, ClaimLimit, LaneOutcome, Work } from "../ledger/port.ts";
import type { LoadReport } from "../load/port.ts";
import type { Tripped } from "../load/routes.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { untraced, type Tracing } from "../observe/tracing.ts";
import { BatchSize } from "./batch-size.ts";
import { Breaker, type Tell } from "./breaker.ts";
import { Leases, type Lease } from "./leases.ts";
import type { HubSettings } from "./settings.ts";
import { tellLoaded } from "./spans.ts";
import { Turn } from "../base/turn.ts";
import { Wake } from "../base/wake.ts";

/** Between two looks for work at the least, when the ledger says "now" but gave nothing. */
const LEAST_WAIT_MS = 5;
/** How often and how long an outcome is told to a ledger that does not take it; after that the centre tells it, at the next claim. */
const SETTLE_TRIES = 6;
const SETTLE_RETRY: BackoffPolicy = { firstMs: 100, factor: 3, capMs: 5_000 };
/** A probe of a target that is away is small, yet shows whether several lanes meet the same. */
const PROBE_LANES = 4;
const NOTHING: LoadReport = { outcomes: [], moved: [], tripped: [], changes: 0 };

export type ProcessorParts = {
  readonly work: Work;
  /** One central transaction for all claims. */
  readonly load: (claims: readonly Claim[]) => Promise<LoadReport>;
  readonly settings: HubSettings["processor"];
  readonly runtime: Pick<Runtime, "clock" | "timers" | "random">;
  /** New at every start of the process. */
  readonly worker: WorkerId;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Without it nothing is traced. */
  readonly tracing?: Tracing;
  /** Called after a batch was committed at the centre: its changes may have to go down again. */
  readonly onLoaded: () => void;
  /** The breaker of the centre opened, probed in vain, or closed. */
  readonly onBreaker?: Tell;
  /** One fault meets many lanes: the route of the table is to be paused, before what it held is settled. */
  readonly onTripped: (tripped: Tripped) => Promise<void>;
};

/**
 * Carries messages from the ledger to the centre: claim → load → settle, `workers` batches at once, of which one loads
 * while others are claimed or settled. Judges nothing itself: the loader judges messages, the fence judges workers, and
 * a batch that ends in a fault of the target judges nobody.
 */
export class Processor {
  readonly #parts: ProcessorParts;
  readonly #leases: Leases;
  readonly #loading = new Turn();
  readonly #wake: Wake;
  readonly #breaker: Breaker;
  readonly #size: BatchSize;
  readonly #batches = new Set<Promise<void>>();
  #claimFailures = 0;

  constructor(parts: ProcessorParts) {
    this.#parts = parts;
    this.#wake = new Wake(parts.runtime.timers);
    this.#breaker = new Breaker("central", parts.runtime, parts.log, parts.metrics, parts.onBreaker);
    this.#leases = new Leases(parts);
    this.#size = new BatchSize(parts.settings);
  }

  get breaker(): Breaker {
    return this.#breaker;
  }
  get batchesInWork(): number {
    return this.#batches.size;
  }

  /**
   * Messages were stored, or an operator made one due; without `lanes` it is not said where. True when that is news: of lanes that
   * are all in work here the end of their batch tells.
   */
  received(lanes: readonly LaneName[] = []): boolean {
    if (lanes.length > 0 && lanes.every((lane) => this.#leases.holds(lane))) return false;
    this.#wake.ring();
    return true;
  }

  /**
   * Until `stop` is raised; then the batch that loads is finished and settled, and the others are given back. Never
   * rejects. A crash at any point leaves leases that run out by themselves.
   */
  async run(stop: AbortSignal): Promise<void> {
    const { settings, runtime } = this.#parts;
    using _renewals = this.#leases.renewing(settings.leaseMs);
    while (!stop.aborted) {
      const closedForMs = this.#breaker.waitMs();
      if (closedForMs > 0) {
        await runtime.timers.sleep(closedForMs, stop);
        continue;
      }
      // While the target is on probation one batch at a time asks it.
      const allowed = this.#breaker.state.kind === "closed" ? settings.workers : 1;
      if (this.#batches.size >= allowed) await Promise.race(this.#batches);
      else await this.#next(stop);
    }
    await Promise.all(this.#batches);
  }

  /** One batch from claim to settlement, for callers that drive it themselves. False: nothing was due. */
  async turn(stop: AbortSignal = new AbortController().signal): Promise<boolean> {
    const claims = await this.#claim(this.#limit());
    if (claims.length > 0) await this.#carry(claims, stop);
    return claims.length > 0;
  }

  async #next(stop: AbortSignal): Promise<void> {
    const { work, settings, log, runtime } = this.#parts;
    try {
      const limit = this.#limit();
      const claims = await this.#claim(limit);
      this.#claimFailures = 0;
      if (claims.length > 0) {
        const batch: Promise<void> = this.#carry(claims, stop).finally(() => {
          this.#batches.delete(batch);
          this.#wake.ring(); // its lanes may have more
        });
        this.#batches.add(batch);
        if (claims.length === limit.lanes) return; // and so may others
      }
      const dueMs = await work.nextDue();
      await this.#wake.wait(Math.max(LEAST_WAIT_MS, Math.min(dueMs ?? settings.pollMs, settings.pollMs)), stop);
    } catch (thrown) {
      this.#claimFailures++;
      const waitMs = backoffMs(Math.min(this.#claimFailures, 32), SETTLE_RETRY, runtime.random) + LEAST_WAIT_MS;
      log.error({ error: asWaybillError(thrown), failures: this.#claimFailures, retryInMs: waitMs }, "claim.failed");
      await runtime.timers.sleep(waitMs, stop);
    }
  }

  #limit(): ClaimLimit {
    const { next } = this.#size;
    return this.#breaker.state.kind === "closed" ? next : { ...next, lanes: Math.min(next.lanes, PROBE_LANES) };
  }

  async #claim(limit: ClaimLimit): Promise<readonly Claim[]> {
    const { work, worker, settings } = this.#parts;
    const probing = this.#breaker.state.kind !== "closed";
    const claims = await work.claim(worker, limit, settings.leaseMs);
    if (!probing) this.#size.claimed(claims.length);
    return claims;
  }

  /** Never rejects: whatever happens, the leases are settled, given back, or left to run out. */
  async #carry(claims: readonly Claim[], stop: AbortSignal): Promise<void> {
    const { clock } = this.#parts.runtime;
    const { log, metrics, tracing = untraced } = this.#parts;
    const started = clock.elapsed();
    const claimed = clock.now();
    using lease = this.#leases.hold(claims);
    try {
      log.debug({ lanes: claims.length, messages: countOf(claims) }, "run.claimed");
      const report = await this.#loading.run(async () => {
        if (!stop.aborted) return this.#load(claims, lease);
        await this.#release(claims, 0, "the hub stops");
        return NOTHING;
      });
      for (const tripped of report.tripped) await this.#insist(() => this.#parts.onTripped(tripped));
      await this.#catchUp(report);
      await this.#settle(report.outcomes, claims, lease);
      if (tracing.on)
        tellLoaded(tracing, this.#parts.runtime.random, claims, report, { claimed, settled: clock.now() });
      metrics.observe("waybill_batch_seconds", (clock.elapsed() - started) / 1000, {});
      metrics.observe("waybill_batch_messages", countOf(claims), {});
    } catch (thrown) {
      log.error({ error: asWaybillError(thrown), lanes: claims.map(({ lane }) => lane) }, "settle.failed");
    }
  }

  async #load(claims: readonly Claim[], lease: Lease): Promise<LoadReport> {
    const { runtime, metrics, load, onLoaded } = this.#parts;
    const started = runtime.clock.elapsed();
    try {
      const report = await load(claims);
      this.#breaker.succeeded();
      metrics.observe("waybill_load_seconds", (runtime.clock.elapsed() - started) / 1000, {});
      metrics.add("waybill_changes_loaded_total", report.changes, {});
      onLoaded();
      return report;
    } catch (thrown) {
      const fault = asWaybillError(thrown);
      metrics.add("waybill_batches_failed_total", 1, { code: fault.code });
      if (fault.code !== "INTERNAL") {
        await this.#release(claims, this.#breaker.failed(fault.code), fault.code);
        return NOTHING;
      }
      return claims.length > 1 ? this.#isolate(claims, lease, fault) : this.#lapse(claims, lease, fault);
    }
  }

  /**
   * A fault of ours, not of the target: perhaps one message brings it about each time. Each lane is tried alone, so that
   * one lane cannot stop the others. Nothing was judged: whatever of the batch was committed is found by the version.
   */
  async #isolate(claims: readonly Claim[], lease: Lease, fault: WaybillError): Promise<LoadReport> {
    this.#parts.log.error({ error: fault, lanes: claims.length }, "run.isolated");
    const reports: LoadReport[] = [];
    for (const claim of claims) reports.push(await this.#load([claim], lease));
    return {
      outcomes: reports.flatMap(({ outcomes }) => outcomes),
      moved: reports.flatMap(({ moved }) => moved),
      tripped: reports.flatMap(({ tripped }) => tripped),
      changes: reports.reduce((sum, { changes }) => sum + changes, 0),
      traces: reports.flatMap(({ traces = [] }) => traces),
    };
  }

  /** Ends the lease at once and unsettled: the ledger makes the next claim of the lane smaller, down to the message at fault. */
  async #lapse(claims: readonly Claim[], lease: Lease, fault: WaybillError): Promise<LoadReport> {
    const { log, work } = this.#parts;
    this.#breaker.failed(fault.code);
    for (const { lane } of claims) lease.drop(lane);
    log.error({ error: fault, lanes: claims.map(({ lane }) => lane), messages: countOf(claims) }, "run.lapsed");
    try {
      await work.renew(claims.map(holdOf), 0);
    } catch (thrown) {
      log.warn({ error: asWaybillError(thrown) }, "renewal.failed"); // then it runs out by the clock
    }
    return NOTHING;
  }

  async #release(claims: readonly Claim[], retryInMs: number, why: string): Promise<void> {
    const { log, work } = this.#parts;
    log.info({ lanes: claims.length, messages: countOf(claims), retryInMs, why }, "run.released");
    try {
      await work.release(claims.map(holdOf), retryInMs, why);
    } catch (thrown) {
      log.warn({ error: asWaybillError(thrown) }, "settle.failed"); // the leases run out by themselves
    }
  }

  /** The centre knows more of these lanes (a crash between load and settlement), or less (it was restored). */
  async #catchUp({ moved }: LoadReport): Promise<void> {
    const { log, work } = this.#parts;
    for (const { lane, fence, ...centre } of moved) {
      const adopted = await this.#insist(() => work.adopt(lane, fence, centre));
      const facts = { lane, loadedThrough: centre.loadedThrough, version: centre.version };
      if (adopted === "behind") log.error(facts, "lane.centre-behind");
      else if (adopted === "adopted") log.info(facts, "lane.moved");
      if (adopted === "lost") this.#lost(lane);
      else await this.#insist(() => work.release([{ lane, fence }], 0, "caught up with the centre"));
    }
  }

  async #settle(outcomes: readonly LaneOutcome[], claims: readonly Claim[], lease: Lease): Promise<void> {
    const mine = outcomes.filter(({ lane }) => !lease.lost.has(lane));
    for (const { lane } of outcomes) if (lease.lost.has(lane)) this.#lost(lane);
    if (mine.length === 0) return;
    const words = await this.#insist(() => this.#parts.work.settle(mine));
    const from = new Map(claims.map((claim) => [claim.lane, claim.from]));
    mine.forEach((outcome, at) => {
      if (words[at] === "lost") this.#lost(outcome.lane);
      else this.#tell(outcome, from.get(outcome.lane) ?? outcome.loadedThrough + 1);
    });
  }

  #tell(outcome: LaneOutcome, from: number): void {
    const { log, metrics } = this.#parts;
    const { lane, loadedThrough, exceptions, closed, lagMs } = outcome;
    const passed = exceptions.filter(({ seq }) => seq >= from).length;
    const loaded = Math.max(0, loadedThrough - from + 1) - passed + closed.length;
    metrics.add("waybill_messages_loaded_total", loaded, {});
    if (lagMs !== null) metrics.observe("waybill_load_lag_seconds", Math.max(0, lagMs) / 1000, {});
    for (const { seq, state, fault, attempts, tables, trace } of exceptions) {
      metrics.add("waybill_exceptions_total", 1, { state });
      log.warn({ lane, seq, state, fault, attempts, tables, trace }, "message.excepted");
    }
    log.debug(
      { lane, from, through: loadedThrough, loaded, excepted: exceptions.length, closed: closed.length, lagMs },
      "run.loaded",
    );
  }

  #lost(lane: LaneName): void {
    this.#parts.metrics.add("waybill_leases_lost_total", 1, {});
    this.#parts.log.warn({ lane }, "lease.lost");
  }

  /** Tells the ledger again while it does not answer; the leases are renewed meanwhile. @throws its last fault */
  async #insist<T>(tell: () => Promise<T>): Promise<T> {
    const { runtime, log } = this.#parts;
    for (let failures = 1; ; failures++) {
      try {
        return await tell();
      } catch (thrown) {
        const error = asWaybillError(thrown);
        if (failures === SETTLE_TRIES || error.blame !== "target") throw error;
        log.warn({ error, failures }, "settle.failed");
        await runtime.timers.sleep(backoffMs(failures, SETTLE_RETRY, runtime.random));
      }
    }
  }
}

const holdOf = ({ lane, fence }: Claim): { lane: LaneName; fence: number } => ({ lane, fence });
const countOf = (claims: readonly Claim[]): number =>
  claims.reduce((sum, { from, through, late }) => sum + Math.max(0, through - from + 1) + late.length, 0);
