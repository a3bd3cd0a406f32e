import type { LaneName, Seq } from "../base/ids.ts";
import type { Passed } from "../database/port.ts";
import type { Claim, LaneOutcome } from "../ledger/port.ts";

/** What became of a batch of claims. Every claim is in exactly one of the lists. */
export type LoadReport = {
  /** Committed at the centre; to be settled. */
  readonly outcomes: readonly LaneOutcome[];
  /** The centre's version was not the claim's: nothing of these lanes was done. The ledger adopts these words of the centre. */
  readonly moved: readonly {
    readonly lane: LaneName;
    readonly fence: number;
    readonly loadedThrough: Seq;
    readonly version: number;
    readonly passed: readonly Passed[];
  }[];
  /** Changes applied, for the rate figure. */
  readonly changes: number;
};

export interface Loader {
  /**
   * Loads all claims in one central transaction: watermarks by compare-and-set, effects, messages passed over. What the
   * database refuses is isolated to messages; those become exceptions in the report.
   * @throws an infrastructure fault (blame `target`): nothing was committed and nothing is judged, or (CENTRAL_UNAVAILABLE at
   * the commit) it is unknown; the next claim finds out by the version.
   */
  load(claims: readonly Claim[]): Promise<LoadReport>;
}
