import { later } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import type { BrowserSideParts } from "../hub/api/browser-side.ts";
import type { OpenAlerts } from "../ledger/alerts.ts";
import type { FleetSummary } from "../ledger/fleet.ts";
import { lagAt, sumOf } from "../ledger/history.ts";
import type { Overview } from "../ledger/trail.ts";
import { down, type HealthReport } from "../observe/health.ts";
import { changesBetween } from "./changes.ts";
import { Recent, type Rates } from "./recent.ts";

/** What a browser knows: told whole at first, then what has changed of it once a second. */
export type Picture = {
  readonly at: number;
  readonly overview: Overview;
  readonly rates: Rates;
  /** From commit at the terminal to commit at the centre, of what was loaded in the last quarter of an hour. */
  readonly lag: { readonly p50Ms: number; readonly p99Ms: number } | null;
  readonly health: HealthReport;
  readonly fleet: FleetSummary;
  readonly alerts: OpenAlerts;
};

const LOOK_EVERY_MS = 1_000;
/** A walk over all terminals, while somebody watches; not at every look. */
const FLEET_EVERY_MS = 3_000;
/** And while nobody does, so that whoever comes is told at once. */
const FLEET_READY_MS = 30_000;
/** The ledger has a new minute once a minute. */
const LAG_EVERY_MS = 10_000;
const LAG_OVER_MS = 15 * 60_000;
const MOST_STREAMS = 200;
/** A stream ends after so long and the browser comes back: a session that has ended ends its stream, too. */
const STREAM_MS = 5 * 60_000;

/** Looks at the hub once a second on behalf of all browsers together. */
export class Watch implements Disposable {
  readonly recent = new Recent();
  readonly #parts: BrowserSideParts;
  readonly #timers: readonly Disposable[];
  readonly #ended = new AbortController();
  #streams = 0;
  #newest: { readonly picture: Promise<Picture>; readonly at: number } | null = null;
  #lag: { readonly lag: Picture["lag"]; readonly at: number } | null = null;
  #fleet: { readonly summary: FleetSummary; readonly at: number } | null = null;
  #walking: Promise<FleetSummary> | null = null;

  constructor(parts: BrowserSideParts) {
    this.#parts = parts;
    const { ledger, runtime, log } = parts;
    const look = async (): Promise<void> => this.recent.add(runtime.clock.now(), await ledger.trail.overview());
    const complain = (error: unknown): void => log.warn({ error }, "capacity.unknown");
    const ready = async (): Promise<void> => void (await this.#walk());
    this.#timers = [
      runtime.timers.every(LOOK_EVERY_MS, look, complain),
      runtime.timers.every(FLEET_READY_MS, ready, complain),
    ];
  }

  /** Server-sent events, the first at once. Ends when `signal` is raised or the hub shuts down. @throws OVERLOADED */
  stream(signal: AbortSignal): AsyncIterable<Uint8Array> {
    if (this.#streams >= MOST_STREAMS)
      throw new WaybillError("OVERLOADED", `${MOST_STREAMS} browsers watch already`, {
        facts: { retryAfterSeconds: 5 },
      });
    return this.#pictures(AbortSignal.any([signal, this.#ended.signal]));
  }

  end(): void {
    this.#ended.abort();
  }
  [Symbol.dispose](): void {
    this.end();
    for (const timer of this.#timers) timer[Symbol.dispose]();
  }

  async *#pictures(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { clock, timers } = this.#parts.runtime;
    const began = clock.elapsed();
    let known: Picture | null = null;
    this.#streams++;
    try {
      while (!signal.aborted && clock.elapsed() - began < STREAM_MS) {
        const picture = await this.#shared().catch(() => null);
        yield Buffer.from(told(known, picture));
        known = picture ?? known;
        await timers.sleep(LOOK_EVERY_MS, signal);
      }
    } finally {
      this.#streams--;
    }
  }

  /** One picture for all who watch at about the same time: two hundred browsers cost the ledger hardly more than one. */
  #shared(): Promise<Picture> {
    const at = this.#parts.runtime.clock.elapsed();
    if (!this.#newest || at - this.#newest.at >= LOOK_EVERY_MS / 2) this.#newest = { picture: this.#picture(), at };
    return this.#newest.picture;
  }

  async #picture(): Promise<Picture> {
    const { ledger, runtime, health } = this.#parts;
    const [overview, report, fleet, lag, alerts] = await Promise.all([
      ledger.trail.overview(),
      health(),
      this.#summary(),
      this.#lagOfLate(),
      ledger.alerts.open(),
    ]);
    return { at: runtime.clock.now(), overview, rates: this.recent.rates(), lag, health: report, fleet, alerts };
  }

  async #lagOfLate(): Promise<Picture["lag"]> {
    const { ledger, runtime } = this.#parts;
    const at = runtime.clock.elapsed();
    if (!this.#lag || at - this.#lag.at >= LAG_EVERY_MS) {
      const counts = sumOf(await ledger.history.since(later(runtime.clock.now(), -LAG_OVER_MS)));
      const [p50Ms, p99Ms] = [lagAt(0.5, counts), lagAt(0.99, counts)];
      this.#lag = { lag: p50Ms === null || p99Ms === null ? null : { p50Ms, p99Ms }, at };
    }
    return this.#lag.lag;
  }

  /**
   * The last walk's, while the next one is under way: over ten thousand terminals it takes long enough to be noticed by whoever opens the
   * page. Only the first of all is waited for.
   */
  async #summary(): Promise<FleetSummary> {
    const { runtime, log } = this.#parts;
    const known = this.#fleet;
    if (!known) return this.#walk();
    if (runtime.clock.elapsed() - known.at >= FLEET_EVERY_MS)
      this.#walk().catch((error: unknown) => log.warn({ error }, "capacity.unknown"));
    return known.summary;
  }

  #walk(): Promise<FleetSummary> {
    const { ledger, runtime } = this.#parts;
    this.#walking ??= (async () => {
      try {
        const summary = await ledger.fleet.summary();
        this.#fleet = { summary, at: runtime.clock.elapsed() };
        return summary;
      } finally {
        this.#walking = null;
      }
    })();
    return this.#walking;
  }
}

/** The event for who knows `known`. A ledger that does not answer is told as such (the look once a second logs it). */
function told(known: Picture | null, picture: Picture | null): string {
  if (picture === null) return `event: blind\ndata: ${JSON.stringify(down("the ledger does not answer"))}\n\n`;
  if (known === null) return `event: picture\ndata: ${JSON.stringify(picture)}\n\n`;
  return `event: changes\ndata: ${JSON.stringify(changesBetween(known, picture))}\n\n`;
}
