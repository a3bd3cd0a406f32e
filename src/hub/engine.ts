import { asWaybillError } from "../base/errors.ts";
import { actor, type LaneName, type TerminalId, workerId, type WorkerId } from "../base/ids.ts";
import { newUlid, type Runtime } from "../base/runtime.ts";
import type { Ledger } from "../ledger/port.ts";
import type { UpdateLog } from "../ledger/update-log.ts";
import { WELL, degraded, type Health } from "../observe/health.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { untraced, type Tracing } from "../observe/tracing.ts";
import type { BreakerState } from "./breaker.ts";
import type { Central } from "./central.ts";
import { PauseWatch } from "./pause-watch.ts";
import { Processor } from "./processor.ts";
import { Publisher } from "./publisher.ts";
import { Reconciler } from "./reconcile/reconciler.ts";
import { HUB_ROLES, type HubRole } from "./roles.ts";
import { SeatKeeper } from "./seat-keeper.ts";
import type { HubSettings } from "./settings.ts";
import { VersionWatch } from "./version-watch.ts";

export type EngineParts = {
  readonly ledger: Ledger;
  readonly central: Central;
  readonly settings: Pick<HubSettings, "processor" | "publisher" | "reconcile" | "rules" | "down">;
  readonly runtime: Pick<Runtime, "clock" | "timers" | "random">;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Without it nothing is traced. */
  readonly tracing?: Tracing;
  /** Called after entries for these audiences became readable in the update log. */
  readonly onPublished: (audiences: readonly string[]) => void;
  /** Which of the two loops run here; without it both. */
  readonly roles?: readonly HubRole[];
};

/** The seat of the one process that forwards a centre's changes. */
const PUBLISHER_SEAT = "publisher";
/** Backstop for terminals that another process enrolled, whose signal was lost. */
const RECHECK_MS = 60_000;

/** What moves by itself in a hub, without its HTTP side: the processor and the publisher over one central station. */
export class Engine {
  readonly processor: Processor;
  readonly publisher: Publisher;
  readonly pauses: PauseWatch;
  readonly reconciler: Reconciler;
  readonly #parts: EngineParts;
  readonly #roles: readonly HubRole[];
  readonly #keeper: SeatKeeper | null;
  readonly #versions: VersionWatch;
  #running: Promise<unknown> | null = null;

  constructor(parts: EngineParts) {
    const { central, ledger, settings, runtime, log, metrics, tracing = untraced, onPublished } = parts;
    this.#parts = parts;
    this.#roles = parts.roles ?? HUB_ROLES;
    const worker: WorkerId = workerId(newUlid(runtime.clock.now(), runtime.random));
    const { seats } = ledger;
    const leaseMs = settings.processor.leaseMs;
    const keeper = seats ? new SeatKeeper({ seats, name: PUBLISHER_SEAT, worker, leaseMs, runtime, log }) : null;
    this.#keeper = keeper;
    this.publisher = new Publisher({
      central,
      ledger: keeper ? fenced(ledger, keeper) : ledger,
      settings: settings.publisher,
      runtime,
      log,
      metrics,
      tracing,
      onPublished,
      paused: () => this.pauses.everything,
    });
    this.#versions = new VersionWatch({
      work: ledger.work,
      central,
      runtime,
      log,
      doubted: () => void this.processor.received(),
      paused: () => this.pauses.everything,
    });
    this.reconciler = new Reconciler({
      ledger,
      central,
      settings,
      runtime,
      log,
      ring: (terminal) => onPublished([`terminal:${terminal}`]),
    });
    let away = false;
    const onWork = (): void => void this.processor.received();
    this.pauses = new PauseWatch({ pauses: ledger.pauses, worker, runtime, log, metrics, onWork });
    this.processor = new Processor({
      work: ledger.work,
      load: async (claims) => {
        try {
          const report = await central.load(claims);
          if (away) this.#versions.reconnected();
          away = false;
          return report;
        } catch (thrown) {
          away = true;
          throw thrown;
        }
      },
      settings: settings.processor,
      runtime,
      worker,
      log,
      metrics,
      tracing,
      onLoaded: () => this.publisher.wake(),
      onBreaker: (kind, detail) => {
        const told = ledger.trail.note(kind, null, actor(`worker:${worker}`), detail);
        told.catch((thrown: unknown) => log.warn({ error: asWaybillError(thrown) }, "trail.failed"));
      },
      onTripped: (tripped) => this.pauses.tripped(tripped),
    });
  }

  /**
   * Makes the centre ready and starts both loops. A centre that is away does not keep the hub from starting: it stores what
   * terminals send, and goes on with the rest when the centre answers. @throws what the config is to blame for
   */
  async start(stop: AbortSignal): Promise<void> {
    const { central, log } = this.#parts;
    if (!this.#roles.includes("process") && !this.#roles.includes("publish")) return;
    try {
      const { refused } = await central.open();
      for (const { table, why } of refused) log.error({ table, why }, "central.capture.refused");
      log.info({}, "central.opened");
    } catch (thrown) {
      const error = asWaybillError(thrown);
      if (error.blame !== "target") throw error;
      log.error({ error }, "central.unavailable");
    }
    this.#running = Promise.all([
      this.#roles.includes("process") && this.processor.run(stop),
      this.#roles.includes("process") && this.#versions.run(stop),
      this.#roles.includes("process") && this.reconciler.run(stop),
      this.#roles.includes("publish") && this.#publish(stop),
    ]);
  }

  async #publish(stop: AbortSignal): Promise<void> {
    const { publisher } = this;
    if (this.#keeper === null) return publisher.run(stop);
    const { runtime, log } = this.#parts;
    const complain = (thrown: unknown): void => log.warn({ error: asWaybillError(thrown) }, "publisher.failed");
    await this.#keeper.run(stop, async (signal) => {
      publisher.recheck(); // another published before
      using _ = runtime.timers.every(RECHECK_MS, () => publisher.recheck(), complain);
      await publisher.run(signal);
    });
  }

  /** Resolves when both loops have ended, after `stop` was raised. */
  async ended(): Promise<void> {
    this.pauses[Symbol.dispose]();
    await this.#running;
  }

  /** See {@link Processor.received}. */
  received(lanes?: readonly LaneName[]): boolean {
    return this.processor.received(lanes);
  }
  /** Another process enrolled a terminal. */
  recheck(): void {
    this.publisher.recheck();
  }
  /** The terminal gets its snapshot. When the ledger fails just now, or the process ends, the publisher finds it without one. */
  async enrolled(id: TerminalId): Promise<void> {
    const { ledger, log } = this.#parts;
    try {
      const terminal = await ledger.terminals.get(id);
      if (terminal) this.publisher.snapshot(terminal);
    } catch (thrown) {
      log.error({ terminal: id, error: asWaybillError(thrown) }, "publisher.failed");
      this.publisher.recheck();
    }
  }

  /** Whether the publisher that there is now, here or in another process, has compared ledger and centre: until then the ledger may be an old copy. */
  async compared(): Promise<boolean> {
    const { seats, updates } = this.#parts.ledger;
    if (!seats && !this.#roles.includes("publish")) return true; // nobody forwards, here or elsewhere
    return updates.attested();
  }

  health(): { readonly central: Health; readonly publisher: Health; readonly pauses: Health } {
    return {
      central: healthOfTarget(this.processor.breaker.state),
      publisher: this.publisher.health,
      pauses: this.pauses.health,
    };
  }
}

/** A centre that is away is no reason to send terminals elsewhere: the hub stores for it meanwhile. */
function healthOfTarget(state: BreakerState): Health {
  if (state.kind === "closed") return WELL;
  return degraded(`the central database gives ${state.fault}, ${state.failures} time(s) in a row; messages wait`);
}

/** The update log as the seat's holder may write it: a process that has lost its seat forwards nothing. */
function fenced(ledger: Ledger, keeper: SeatKeeper): Pick<Ledger, "updates" | "terminals" | "trail"> {
  const { updates, terminals, trail } = ledger;
  const forward: UpdateLog["forward"] = async (source, after, through, entries) =>
    keeper.seat !== null && updates.forward(source, after, through, entries, keeper.seat);
  const attest: UpdateLog["attest"] = async (strand) => updates.attest(strand, keeper.seat ?? undefined);
  return { updates: { ...updates, forward, attest }, terminals, trail };
}
