import type { Instant } from "../base/clock.ts";
import { termOf, type UpdateId } from "../base/ids.ts";
import type { Overview } from "../ledger/trail.ts";

/** One look at the counters: running totals, not rates; whoever draws them takes differences. */
export type Point = {
  readonly at: Instant;
  readonly received: number;
  readonly loaded: number;
  /** Head of the update log. */
  readonly out: UpdateId;
  readonly backlog: number;
  readonly dead: number;
  readonly open: number;
};
/** Messages, and entries of the update log, a second. */
export type Rates = { readonly received: number; readonly loaded: number; readonly out: number };

const POINTS = 600;
const RATE_OVER_MS = 5_000;

/** The last ten minutes by the second, in memory; the ledger's history has the days before. */
export class Recent {
  readonly #points: Point[] = [];

  add(at: Instant, { received, loaded, backlog, dead, held, retrying, updatesHead }: Overview): void {
    this.#points.push({ at, received, loaded, out: updatesHead, backlog, dead, open: dead + held + retrying });
    if (this.#points.length > POINTS) this.#points.shift();
  }

  /** Oldest first. */
  points(): readonly Point[] {
    return this.#points;
  }

  /** Over the last few seconds; 0 until two looks were taken. */
  rates(): Rates {
    const now = this.#points.at(-1);
    const then = now && this.#points.find((point) => point.at >= now.at - RATE_OVER_MS);
    if (!now || !then || now.at <= then.at) return { received: 0, loaded: 0, out: 0 };
    const perSecond = (grown: number): number => Math.max(0, (grown * 1_000) / (now.at - then.at));
    // A new term begins a new numbering: then nobody can say how many there were.
    const sameTerm = termOf(now.out) === termOf(then.out);
    return {
      received: perSecond(now.received - then.received),
      loaded: perSecond(now.loaded - then.loaded),
      out: sameTerm ? perSecond(now.out - then.out) : 0,
    };
  }
}
