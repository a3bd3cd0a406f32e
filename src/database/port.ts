import type { Instant } from "../base/clock.ts";
import type { FaultCode } from "../base/errors.ts";
import type { Epoch, LaneName, Seq, UpdateId } from "../base/ids.ts";
import type { Row } from "../message/change.ts";
import type { Shapes } from "../message/shape.ts";

/**
 * One SQL database in every role Waybill has for it: the same adapter serves a terminal's database and the central one.
 * Every promise written here has a test in `contract/`, in the same words, run against every engine.
 *
 * One `Database` is one connection with one user at a time: calls do not overlap. Infrastructure faults are thrown
 * (DATABASE_UNAVAILABLE, DATABASE_BUSY, DISK_FULL); what is wrong with a row is returned, never thrown.
 */
export interface Database extends AsyncDisposable {
  readonly engine: Engine;
  /** The application's tables as they are now; ours (`waybill_…`) are left out. */
  describe(): Promise<{ readonly version: string; readonly tables: Shapes }>;
  readonly capture: Capture;
  readonly load: Load;
  readonly read: Read;
}
export type Engine = "sqlite" | "postgres";

// ── capture ────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What our triggers do while we load a table ourselves: a `terminal` records nothing (it would echo), the `central`
 * database records the row with the origin of the change (other terminals must hear of it, the origin need not).
 */
export type CaptureRole = "terminal" | "central";

export type CapturePlan = {
  readonly role: CaptureRole;
  readonly tables: readonly string[];
  /** Commits whose neighbouring rows are at least this far apart may become messages of their own, in milliseconds. */
  readonly quietGapMs: number;
};
export type CaptureReport = {
  readonly made: readonly string[];
  readonly unchanged: readonly string[];
  readonly removed: readonly string[];
  /** Tables that cannot be captured, with the reason and what to do. */
  readonly refused: readonly { readonly table: string; readonly why: string }[];
};

/** How far the other side has the messages of an epoch. */
export type Acknowledged = {
  readonly epoch: Epoch | null;
  readonly receivedThrough: Seq;
  readonly loadedThrough: Seq;
};
/** What one look at the outbox did. */
export type PackOutcome = {
  readonly epoch: Epoch | null;
  /** Highest complete message of the epoch now. */
  readonly packedThrough: Seq;
  readonly receivedThrough: Seq;
  readonly packedMessages: number;
  readonly packedChanges: number;
  /** More committed rows wait in the outbox: call again soon. */
  readonly more: boolean;
  /** Tables whose triggers were missing or old and have been made again; their rows must be resynchronised. */
  readonly remade: readonly string[];
};
export type PackLimits = {
  /** A line is cut into parts above this many bytes. */
  readonly partBytes: number;
  /** A single value above this is not carried; the message says so (`refused`). */
  readonly valueBytes: number;
  /** How long one local transaction of ours may hold the write lock; the adapter works in steps of this size. */
  readonly lockMs: number;
};

/** One line as it goes over the wire, stored until it is acknowledged; byte-identical at every reading. */
export type PackedLine = {
  readonly seq: Seq;
  /** 0 for a message that is one line; else 1, 2, 3 … */
  readonly part: number;
  readonly more: boolean;
  readonly bytes: Uint8Array;
  /** The chain after this line. */
  readonly chain: Uint8Array;
  readonly changes: number;
  readonly at: string;
};

export type CaptureState = {
  readonly epoch: Epoch | null;
  readonly packedThrough: Seq;
  /** Chain after `packedThrough`. */
  readonly chain: Uint8Array;
  /** As far as the other side has said that it stored, and loaded, messages. */
  readonly receivedThrough: Seq;
  readonly loadedThrough: Seq;
  /** Chain after `receivedThrough`. */
  readonly receivedChain: Uint8Array;
  /** The lowest number still stored here; packedThrough + 1 when none is. */
  readonly oldest: Seq;
  readonly outboxRows: number;
  /** When the oldest row in the outbox was written, ISO 8601; null when it is empty. */
  readonly oldestAt: string | null;
  readonly cursor: Cursor;
  /** Tables being put into the lane as they are, with the rows done so far. */
  readonly resyncing: readonly { readonly table: string; readonly rows: number }[];
};
/**
 * How far updates have taken effect: all through `id`, and `changes` of the entry after it. After a restore of the hub's log the
 * numbers of the centre's lane still tell what was applied, under whatever ids it comes: `seen` is the `tx` of its last message
 * that took effect wholly, `inside` of the one that may have done so in part.
 */
export type Cursor = {
  readonly id: UpdateId;
  readonly changes: number;
  readonly seen: string | null;
  readonly inside: string | null;
  /** Of which history of the hub's log `id` is, as the hub named it; null: it did not. */
  readonly strand: string | null;
};

/** Of the loaded messages the newest `keep`, and of these none committed before `since` (by the clock here; null: of any age). */
export type Kept = { readonly keep: number; readonly since: Instant | null };

/**
 * The way out of a database: triggers write each change into `waybill_outbox` inside the application's transaction;
 * `pack` gives committed changes their numbers. Nothing committed is missed, nothing rolled back is sent, and a trigger
 * never fails or alters the application's statement.
 */
export interface Capture {
  /** Makes our tables and the triggers of the plan, and removes triggers of tables no longer planned. Repeatable. */
  install(plan: CapturePlan): Promise<CaptureReport>;
  /** Removes all of ours from the database. @throws STATE_CONFLICT while changes wait, unless `lose` is set. */
  remove(options: { readonly lose: boolean }): Promise<void>;
  /** Takes our triggers off (`waybill capture off`, for an application's migration) or puts them back; back on resyncs the tables. */
  switch(state: "on" | "off"): Promise<void>;
  /** True when anything was committed since the last call; costs next to nothing and never writes. */
  changed(): Promise<boolean>;
  /** Turns committed outbox rows into numbered messages. Never writes when there is nothing to pack. Crash: done wholly or not at all. */
  pack(limits: PackLimits): Promise<PackOutcome>;
  /** The stored lines after line `part` of message `seq` (part 0: after the whole message), up to about `limitBytes` (at least one line). */
  lines(after: { readonly seq: Seq; readonly part: number }, limitBytes: number): Promise<readonly PackedLine[]>;
  /**
   * Remembers what the other side said of this epoch; of another than the present one it counts for nothing. Written with the next
   * pack or `flush`, so that an acknowledgement alone causes no write.
   */
  acknowledge(marks: Acknowledged): Promise<void>;
  /** Writes remembered acknowledgements and drops stored messages that are loaded and not to be kept, in small steps, the oldest first. */
  flush(kept: Kept): Promise<void>;
  /**
   * Starts an epoch if `from` is the present one: numbers begin at 1 again; messages of the old epoch that were not received are
   * renumbered into the new one in order. False, and nothing was done, when another epoch than these two is the present one.
   */
  beginEpoch(epoch: Epoch, from: Epoch | null): Promise<boolean>;
  /** Puts the table's rows into the outbox as they are, page by page, by later calls of `resyncStep`. `aim`: audience that alone gets them (centre). */
  resync(table: string, aim: string | null): Promise<void>;
  /** One page of a resync in one short transaction. "done" when no resync is left. Resumes after a crash. */
  resyncStep(pageRows: number): Promise<"more" | "done">;
  /**
   * Puts the rows of these keys into the outbox as they are, in one short transaction in which no writer can come between. A key
   * without a row: with an `aim` that audience is told that it is gone, without one nothing is sent. Gives how many changes were written.
   * @throws TABLE_UNKNOWN when the table is not captured
   */
  resend(table: string, keys: readonly Row[], aim: string | null): Promise<number>;
  /** Forgets acknowledgements above what the other side still has (it was restored); lines are then sent again from there. */
  rewind(receivedThrough: Seq): Promise<void>;
  state(): Promise<CaptureState>;
  /** Small facts of the agent or publisher that must live and die with this database (its install, its known term). */
  remember(name: string, value: string): Promise<void>;
  recall(name: string): Promise<string | null>;
  /** The same of many, in one transaction. */
  rememberAll(facts: readonly (readonly [name: string, value: string])[]): Promise<void>;
  /** Those that are known, by name; one look for all. */
  recallAll(names: readonly string[]): Promise<ReadonlyMap<string, string>>;
}

// ── load ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * One change as the loader has decided it, in names of this database:
 * - `insert`: refused with ROW_EXISTS when the key is present;
 * - `keep`: inserted when the key is absent, else nothing;
 * - `upsert`: inserted, or the given columns overwritten;
 * - `update`: the given columns overwritten (`row` may hold a new key); refused with ROW_MISSING when the key is absent;
 * - `delete`: nothing when the key is absent.
 */
export type Effect = {
  readonly table: string;
  readonly kind: "insert" | "keep" | "upsert" | "update" | "delete";
  readonly key: Row;
  /** Columns to write, in wire form; every name exists in *describe*. Absent for delete. */
  readonly row?: Row;
  /** Terminal the change came from: recorded by the central capture, so that it is not sent back to where it came from. */
  readonly origin: string | null;
};
export type Refusal = {
  /** Index of the effect in the list that was given. */
  readonly index: number;
  readonly code: FaultCode;
  /** What the database said, with table, key and value, for people. */
  readonly detail: string;
  /** The same in words of ours alone: no value but those of the key. Absent where `detail` is so already. */
  readonly discreet?: string;
};
/** How a list of effects fared that was to go in wholly. */
export type Tried = Refusal | "unclear" | null;
export type Applied = {
  readonly refused: readonly Refusal[];
  /** Effects that found nothing to delete. */
  readonly absentDeletes: number;
};

/** The lane's row in the central database: the truth about what has been loaded. Version 0 and through 0 when there is none yet. */
export type LaneMark = { readonly lane: LaneName; readonly loadedThrough: Seq; readonly version: number };
/** A lane's row as it is, and what it becomes. Versions grow; by how much is the loader's choice. */
export type LaneMove = LaneMark & { readonly nextVersion: number };
/** A message passed over, in the central database: written in the transaction that moved the watermark past it. */
export type Passed = {
  readonly lane: LaneName;
  readonly seq: Seq;
  readonly state: "retrying" | "held" | "dead" | "discarded";
  readonly fault: FaultCode | null;
  readonly attempts: number;
};

export interface Load {
  /** Makes `waybill_lane`, `waybill_passed` and what else loading needs. Repeatable. */
  install(): Promise<void>;
  marks(lanes: readonly LaneName[]): Promise<readonly LaneMark[]>;
  passed(lane: LaneName): Promise<readonly Passed[]>;
  /**
   * Runs `work` in one transaction with full durability, committed when `work` resolves, rolled back when it throws.
   * Constraints are checked before the commit. No reader sees part of it (I4). `patience`: how many times as long as usual
   * it waits for locks, and for a statement to end, where the engine has such limits. @throws what `work` threw;
   * DATABASE_BUSY; with the fact `oneStatement` when one statement's limit ran out or a deadlock was broken, so that it may be
   * the doing of a single row.
   */
  transaction<T>(work: (tx: LoadTransaction) => Promise<T>, patience?: number): Promise<T>;
  /** The same, checks of the commit included, but nothing of it stays. @throws what `work` threw, or the refusal of the commit. */
  rehearse<T>(work: (tx: LoadTransaction) => Promise<T>): Promise<T>;
}

export interface LoadTransaction {
  /**
   * Moves each lane's row to its `loadedThrough` and `nextVersion` iff its version is still the one given; false: nothing was
   * done with it. Each lane once. They are locked in one order everywhere, so that two loaders never wait in a circle.
   */
  moveLanes(to: readonly LaneMove[]): Promise<readonly boolean[]>;
  /** Writes or replaces the rows of messages passed over. */
  pass(rows: readonly Passed[]): Promise<void>;
  /** Deletes the row of a message that is now loaded. */
  unpass(lane: LaneName, numbers: readonly Seq[]): Promise<void>;
  /**
   * Applies the effects in the order given. A refused effect has no effect, is listed, and leaves the transaction usable;
   * later effects are still tried. Our own capture does not echo them (see CaptureRole).
   */
  apply(effects: readonly Effect[]): Promise<Applied>;
  /**
   * Several lists of effects one after the other, each wholly or not at all, until one is refused: how those fared that were tried.
   * Null: all of its effects are in; else word of the first of them that was refused ("unclear": one that `apply` must find), none of
   * them is in, and of the lists behind it none was tried. One round trip, where `apply` may need many.
   */
  applyEach(lists: readonly (readonly Effect[])[]): Promise<readonly Tried[]>;
  /** The rows of these keys as they are now, locked until the end of the transaction; null where absent. Wire form, all columns but generated ones. */
  current(table: string, keys: readonly Row[]): Promise<readonly (Row | null)[]>;
  /**
   * Which of these values of these columns some row of the table has now, one word each; columns of a key, a unique
   * constraint, or named by a foreign key. Locks nothing. What no row can have (null, another type) is not there.
   */
  present(table: string, columns: readonly string[], values: readonly Row[]): Promise<readonly boolean[]>;
  /** Runs `work` so that, when it returns "undo", everything it did in this transaction is undone. May be nested. */
  attempt<T>(work: () => Promise<{ readonly keep: boolean; readonly result: T }>): Promise<T>;
  /** Moves the update cursor iff it is still `from`; false: nothing was done. */
  moveCursor(from: Cursor, to: Cursor): Promise<boolean>;
}

// ── read ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Read {
  /** Up to `limit` rows in key order after `after` (null: from the start), as of one snapshot; wire form, without generated columns. */
  page(table: string, after: Row | null, limit: number): Promise<readonly Row[]>;
  row(table: string, key: Row): Promise<Row | null>;
}

/** What an engine's folder exports as `open`. */
export type OpenDatabase = (url: string) => Promise<Database>;
