import type { Instant } from "../base/clock.ts";
import type { FaultCode } from "../base/errors.ts";
import type { LaneName, Seq, TerminalId, UpdateId, By } from "../base/ids.ts";
import type { Seat } from "./seats.ts";
import type { UpdateSpread } from "./spread.ts";

export type UpdateEntry = {
  readonly audience: string;
  /** Entries with one `tx` are of one central transaction. */
  readonly tx: string;
  readonly at: Instant;
  readonly origin: TerminalId | null;
  readonly trace: string | null;
  /** JSON array of changes, UTF-8. */
  readonly changes: Uint8Array;
  readonly count: number;
};
export type StoredUpdate = UpdateEntry & { readonly id: UpdateId };

/** From `first` on ids were given under this name. */
export type Strand = { readonly first: UpdateId; readonly name: string };
/** As far as the centre knows of ids under this name; below `first`: of none. */
export type ToldStrand = Strand & { readonly through: UpdateId };
/** Ids that the log lost: they were given under this name, and no others in their place. */
export type LostIds = ToldStrand;

export interface UpdateLog extends UpdateSpread {
  /**
   * Appends what the central lane `source` holds in (after, through]; false when another publisher was first, or has taken
   * `seat` since: nothing was written.
   */
  forward(source: LaneName, after: Seq, through: Seq, entries: readonly UpdateEntry[], seat?: Seat): Promise<boolean>;
  /** How far `source` has been forwarded. */
  forwarded(source: LaneName): Promise<Seq>;
  publish(entries: readonly UpdateEntry[], by: By): Promise<readonly UpdateId[]>;
  /**
   * All entries for these audiences in (after, through], up to about `limitBytes`; entries whose origin is `except` are left out.
   * A terminal that began since the log's oldest entries were taken away goes on behind them all the same. What is given is of one
   * strand, which it names; null: from before there were any.
   * @param strand the one of `after`, as the terminal was told. @throws CURSOR_GONE; with the fact `other` when this log's history
   * has no such id of such a strand: others may have been given in its place.
   */
  read(
    audiences: readonly string[],
    except: TerminalId,
    after: UpdateId,
    limitBytes: number,
    strand?: string | null,
  ): Promise<{
    readonly through: UpdateId;
    readonly more: boolean;
    readonly updates: readonly StoredUpdate[];
    readonly strand: string | null;
  }>;
  head(): Promise<UpdateId>;
  /**
   * The log no longer reaches back to what this terminal has, and it begins again behind what is gone: from now on it is `restored`
   * until both sides were compared. With its event. False: the log reaches back, or it has begun again already.
   */
  beginAgain(terminal: TerminalId, after: UpdateId): Promise<boolean>;
  /**
   * A terminal has shown a cursor of another history than the log's, and goes on behind all of it: until both sides were compared it is
   * `restored`, and it is owed all rows as they are. With its event. Gives where it goes on.
   */
  beginElsewhere(
    terminal: TerminalId,
    after: UpdateId,
  ): Promise<{ readonly head: UpdateId; readonly strand: string | null }>;
  /** Those that the centre heard of, in their order. */
  strands(): Promise<readonly Strand[]>;
  /**
   * A centre or terminal has shown an id above the head: this ledger was restored, and ids it gives next must not be taken for
   * those it gave before. Begins a term above `shown`, so that every later id is higher; nothing when the head is higher already.
   * `lost`: ids above the head whose content comes again; terminals that took them go on. Gives the head.
   */
  beginTerm(shown: UpdateId, why: string, lost?: readonly LostIds[]): Promise<UpdateId>;
  /**
   * The log was compared with the centre, so ids that it gives from now on are new, and given under this name, of which the centre has
   * heard. With `seat`, as long as its holder has it.
   */
  attest(strand: string, seat?: Seat): Promise<void>;
  /** Whether it was, since this ledger was opened, or by whoever has that seat now. A copy says no: where there are seats, one older than a lease. */
  attested(): Promise<boolean>;
  /** Remembers how far a terminal has applied, and which rows it refused. A refusal of a key is closed by a later update of the key. */
  acknowledge(
    terminal: TerminalId,
    appliedThrough: UpdateId,
    refused: readonly { readonly id: UpdateId; readonly code: FaultCode; readonly detail: string }[],
  ): Promise<void>;
  refusals(
    terminal: TerminalId | null,
    limit: number,
  ): Promise<
    readonly {
      readonly terminal: TerminalId;
      readonly id: UpdateId;
      readonly code: FaultCode;
      readonly detail: string;
      readonly at: Instant;
    }[]
  >;
}
