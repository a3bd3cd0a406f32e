import type { LaneName, Seq, TerminalId, UpdateId } from "../base/ids.ts";
import type { LaneMark } from "../database/port.ts";
import type { Claim } from "../ledger/port.ts";
import type { Strand, ToldStrand, UpdateEntry } from "../ledger/update-log.ts";
import type { LoadReport, Rehearsal, RehearsalOrder } from "../load/port.ts";
import type { SurveyOrder, Surveyed } from "../database/survey.ts";
import type { Row } from "../message/change.ts";
import type { ComparedTerminal, SideShape } from "./reconcile/plan.ts";
import type { Aims } from "./split.ts";

/** What the centre says of its own lane. Numbers are of the lane `source`. */
export type CentralState = {
  readonly source: LaneName;
  readonly packedThrough: Seq;
  /** As far as it has been told that the update log has its messages. */
  readonly forwardedThrough: Seq;
  /** As far as they were ever to be forwarded: terminals may have seen what the log has of them, and nothing above. */
  readonly announcedThrough: Seq;
  /** The highest term of update ids that it was told of. */
  readonly term: number;
  /** The highest update id that it was told of. */
  readonly head: UpdateId;
  /** As far as ids may have been given, by what it was told. */
  readonly told: UpdateId;
  /** Under which names, by what it was told; the last of them. */
  readonly strands: readonly ToldStrand[];
  /** Lowest number it still has. */
  readonly oldest: Seq;
};
export type Refusals = readonly { readonly table: string; readonly why: string }[];

/** One look at what the centre has for the update log. */
export type Outgoing =
  /** Nothing after the number asked for; `busy`: a snapshot is being put into the lane, look again at once. */
  | { readonly kind: "none"; readonly busy: boolean }
  /** Snapshots are aimed at these audiences: ask again with what their terminals belong to. */
  | { readonly kind: "aims"; readonly aims: readonly string[] }
  /** The lane is another, or was not told of what the log has of it: ask how the centre stands. */
  | { readonly kind: "moved" }
  | {
      readonly kind: "entries";
      readonly after: Seq;
      readonly through: Seq;
      readonly entries: readonly UpdateEntry[];
      /** Tables that are captured but not configured to go down, with the changes left out. */
      readonly unknown: ReadonlyMap<string, number>;
      /** Rows that could not be carried since one value is too large: `table {key}`. */
      readonly tooLarge: readonly string[];
      readonly remade: readonly string[];
    };

/**
 * The station at the central database: loads what terminals sent, and reads out what changed there. It owns one
 * connection, so its calls take turns. Everything it takes and gives is plain, so that it may live on a thread of its own.
 */
export interface Central {
  /** Makes our tables, triggers and the first epoch. Repeatable; every other call does it first when it was not done. */
  open(): Promise<{ readonly refused: Refusals }>;
  load(claims: readonly Claim[]): Promise<LoadReport>;
  /** The central rows of these lanes; a lane never loaded has none, or version 0. */
  marks(lanes: readonly LaneName[]): Promise<readonly LaneMark[]>;
  /** Tries a message and takes all of it back; see the loader. */
  rehearse(order: RehearsalOrder): Promise<Rehearsal>;
  state(): Promise<CentralState>;
  /** Packs what was committed and gives whole messages of `source` after `after`, split for the update log. @throws TRANSFORM_FAILED */
  outgoing(source: LaneName, after: Seq, aims: Aims): Promise<Outgoing>;
  /**
   * The update log has everything of `source` through `forwarded`, and what follows through `through` is about to be forwarded. Told
   * before it is, and never taken back: by these numbers alone is it known whether ledger or centre is older than it was. Of another
   * lane than the present one it counts for nothing. `ids`: through which id the log then goes.
   */
  announce(source: LaneName, forwarded: Seq, through: Seq, ids: UpdateId): Promise<void>;
  /**
   * Update ids of this term are about to be given, or were. A lower one than was told before counts for nothing. The last name of ids
   * ends where it was told of them: what lies between there and the term may have been given in a history that it does not know.
   */
  rememberTerm(term: number): Promise<void>;
  /** The update log goes through this id: told when others than the publisher have added to it. A lower one counts for nothing. */
  rememberHead(head: UpdateId): Promise<void>;
  /** Ids from `first` on are about to be given under this name. */
  rememberStrand(strand: Strand): Promise<void>;
  /**
   * Begins a new epoch if `source` is still the lane: the centre was restored. What was never announced, or follows `forwarded`, is
   * numbered again.
   */
  beginEpoch(source: LaneName, forwarded: Seq): Promise<void>;
  /** Puts the rows of all `down` tables into the lane, aimed at each of the terminals, or once for everyone; remembers that these terminals have theirs. */
  snapshot(orders: readonly SnapshotOrder[], to: "each" | "everyone"): Promise<void>;
  /** Those of the terminals whose snapshot was never ordered here. */
  unsnapped(of: readonly SnapshotOrder[]): Promise<readonly TerminalId[]>;
  /** The form of these tables, for comparing them; those that are not there are left out. */
  shapes(tables: readonly string[]): Promise<ReadonlyMap<string, SideShape>>;
  /** Digests or rows of what a terminal should have of a table, in its names; read in short pages, between which others have their turn. */
  survey(order: SurveyOrder, terminal: ComparedTerminal): Promise<Surveyed>;
  /** Rows by their keys, both in the terminal's names; null where there is none that is the terminal's. */
  rowsFor(table: string, terminal: ComparedTerminal, keys: readonly Row[]): Promise<readonly (Row | null)[]>;
  /** Numbers what is committed: every change that anyone has seen is in a message through this number. */
  packed(): Promise<{ readonly source: LaneName; readonly through: Seq }>;
  /** Puts rows of these keys (in the terminal's names) into the lane as they are, for this terminal alone; that absent ones are gone. */
  resend(table: string, terminal: TerminalId, keys: readonly Row[]): Promise<number>;
  /** True while pages of an earlier snapshot are still to come. */
  snapshotting(): Promise<boolean>;
  close(): Promise<void>;
}
/** `since` tells one enrolment of a name from the next: a till that was set up anew needs its rows anew; and so does one that is owed them. */
export type SnapshotOrder = { readonly terminal: TerminalId; readonly since: string };
