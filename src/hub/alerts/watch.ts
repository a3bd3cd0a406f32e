import { backoffMs, type BackoffPolicy } from "../../base/backoff.ts";
import type { Instant } from "../../base/clock.ts";
import { asWaybillError, WaybillError } from "../../base/errors.ts";
import type { WorkerId } from "../../base/ids.ts";
import { newUlid, type Runtime } from "../../base/runtime.ts";
import type { Alert, Trouble } from "../../ledger/alerts.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { Seat } from "../../ledger/seats.ts";
import type { Log } from "../../observe/log.ts";
import { SeatKeeper } from "../seat-keeper.ts";
import { openChannel } from "./channel.ts";
import { LEDGER_RULES, ledgerTroubles, limitsOf } from "./rules.ts";
import type { AlertSettings } from "./settings.ts";
import type { Channel } from "./told.ts";

/** How often waiting notices are looked for. */
const DELIVER_EVERY_MS = 1_000;
const RETRY: BackoffPolicy = { firstMs: 5_000, factor: 2, capMs: 600_000 };
const SEAT = "alerts";
const SEAT_MS = 30_000;

/** What a process finds of what only it can see; null: that could not be seen just now. */
export type Look = () => Promise<readonly Trouble[] | null> | readonly Trouble[] | null;

export type AlertWatchParts = {
  readonly ledger: Pick<Ledger, "alerts" | "seats">;
  readonly settings: AlertSettings;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly process: WorkerId;
  /** What this process alone knows: reported to the ledger for whichever process has the seat. */
  readonly own: readonly Look[];
  /** What any process can see: looked at by the one that has the seat. By the rule's name. */
  readonly shared: Readonly<Record<string, Look>>;
};

/**
 * Looks whether something is wrong and tells people. Of several processes one looks and tells (the seat `alerts`), every one
 * reports what it alone knows.
 */
export class AlertWatch {
  readonly #parts: AlertWatchParts;
  readonly #channels: ReadonlyMap<string, Channel>;
  readonly #known = new Map<number, readonly Trouble[]>();
  #reports = false;

  constructor(parts: AlertWatchParts) {
    this.#parts = parts;
    const { runtime, log, settings } = parts;
    const tools = { hub: settings.hub, runtime, log };
    this.#channels = new Map(settings.channels.map((each) => [each.name, openChannel(each, tools)]));
  }

  /** Until `stop` is raised. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    const { ledger, runtime, log, process } = this.#parts;
    const { everyMs } = this.#parts.settings;
    const { seats } = ledger;
    const keeper = seats
      ? new SeatKeeper({ seats, name: SEAT, worker: process, leaseMs: SEAT_MS, runtime, log })
      : null;
    const tell = async (signal: AbortSignal): Promise<void> => {
      await Promise.all([
        this.#every(everyMs, signal, () => this.look(keeper?.seat ?? undefined)),
        this.#every(DELIVER_EVERY_MS, signal, () => this.deliver(signal)),
      ]);
    };
    await Promise.all([this.#every(everyMs, stop, () => this.report()), keeper ? keeper.run(stop, tell) : tell(stop)]);
  }

  async #every(ms: number, stop: AbortSignal, work: () => Promise<unknown>): Promise<void> {
    const { runtime, log } = this.#parts;
    while (!stop.aborted) {
      try {
        await work();
      } catch (thrown) {
        log.warn({ error: asWaybillError(thrown) }, "alerts.failed");
      }
      await runtime.timers.sleep(ms, stop);
    }
  }

  /** Tells the ledger what this process alone knows. */
  async report(): Promise<void> {
    const { ledger, own, process } = this.#parts;
    const looks = await Promise.all(own.map((look, i) => this.#own(look, i)));
    const troubles = looks.flat();
    if (troubles.length === 0 && !this.#reports) return;
    await ledger.alerts.report(process, troubles);
    this.#reports = troubles.length > 0;
  }

  /** What could not be seen just now is as it was. */
  async #own(look: Look, i: number): Promise<readonly Trouble[]> {
    try {
      const found = await look();
      if (found !== null) this.#known.set(i, found);
    } catch (thrown) {
      this.#parts.log.warn({ error: asWaybillError(thrown) }, "alerts.failed");
    }
    return this.#known.get(i) ?? [];
  }

  /** Looks at every rule once. */
  async look(seat?: Seat): Promise<void> {
    const { ledger, settings, shared, log } = this.#parts;
    const { rules, policy } = settings;
    const looked: string[] = [...LEDGER_RULES, ...REPORTED_RULES];
    const found = [...ledgerTroubles(await ledger.alerts.look(limitsOf(rules)), rules)];
    for (const [rule, look] of Object.entries(shared)) {
      try {
        const troubles = await look();
        if (troubles === null) continue;
        looked.push(rule);
        found.push(...troubles);
      } catch (thrown) {
        log.warn({ error: asWaybillError(thrown) }, "alerts.failed"); // what is open of this rule stays open
      }
    }
    await ledger.alerts.observe(looked, found, policy, seat);
  }

  /** Tells each channel what it was not told yet, in order. */
  async deliver(stop?: AbortSignal): Promise<void> {
    const { alerts } = this.#parts.ledger;
    const { channels } = this.#parts.settings.policy;
    let told: readonly boolean[];
    do {
      const due = await alerts.due(channels);
      told = await Promise.all(due.map((notice) => this.#tell(notice)));
      if (stop?.aborted) return;
    } while (told.some(Boolean));
  }

  async #tell(notice: Awaited<ReturnType<Ledger["alerts"]["due"]>>[number]): Promise<boolean> {
    const { ledger, runtime, log } = this.#parts;
    const { id, channel, key } = notice;
    try {
      await this.#channels.get(channel)?.tell(notice);
    } catch (thrown) {
      const error = asWaybillError(thrown);
      const waitMs = RETRY.firstMs + backoffMs(Math.min(notice.attempts + 1, 32), RETRY, runtime.random);
      const outcome = await ledger.alerts.failed(id, error.what, waitMs);
      log.warn({ channel, notice: key, attempts: notice.attempts + 1, outcome, error }, "alert.undelivered");
      return false;
    }
    await ledger.alerts.delivered(id);
    log.debug({ channel, notice: key }, "alert.delivered");
    return true;
  }

  /** Tries a channel with a notice of its own, at once and once. @throws NOT_FOUND; NOTICE_UNDELIVERED */
  async test(name: string): Promise<{ readonly channel: string; readonly key: string }> {
    const { runtime } = this.#parts;
    const channel = this.#channels.get(name);
    if (!channel) {
      const known = [...this.#channels.keys()].join(", ");
      throw new WaybillError("NOT_FOUND", `there is no channel ${JSON.stringify(name)}; there are ${known}`);
    }
    const at = runtime.clock.now();
    const alert = trial(newUlid(at, runtime.random), at);
    const key = `${alert.id}/1`;
    await channel.tell({ key, kind: "test", at, alert });
    return { channel: name, key };
  }
}

/** Rules whose troubles come from the processes' reports. */
const REPORTED_RULES = ["breaker-open", "disk-low"] as const;

const trial = (id: string, at: Instant): Alert => ({
  id,
  rule: "test",
  subject: "",
  what: "This is a trial of the channel; nothing is wrong.",
  count: null,
  facts: {},
  raisedAt: at,
  clearedAt: null,
  seen: null,
});
