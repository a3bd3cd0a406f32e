import type { LaneName, Seq, TerminalId } from "../base/ids.ts";
import type { Passed } from "../database/port.ts";
import type { KeySets } from "../ledger/key-sets.ts";
import type { Claim, LaneOutcome } from "../ledger/port.ts";
import type { Row } from "../message/change.ts";
import type { Fault } from "./plan.ts";
import type { TraceContext } from "../observe/trace-context.ts";
import type { Tripped } from "./routes.ts";

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
  /** Routes that were found broken; what was refused for it is held in the outcomes. To be paused before those are settled. */
  readonly tripped: readonly Tripped[];
  /** Changes applied, for the rate figure. */
  readonly changes: number;
  /** Where the claimed messages that are traced stand in their traces; absent when nobody traces. */
  readonly traces?: readonly TracedMessage[];
};

/** A message that was claimed and read, whatever became of it. */
export type TracedMessage = { readonly lane: LaneName; readonly seq: Seq; readonly context: TraceContext };

export interface Loader {
  /**
   * Loads all claims in one central transaction: watermarks by compare-and-set, effects, messages passed over. What the
   * database refuses is isolated to messages; those become exceptions in the report.
   * @throws an infrastructure fault (blame `target`): nothing was committed and nothing is judged, or (CENTRAL_UNAVAILABLE at
   * the commit) it is unknown; the next claim finds out by the version.
   */
  load(claims: readonly Claim[]): Promise<LoadReport>;
  /**
   * Tries one message as its next late load would, alone, and takes all of it back. Nobody is judged by it.
   * @throws an infrastructure fault; NOT_FOUND when its line is no longer stored
   */
  rehearse(order: RehearsalOrder): Promise<Rehearsal>;
}

export type RehearsalOrder = {
  readonly lane: LaneName;
  readonly terminal: TerminalId;
  readonly tags: Readonly<Record<string, string>>;
  readonly seq: Seq;
  readonly loadedThrough: Seq;
  /** What it was known to touch when it was passed over. */
  readonly sets: KeySets | null;
  /** The line to try in place of the one that came; null: the one that came. */
  readonly revision: Uint8Array | null;
  /** False: its rows are only looked at, nothing is tried. */
  readonly apply: boolean;
};
export type Rehearsal = {
  /** Why it would be refused; null: it would be loaded. */
  readonly fault: Fault | null;
  readonly notes: readonly { readonly kind: string; readonly detail: string }[];
  /** The centre's rows that it changes, by their names there, at most 200: as they are now and as they would be. */
  readonly rows: readonly {
    readonly table: string;
    readonly key: Row;
    readonly now: Row | null;
    readonly after: Row | null;
  }[];
};
