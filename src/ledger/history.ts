import type { Instant } from "../base/clock.ts";
import type { WorkerId } from "../base/ids.ts";

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
export const LAG_LIMITS_MS = [
  50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 60_000, 300_000, 1_800_000, 3_600_000,
] as const;

export const MINUTE_MS = 60_000;
/** Minutes are kept this long; of older ones only the first of each hour, as totals run on and lose nothing but detail. */
export const MINUTES_KEPT_MS = 48 * 3_600_000;
export const HOURS_KEPT_MS = 90 * 24 * 3_600_000;

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
