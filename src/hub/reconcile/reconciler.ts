import { asWaybillError, WaybillError } from "../../base/errors.ts";
import { later, type Instant } from "../../base/clock.ts";
import { SYSTEM, terminalId, workerId, type TerminalId, type WorkerId } from "../../base/ids.ts";
import { newUlid } from "../../base/runtime.ts";
import { Wake } from "../../base/wake.ts";
import { NOTHING_YET, type Reconcile, type ReconcileReport } from "../../ledger/reconciles.ts";
import type { Log } from "../../observe/log.ts";
import { Task, type ReconcileParts, type TaskParts } from "./task.ts";

/** A worker that says nothing for so long has lost its reconciliation; another begins it anew. */
const LEASE_MS = 60_000;
const REPORT_EVERY_MS = 5_000;
/** How often the ledger is looked at without being told. */
const POLL_MS = 5_000;
/** How often it is looked which terminals are due by the schedule, or were restored. */
const SCHEDULE_MS = 60_000;
/** Comparisons ordered at one look of the schedule: a fleet is spread over the time it has. */
const ORDERS_AT_ONCE = 10;
/** A comparison of a restored terminal that failed, as it was away perhaps, is made again after so long. */
const FAILED_AGAIN_MS = 3_600_000;
const RESTORED_SHOWN = 100;

export type ReconcilerParts = ReconcileParts & { readonly log: Log };

/**
 * Works off the reconciliations that were ordered, a few at a time, and orders those that are due: by the schedule, and for a
 * terminal that was restored. A hub killed meanwhile has changed nothing; the next one begins the comparison anew.
 */
export class Reconciler {
  readonly #parts: ReconcilerParts;
  readonly #wakes: Wake[];

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#wakes = Array.from({ length: parts.settings.reconcile.workers }, () => new Wake(parts.runtime.timers));
  }

  /** Something was ordered. */
  ordered(): void {
    for (const wake of this.#wakes) wake.ring();
  }

  /** Until `stop` is raised. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    const { runtime, log } = this.#parts;
    const failed = (thrown: unknown): void => log.warn({ error: asWaybillError(thrown) }, "reconcile.failed");
    using _ = runtime.timers.every(SCHEDULE_MS, () => this.#schedule(), failed);
    await Promise.all(
      this.#wakes.map(async (wake) => {
        const worker = workerId(newUlid(runtime.clock.now(), runtime.random));
        while (!stop.aborted) {
          try {
            if (await this.#turn(worker, stop)) continue;
          } catch (thrown) {
            failed(thrown);
          }
          await wake.wait(POLL_MS, stop);
        }
      }),
    );
  }

  /** True when there was one. */
  async #turn(worker: WorkerId, stop: AbortSignal): Promise<boolean> {
    const { ledger, log } = this.#parts;
    const order = await ledger.reconciles.claim(worker, LEASE_MS);
    if (order === null) return false;
    log.info({ reconcile: order.id, terminal: order.terminal }, "reconcile.began");
    const desk = new Desk(this.#parts, order, worker);
    try {
      const told = await this.#task(order, desk, stop).run();
      await desk.end("done", told);
      log.info({ reconcile: order.id, terminal: order.terminal }, "reconcile.done");
    } catch (thrown) {
      const error = asWaybillError(thrown);
      if (thrown instanceof NotOurs) return false;
      if (stop.aborted) {
        await ledger.reconciles.report(order.id, worker, NOTHING_YET, 0); // another may begin it at once
        return false;
      }
      log.warn({ reconcile: order.id, terminal: order.terminal, error }, "reconcile.failed");
      desk.report({ fault: { code: error.code, what: error.what } });
      await desk.end("failed", `${error.code}: ${error.what}`);
    }
    return true;
  }

  #task(order: Reconcile, desk: Desk, stop: AbortSignal): Task {
    const { ledger, central, settings, runtime, ring } = this.#parts;
    const parts: TaskParts = {
      order,
      ledger,
      central,
      settings,
      runtime,
      ring,
      stop,
      patienceMs: settings.reconcile.patienceMs,
      alive: () => desk.alive(),
      report: (change) => desk.report(change),
    };
    return new Task(parts);
  }

  async #schedule(): Promise<void> {
    const { ledger, settings, runtime } = this.#parts;
    const { everyHours, afterRestore } = settings.reconcile;
    const now = runtime.clock.now();
    if (afterRestore) await this.#orderRestored();
    if (everyHours === null) return;
    const before = later(now, -everyHours * 3_600_000);
    for (const terminal of await ledger.reconciles.due(before, ORDERS_AT_ONCE))
      await this.#order(newUlid(now, runtime.random), terminal, `due every ${everyHours} h`);
  }

  /** Once for each time that a terminal was restored, and again a while after a comparison that failed. */
  async #orderRestored(): Promise<void> {
    for (const { terminal, at } of await this.#parts.ledger.restores.restored(null, RESTORED_SHOWN)) {
      const owed = await this.#owed(terminal, at);
      if (owed !== null)
        await this.#order(`restored-${terminal}-${owed.since}`, terminal, `${terminal} was restored`, owed.mend);
    }
  }

  /** The comparison of a terminal restored at that time. Null: it was made, is under way, or has failed just now. */
  async #owed(terminal: TerminalId, at: Instant): Promise<{ readonly since: Instant; readonly mend: boolean } | null> {
    const { ledger, runtime } = this.#parts;
    const [last] = await ledger.reconciles.list(terminal, 1);
    if (last === undefined) return { since: at, mend: false };
    if (last.endedAt === null) return null;
    if (last.orderedAt < at) return { since: at, mend: false };
    if (last.state !== "failed" || later(last.endedAt, FAILED_AGAIN_MS) > runtime.clock.now()) return null;
    return { since: last.endedAt, mend: last.work.kind === "compare" && last.work.mend };
  }

  async #order(id: string, terminal: TerminalId, reason: string, mend = false): Promise<void> {
    try {
      await this.#parts.ledger.reconciles.order(
        id,
        terminalId(terminal),
        { kind: "compare", tables: null, mend },
        SYSTEM,
        reason,
      );
      this.ordered();
    } catch (thrown) {
      if (asWaybillError(thrown).code !== "STATE_CONFLICT") throw thrown; // somebody was first
    }
  }
}

/** Another worker has it, or a person cancelled it. */
class NotOurs extends WaybillError {
  constructor(id: string) {
    super("LEASE_LOST", `reconciliation ${id} is not this worker's any more`);
  }
}

/** The report of the one in work, written now and then, which also keeps its lease. */
class Desk {
  readonly #parts: ReconcilerParts;
  readonly #order: Reconcile;
  readonly #worker: WorkerId;
  #report: ReconcileReport = NOTHING_YET;
  #writtenAt = Number.NEGATIVE_INFINITY;
  #written: ReconcileReport = NOTHING_YET;

  constructor(parts: ReconcilerParts, order: Reconcile, worker: WorkerId) {
    this.#parts = parts;
    this.#order = order;
    this.#worker = worker;
  }

  report(change: Partial<ReconcileReport>): void {
    this.#report = { ...this.#report, ...change };
  }

  async alive(): Promise<void> {
    const { ledger, runtime } = this.#parts;
    const now = runtime.clock.elapsed();
    const fresh = this.#report !== this.#written;
    if (now - this.#writtenAt < (fresh ? REPORT_EVERY_MS / 5 : REPORT_EVERY_MS)) return;
    this.#writtenAt = now;
    this.#written = this.#report;
    if (!(await ledger.reconciles.report(this.#order.id, this.#worker, this.#report, LEASE_MS)))
      throw new NotOurs(this.#order.id);
  }

  async end(state: "done" | "failed", told: string): Promise<void> {
    await this.#parts.ledger.reconciles.end(
      this.#order.id,
      this.#worker,
      state,
      { ...this.#report, doing: null },
      told,
    );
  }
}
