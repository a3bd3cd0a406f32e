import type { Instant } from "../base/clock.ts";
import type { WorkerId } from "../base/ids.ts";
import { LAG_SECONDS } from "../observe/metric-list.ts";

/** The whole ledger at the end of a minute. `received` and `loaded` are running totals: rates are their differences. */
export type MinuteTotals = {
  readonly received: number;
  readonly loaded: number;
  readonly backlog: number;
  /** Age of the oldest message waiting, in milliseconds; 0 when none waits. */
  readonly oldestMs: number;
  readonly retrying: number;
  readonly held: number;
  readonly dead: number;
};
/** What one process did within a minute. Summed over processes it is what all did. */
export type MinuteFlow = {
  /** Entries written to the update log. */
  readonly out: number;
  /** Loads by the time from the terminal's commit to the centre's: a count for each of `LAG_LIMITS_MS`, and one above all. */
  readonly lag: readonly number[];
};
/** `at`: the minute's beginning. */
export type Minute = MinuteTotals & MinuteFlow & { readonly at: Instant };

/** Upper limits of the classes that lags are counted in, in milliseconds. Never changed once stored: add a column instead. */
export const LAG_LIMITS_MS: readonly number[] = LAG_SECONDS.map((seconds) => seconds * 1_000);

export const MINUTE_MS = 60_000;
/** Minutes are kept this long; of older ones only the first of each hour, as totals run on and lose nothing but detail. Those stay until retention takes them. */
export const MINUTES_KEPT_MS = 48 * 3_600_000;

/** How things were, minute by minute: bounded, and there after a restart. */
export interface History {
  /**
   * Writes the minute that has just ended by the ledger's clock. Of several processes the first one's totals stand, and
   * every one's flow counts; writing a minute again replaces the process's own flow. Older minutes are thinned out.
   */
  record(process: WorkerId, totals: MinuteTotals, flow: MinuteFlow): Promise<void>;
  /** Oldest first. */
  since(at: Instant): Promise<readonly Minute[]>;
}

export const minuteBefore = (now: Instant): number => Math.floor(now / MINUTE_MS) * MINUTE_MS - MINUTE_MS;

export type FlowRow = { readonly at: Instant; readonly out: number; readonly lag: string };
type TotalsRow = MinuteTotals & { readonly at: Instant };

/** Joins the rows of both tables; both are few (a day has 1,440 minutes). */
export function minutesOf(totals: readonly TotalsRow[], flows: readonly FlowRow[]): readonly Minute[] {
  const byMinute = Map.groupBy(flows, ({ at }) => at);
  return totals.map((row) => {
    const mine = byMinute.get(row.at) ?? [];
    const lag = Array.from({ length: LAG_LIMITS_MS.length + 1 }, () => 0);
    for (const flow of mine)
      (JSON.parse(flow.lag) as readonly number[]).forEach((n, i) => (lag[i] = (lag[i] ?? 0) + n));
    return { ...row, out: mine.reduce((sum, flow) => sum + flow.out, 0), lag };
  });
}

/**
 * The lag that `share` of the loads stayed below, in milliseconds; null when nothing was loaded. Between two limits it is
 * taken as evenly spread, and above the last one as that limit.
 */
export function lagAt(share: number, counts: readonly number[]): number | null {
  const total = counts.reduce((sum, n) => sum + n, 0);
  if (total === 0) return null;
  let below = 0;
  for (const [i, n] of counts.entries()) {
    const [from, to] = [LAG_LIMITS_MS[i - 1] ?? 0, LAG_LIMITS_MS[i]];
    if (to === undefined) return from;
    if (below + n >= share * total) return from + ((to - from) * (share * total - below)) / n;
    below += n;
  }
  return LAG_LIMITS_MS.at(-1) ?? null;
}
export const sumOf = (minutes: readonly Minute[]): readonly number[] =>
  Array.from({ length: LAG_LIMITS_MS.length + 1 }, (_, i) => minutes.reduce((sum, { lag }) => sum + (lag[i] ?? 0), 0));
