import type { Instant } from "../base/clock.ts";
import type { Overview } from "../ledger/port.ts";

/** One look at the counters: running totals, not rates; whoever draws them takes differences. */
export type Point = {
  readonly at: Instant;
  readonly received: number;
  readonly loaded: number;
  readonly backlog: number;
  readonly dead: number;
  readonly open: number;
};
/** How fine, and so how far back, the history is asked for. */
export const SPANS = ["minutes", "hours"] as const;
export type Span = (typeof SPANS)[number];

const FINE_POINTS = 600;
const COARSE_MS = 60_000;
const COARSE_POINTS = 24 * 60;
const RATE_OVER_MS = 5_000;

/**
 * The last ten minutes by the second and the last day by the minute, in memory: it begins anew with the hub. About 200 kB.
 */
export class History {
  readonly #fine: Point[] = [];
  readonly #coarse: Point[] = [];

  add(at: Instant, { received, loaded, backlog, dead, held, retrying }: Overview): void {
    const point = { at, received, loaded, backlog, dead, open: dead + held + retrying };
    push(this.#fine, point, FINE_POINTS);
    const last = this.#coarse.at(-1);
    if (!last || at - last.at >= COARSE_MS) push(this.#coarse, point, COARSE_POINTS);
  }

  /** Oldest first, and up to now whatever the span. */
  of(span: Span): readonly Point[] {
    if (span === "minutes") return this.#fine;
    const now = this.#fine.at(-1);
    return now && now !== this.#coarse.at(-1) ? [...this.#coarse, now] : this.#coarse;
  }

  /** Messages a second over the last few seconds; 0 until two looks were taken. */
  rates(): { readonly received: number; readonly loaded: number } {
    const now = this.#fine.at(-1);
    const then = now && this.#fine.find((point) => point.at >= now.at - RATE_OVER_MS);
    if (!now || !then || now.at <= then.at) return { received: 0, loaded: 0 };
    const perSecond = (grown: number): number => Math.max(0, (grown * 1_000) / (now.at - then.at));
    return { received: perSecond(now.received - then.received), loaded: perSecond(now.loaded - then.loaded) };
  }
}

function push(points: Point[], point: Point, most: number): void {
  points.push(point);
  if (points.length > most) points.shift();
}
