import type { FaultCode } from "../base/errors.ts";
import type { Personal } from "./discreet.ts";
import type { Change } from "../message/change.ts";

/** What a transform is told about the message its change belongs to. Nothing else: it is pure, so that a replay gives the same. */
export type TransformContext = {
  readonly terminal: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly seq: number;
  /** Commit time at the terminal, ISO 8601. */
  readonly at: string;
  /** All changes of the message, as they came. */
  readonly changes: readonly Change[];
};
/** Gives the changes (in target names) that this change becomes: one, several, or none. Throwing makes the message an exception. */
export type Transform = (change: Change, context: TransformContext) => Change | readonly Change[] | null;

/** What happens when the row at the centre is not what the terminal last saw. */
export type Conflict =
  | { readonly policy: "terminal" }
  | { readonly policy: "central" }
  | { readonly policy: "detect" }
  /** The later value of this column wins; equal values: the terminal's. */
  | { readonly policy: "newest"; readonly column: string }
  /** These numeric columns are applied as differences (after − before), so that tills selling the same stock add up. */
  | { readonly policy: "add"; readonly columns: readonly string[] };

/** How changes of one table are loaded; made from the config. Names on the left are the sender's, on the right the target's. */
export type TableRule = {
  readonly source: string;
  readonly target: string;
  /** Source column → target column, where they differ. Columns not named keep their name. */
  readonly rename: ReadonlyMap<string, string>;
  /** Source columns that are not loaded. */
  readonly ignore: ReadonlySet<string>;
  /** A column of the source that the target does not have. */
  readonly unknownColumns: "refuse" | "ignore";
  /** Target column whose value must be the terminal's id, or the value of one of its tags. */
  readonly owner: { readonly column: string; readonly is: "terminal" | { readonly tag: string } } | null;
  readonly conflict: Conflict;
  /** An insert whose key is already there with other values and not the same owner's. */
  readonly onExisting: "refuse" | "overwrite" | "keep";
  readonly transform: Transform | null;
  /** Changes of this table at the centre go down to terminals, so loads compare and record their origin. */
  readonly alsoDown: boolean;
  /** Where this table's refusals are retried otherwise than the rest; null: as `Rules.retry` says. */
  readonly retry: RetryPolicy | null;
};

export type RetryPolicy = {
  /** Attempts in all, the first included; after that the message is dead. */
  readonly attempts: number;
  readonly firstMs: number;
  readonly factor: number;
  readonly capMs: number;
  /** How much of each wait is left to chance, from 0 (nothing) to 1 (all of it). */
  readonly jitter: number;
  /** The faults that are tried again; null: all that may pass later (blame `either`). */
  readonly codes: readonly FaultCode[] | null;
};
export type Rules = {
  /** By source table. A table that is not here is refused with TABLE_UNKNOWN. */
  readonly tables: ReadonlyMap<string, TableRule>;
  readonly retry: RetryPolicy;
  /** Open exceptions of a lane above which it stops. */
  readonly maxOpen: number;
  /** Values that no words about a message may quote; absent: none. */
  readonly personal?: Personal;
};
