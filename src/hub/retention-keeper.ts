import { asWaybillError, WaybillError } from "../base/errors.ts";
import { SYSTEM, type Actor, type WorkerId, type By, actorOf } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import { RETENTION_KINDS, type Keep, type RetentionKind, type RetentionOutlook } from "../ledger/retention.ts";
import type { Ledger } from "../ledger/port.ts";
import type { Seat } from "../ledger/seats.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";

export type RetentionSettings = {
  readonly keep: Keep;
  /** 0: only when a person asks for it. */
  readonly everyMs: number;
};
type Counts = Readonly<Partial<Record<RetentionKind, number>>>;
/** A pass, under way or over. */
export type RetentionPass = {
  readonly by: Actor;
  readonly startedAt: number;
  /** What it is at; null when it has ended. */
  readonly kind: RetentionKind | null;
  readonly removed: Counts;
  /** Of payload, where the ledger knows it. */
  readonly bytes: number;
  readonly endedAt: number | null;
  /** Why it ended before its time; the next one goes on. */
  readonly failed: string | null;
};
export type RetentionState = {
  readonly keep: Keep;
  readonly everyMs: number;
  readonly outlook: readonly RetentionOutlook[];
  /** Of this process. */
  readonly pass: RetentionPass | null;
};

type Parts = {
  readonly ledger: Pick<Ledger, "retention" | "trail" | "seats">;
  readonly settings: RetentionSettings;
  readonly runtime: Pick<Runtime, "clock" | "timers">;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly worker: WorkerId;
};

/** The seat of the one process that takes away. */
const SEAT = "retention";
const SEAT_MS = 60_000;
/** A step aims to take no longer than this, whatever the disk. */
const STEP_MS = 10;
const [FEWEST, MOST] = [16, 4_096];
/** After a step as much rest as so many steps: ingest and loading keep what they had. */
const REST_SHARE = 4;

/** Takes away what is over and beyond its time, on its beat or when a person asks, in steps with rests between. One pass at a time in all processes. */
export class RetentionKeeper implements AsyncDisposable {
  readonly #parts: Parts;
  readonly #timer: Disposable | null;
  readonly #stop = new AbortController();
  #pass: RetentionPass | null = null;
  #running: Promise<unknown> = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
    const { everyMs } = parts.settings;
    const failed = (thrown: unknown): void => parts.log.warn({ error: asWaybillError(thrown) }, "retention.failed");
    this.#timer = everyMs === 0 ? null : parts.runtime.timers.every(everyMs, () => this.#onBeat(), failed);
  }

  async state(): Promise<RetentionState> {
    const { ledger, settings } = this.#parts;
    const outlook = await ledger.retention.outlook(settings.keep);
    return { ...settings, outlook, pass: this.#pass };
  }

  /** Begins a pass and does not wait for its end. @throws STATE_CONFLICT while there is one, here or in another process */
  async begin(by: By): Promise<RetentionPass> {
    if (this.#isBusy) throw new WaybillError("STATE_CONFLICT", "a retention pass is under way already");
    const claimed = this.#show({ by: actorOf(by), startedAt: this.#parts.runtime.clock.now(), kind: "messages" });
    let seat: Seat | null;
    try {
      seat = await this.#seat();
    } catch (thrown) {
      this.#pass = null;
      throw thrown;
    }
    if (seat === null && this.#parts.ledger.seats) {
      this.#pass = null;
      throw new WaybillError("STATE_CONFLICT", "another hub process is at a retention pass");
    }
    this.#running = this.#run(seat, by);
    return claimed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#stop.abort();
    await this.#running;
  }

  get #isBusy(): boolean {
    return this.#pass !== null && this.#pass.endedAt === null;
  }

  async #onBeat(): Promise<void> {
    if (this.#isBusy) return;
    try {
      await this.begin(SYSTEM);
    } catch (thrown) {
      if (asWaybillError(thrown).code !== "STATE_CONFLICT") throw thrown;
    }
  }

  #show(news: Partial<RetentionPass>): RetentionPass {
    const fresh = { by: SYSTEM, startedAt: 0, kind: null, removed: {}, bytes: 0, endedAt: null, failed: null };
    return (this.#pass = { ...(this.#isBusy && this.#pass ? this.#pass : fresh), ...news });
  }

  /** Null where a ledger has one process, or another process has the seat. */
  async #seat(): Promise<Seat | null> {
    const { ledger, worker } = this.#parts;
    return (await ledger.seats?.take(SEAT, worker, SEAT_MS)) ?? null;
  }

  /** Never rejects: a pass that fails is told, and the next one goes on where it was. */
  async #run(seat: Seat | null, by: By): Promise<void> {
    const { ledger, runtime, log } = this.#parts;
    try {
      for (const kind of RETENTION_KINDS) {
        this.#show({ kind });
        await this.#takeAway(kind, seat);
      }
      await this.#ended(by);
    } catch (thrown) {
      const error = asWaybillError(thrown);
      this.#show({ kind: null, endedAt: runtime.clock.now(), failed: error.message });
      if (!this.#stop.signal.aborted) log.warn({ error }, "retention.failed");
    }
    if (seat) await ledger.seats?.leave(seat).catch(() => undefined); // then it runs out by itself
  }

  async #takeAway(kind: RetentionKind, seat: Seat | null): Promise<void> {
    const { ledger, settings, runtime, metrics } = this.#parts;
    let rows = FEWEST * 8;
    let heardAt = runtime.clock.elapsed();
    for (let next: number | null = 0; next !== null;) {
      const began = runtime.clock.elapsed();
      if (seat && began - heardAt > SEAT_MS / 3) {
        if ((await this.#seat())?.fence !== seat.fence)
          throw new WaybillError("LEASE_LOST", "another hub process took the retention pass over");
        heardAt = began;
      }
      const step = await ledger.retention.step(kind, settings.keep, next, rows);
      const took = runtime.clock.elapsed() - began;
      const { removed = {}, bytes = 0 } = this.#pass ?? {};
      this.#show({ removed: { ...removed, [kind]: (removed[kind] ?? 0) + step.removed }, bytes: bytes + step.bytes });
      metrics.add("waybill_retention_removed_total", step.removed, { kind });
      if (took < STEP_MS / 2) rows = Math.min(MOST, rows * 2);
      else if (took > STEP_MS) rows = Math.max(FEWEST, Math.floor(rows / 2));
      next = step.next;
      await runtime.timers.sleep(Math.max(1, took * REST_SHARE), this.#stop.signal);
      if (this.#stop.signal.aborted) throw new WaybillError("UNAVAILABLE", "the hub is stopping");
    }
  }

  async #ended(by: By): Promise<void> {
    const { ledger, runtime, log, metrics } = this.#parts;
    const { startedAt, removed, bytes } = this.#show({ kind: null, endedAt: runtime.clock.now() });
    const seconds = Math.max(0, runtime.clock.now() - startedAt) / 1_000;
    metrics.set("waybill_retention_pass_seconds", seconds, {});
    const lost = Object.values(removed).some((n) => n > 0);
    log[lost ? "info" : "debug"]({ by: actorOf(by), removed, bytes, seconds }, "retention.ended");
    // A pass that found nothing is told only to whoever asked for it: the trail would hold little else.
    if (lost || by !== SYSTEM) await ledger.trail.note("retention ended", null, by, removedText(removed, bytes));
  }
}

const NAMES: Readonly<Record<RetentionKind, string>> = {
  messages: "stored runs of messages",
  keys: "searchable values",
  exceptions: "late loads",
  events: "events",
  updates: "updates",
  history: "points of history",
  lists: "lists and tokens",
};
export function removedText(removed: Counts, bytes: number): string {
  const parts = RETENTION_KINDS.flatMap((kind) => {
    const n = removed[kind] ?? 0;
    return n === 0 ? [] : [`${n} ${NAMES[kind]}`];
  });
  if (parts.length === 0) return "nothing was beyond its time";
  return `${parts.join(", ")} taken away${bytes > 0 ? `, ${(bytes / 1_048_576).toFixed(1)} MiB of payload` : ""}`;
}
