import type { Instant } from "../base/clock.ts";
import type { ErrorFacts, FaultCode } from "../base/errors.ts";
import type { Actor, LaneName, Seq, TerminalId, WorkerId, By } from "../base/ids.ts";
import type { Row, WireValue } from "../message/change.ts";

/** Comparing a terminal's tables with the centre's, or sending given rows again of what such a comparison found. */
export type ReconcileWork =
  /** `tables`: by the terminals' names; null: all that are configured. `mend`: what is found is repaired at once. */
  | { readonly kind: "compare"; readonly tables: readonly string[] | null; readonly mend: boolean }
  /** `numbers`: of the differences; null: all that can be repaired. `removals`: rows that only the terminal has of a table that comes down are taken away there. */
  | {
      readonly kind: "repair";
      readonly of: string;
      readonly numbers: readonly number[] | null;
      readonly removals: boolean;
    };
export type ReconcileState = "waiting" | "running" | "done" | "failed" | "cancelled";

export type Reconcile = {
  readonly id: string;
  readonly terminal: TerminalId;
  readonly work: ReconcileWork;
  readonly state: ReconcileState;
  readonly by: Actor;
  readonly reason: string;
  readonly orderedAt: Instant;
  readonly endedAt: Instant | null;
  readonly report: ReconcileReport;
};
/** Where a reconciliation stands among all. */
export type ReconcilePlace = Pick<Reconcile, "orderedAt" | "id">;
export type ReconcileReport = {
  /** What is being done, for people; null before and after. */
  readonly doing: string | null;
  readonly tables: readonly TableReport[];
  /** Of a repair. */
  readonly sent: { readonly up: number; readonly down: number; readonly healed: number };
  /** Why it failed. */
  readonly fault: { readonly code: FaultCode; readonly what: string; readonly facts?: ErrorFacts } | null;
};
export const NOTHING_YET: ReconcileReport = {
  doing: null,
  tables: [],
  sent: { up: 0, down: 0, healed: 0 },
  fault: null,
};

export type TableReport = {
  readonly table: string;
  readonly direction: "up" | "down" | "both";
  /** Why it was not compared; null: it was. */
  readonly skipped: string | null;
  readonly rowsAtCentre: number;
  readonly rowsAtTerminal: number;
  readonly missingAtCentre: number;
  readonly missingAtTerminal: number;
  readonly different: number;
  /** Rows that were not the same at first, and were the same when what was under way had arrived. */
  readonly underWay: number;
  /** Rows that changed each time they were looked at: nothing is said of them. */
  readonly unsettled: number;
  /** Columns that are not compared: one side does not have them, or they are sums of several terminals. */
  readonly leftOut: readonly string[];
  /** False: there are more differences than are listed. */
  readonly complete: boolean;
};

export const DIFFERENCES = {
  "missing at centre": "the terminal has the row, the centre has not",
  "missing at terminal": "the centre has the row, the terminal has not",
  different: "both have the row, with other values",
} as const;
export type DifferenceKind = keyof typeof DIFFERENCES;
export type Difference = {
  /** From 1, in the order found. */
  readonly n: number;
  readonly table: string;
  readonly key: Row;
  readonly kind: DifferenceKind;
  /** The columns that differ, with both values. */
  readonly columns: readonly { readonly name: string; readonly terminal: WireValue; readonly centre: WireValue }[];
  /** The message off the happy path that writes this row: it explains the difference, and loading it ends it. */
  readonly because: { readonly lane: LaneName; readonly seq: Seq; readonly state: string } | null;
  /** How it can be repaired: the row as the terminal has it goes up, as the centre has it comes down, or is taken away at the terminal; null: by nobody but a person. */
  readonly repair: "up" | "down" | "removal" | null;
  readonly repaired: "healed" | "still different" | null;
};

/** Reconciliations and what they found. Of each terminal the newest `KEPT` are kept. */
export interface Reconciles {
  /** With its event. The same id again gives what is there. @throws STATE_CONFLICT with `id` while one of this terminal is not over */
  order(id: string, terminal: TerminalId, work: ReconcileWork, by: By, reason: string): Promise<Reconcile>;
  /** The oldest that is not over and nobody's at present; it is this worker's for `leaseMs`. */
  claim(worker: WorkerId, leaseMs: number): Promise<Reconcile | null>;
  /** Keeps the report and the lease; false: it is another's now, or was cancelled. */
  report(id: string, worker: WorkerId, report: ReconcileReport, leaseMs: number): Promise<boolean>;
  /** Writes differences, replacing those of the same number. */
  found(id: string, differences: readonly Difference[]): Promise<void>;
  /** Ends it, with its event; false: it is another's now, or was cancelled. */
  end(id: string, worker: WorkerId, state: "done" | "failed", report: ReconcileReport, told: string): Promise<boolean>;
  /** @throws NOT_FOUND; STATE_CONFLICT when it is over */
  cancel(id: string, by: By, reason: string): Promise<void>;
  get(id: string): Promise<Reconcile | null>;
  /** Those of the terminal, newest first. */
  list(terminal: TerminalId, limit: number): Promise<readonly Reconcile[]>;
  /** Those of all terminals, newest first; `before` is the last one of the page before. */
  newest(limit: number, before: ReconcilePlace | null): Promise<readonly Reconcile[]>;
  /** In the order of their numbers, behind `after`. */
  differences(id: string, after: number, limit: number): Promise<readonly Difference[]>;
  /** Enrolled terminals for which no comparison was ordered since `before`. */
  due(before: Instant, limit: number): Promise<readonly TerminalId[]>;

  /** One question at a time waits for each terminal; another one replaces it. */
  ask(terminal: TerminalId, id: string, question: string): Promise<void>;
  /** Questions without an answer. */
  asked(): Promise<readonly { readonly terminal: TerminalId; readonly id: string }[]>;
  question(terminal: TerminalId): Promise<{ readonly id: string; readonly question: string } | null>;
  /** False: this is not asked any more. The same answer again answers the same. */
  answer(terminal: TerminalId, id: string, answer: string): Promise<boolean>;
  answered(terminal: TerminalId, id: string): Promise<string | null>;
  /** Takes the question back, whether or not it was answered. */
  withdraw(terminal: TerminalId, id: string): Promise<void>;
}

/** Reconciliations kept of each terminal. */
export const KEPT = 20;

export type ReconcileRow = Omit<Reconcile, "work" | "report"> & { readonly work: string; readonly report: string };
export const readReconcile = (row: ReconcileRow): Reconcile => ({
  ...row,
  work: JSON.parse(row.work) as ReconcileWork,
  report: JSON.parse(row.report) as ReconcileReport,
});

/** For the trail. */
export const orderedText = (id: string, terminal: TerminalId, work: ReconcileWork, reason: string): string =>
  work.kind === "compare"
    ? `${id}: ${work.tables === null ? "all tables" : work.tables.join(", ")} of ${terminal}${work.mend ? ", to be mended at once" : ""}: ${reason}`
    : `${id}: ${work.numbers === null ? "all" : work.numbers.length} differences of ${work.of} at ${terminal}: ${reason}`;
