import type { Instant } from "../base/clock.ts";
import type { FaultCode } from "../base/errors.ts";
import type { Actor, LaneName, Seq, TerminalId, By } from "../base/ids.ts";
import type { KeySets } from "./key-sets.ts";
import type { StateKind } from "../message/lifecycle.ts";

/** What support staff do with messages that left the happy path, one at a time or many. */

export type ExceptionFilter = {
  readonly states?: readonly ("received" | "retrying" | "held" | "dead" | "discarded")[];
  readonly terminal?: TerminalId;
  readonly fault?: FaultCode;
  readonly table?: string;
  /** A value of a searchable column that the message carries. */
  readonly key?: string;
  /** When it left the happy path: from… until, the end not included. */
  readonly since?: Instant;
  readonly until?: Instant;
};
/** Messages off the happy path that met the same fault in the same tables. */
export type ExceptionGroup = {
  readonly fault: FaultCode | null;
  readonly tables: readonly string[];
  readonly messages: number;
  readonly terminals: number;
  readonly since: Instant;
  readonly newest: Instant;
  /** Of the newest one, for people. */
  readonly detail: string;
};
/** An edit of a message; the line as received stays where it was. */
export type Revision = {
  /** From 1. */
  readonly n: number;
  readonly by: Actor;
  readonly at: Instant;
  readonly reason: string;
  readonly line: Uint8Array;
};
export type ExceptionRow = {
  readonly lane: LaneName;
  readonly seq: Seq;
  readonly state: StateKind;
  readonly fault: FaultCode | null;
  readonly detail: string;
  readonly attempts: number;
  readonly dueAt: Instant | null;
  readonly behind: { readonly lane: LaneName; readonly seq: Seq; readonly on: string } | null;
  /** The paused route that it waits for; null: none. */
  readonly route: string | null;
  readonly tables: readonly string[];
  readonly since: Instant;
  /** The message's trace id; null when it is not known. */
  readonly trace: string | null;
  readonly edited: boolean;
  /** The edit that counts; null: as received. */
  readonly revision: number | null;
  /** How many messages are held directly or indirectly behind it. */
  readonly holds: number;
};
export interface Exceptions {
  /** Oldest first; `after` is the `next` of the page before. */
  list(
    filter: ExceptionFilter,
    limit: number,
    after: string | null,
  ): Promise<{ readonly rows: readonly ExceptionRow[]; readonly next: string | null }>;
  get(lane: LaneName, seq: Seq): Promise<ExceptionRow | null>;
  /** Most messages first. */
  groups(filter: ExceptionFilter, limit: number): Promise<readonly ExceptionGroup[]>;
  /** What is held behind it, directly or through others. */
  waiting(lane: LaneName, seq: Seq): Promise<Waiting>;
  /** What it is known to touch; null when only the central database knew of it, or there is no such exception. */
  touched(lane: LaneName, seq: Seq): Promise<KeySets | null>;
  /** In the order in which they were made. */
  revisions(lane: LaneName, seq: Seq): Promise<readonly Revision[]>;
  /**
   * Makes it due now, as it is or as `revision` (a line). `basedOn`: the edit that the caller has seen (null: none).
   * @throws STATE_CONFLICT when its state does not allow it, or another edit was made since; NOT_FOUND.
   */
  requeue(
    lane: LaneName,
    seq: Seq,
    by: By,
    reason: string,
    revision: Uint8Array | null,
    basedOn?: number | null,
  ): Promise<void>;
  /** Orders that it be given up; done by the lane's next worker together with the central row. @throws as requeue. */
  discard(lane: LaneName, seq: Seq, by: By, reason: string): Promise<void>;
}

/** What waits behind one message or several, directly or through others. */
export type Waiting = {
  readonly messages: number;
  readonly terminals: number;
  /** Since when the oldest of them waits; null when none does. */
  readonly since: Instant | null;
  /** What they wait for, most waited for first, at most ten: `sale S-9`. */
  readonly keys: readonly { readonly on: string; readonly messages: number }[];
};

export type BulkVerb = "requeue" | "discard";
export type BulkState = "previewed" | "running" | "done" | "cancelled";
/** One act on many messages: the list is frozen when it is previewed, and exactly that list is worked off. */
export type Bulk = {
  readonly id: number;
  readonly verb: BulkVerb;
  readonly state: BulkState;
  readonly by: Actor;
  /** Given at the start. */
  readonly reason: string | null;
  readonly filter: ExceptionFilter;
  readonly madeAt: Instant;
  readonly startedAt: Instant | null;
  readonly endedAt: Instant | null;
  readonly messages: number;
  readonly terminals: number;
  /** Messages that matched but are not on the list, which has an upper size. */
  readonly beyond: number;
  /** What waited behind the list when it was previewed. */
  readonly waiting: Waiting;
  /** How many of the list were ordered, and how many were left alone because they had moved on. */
  readonly ordered: number;
  readonly skipped: number;
};
export type BulkItem = {
  readonly n: number;
  readonly lane: LaneName;
  readonly seq: Seq;
  /** Null: its turn has not come. */
  readonly outcome: "ordered" | "skipped" | null;
  /** Why it was left alone; "" otherwise. */
  readonly why: string;
  /** What has become of the message until now. */
  readonly now: StateKind;
};

/** Acts on many dead letters at once. Progress is in the ledger: a restart goes on where it was. */
export interface Bulks {
  /** Freezes the list of the messages that match and for which the act is possible, oldest first. Nothing is done to them. */
  preview(verb: BulkVerb, filter: ExceptionFilter, by: By): Promise<Bulk>;
  /** Lets it run. @throws STATE_CONFLICT when it is not just previewed; NOT_FOUND. */
  start(id: number, by: By, reason: string): Promise<Bulk>;
  /** Ends it before its time: what has been ordered stays ordered. @throws STATE_CONFLICT when it has ended; NOT_FOUND. */
  cancel(id: number, by: By, reason: string): Promise<Bulk>;
  /**
   * Gives the next `limit` orders of the oldest bulk that runs, with their events, in one transaction; an item that is no
   * longer as it was previewed is left alone and says so. Any process may. True: there is more to do.
   */
  step(limit: number): Promise<boolean>;
  get(id: number): Promise<Bulk | null>;
  /** Newest first. */
  list(limit: number): Promise<readonly Bulk[]>;
  items(id: number, limit: number, after: number): Promise<readonly BulkItem[]>;
}
