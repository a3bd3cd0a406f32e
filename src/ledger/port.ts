import type { Trail } from "./trail.ts";
import type { UpdateLog } from "./update-log.ts";
import type { Instant } from "../base/clock.ts";
import type { ErrorFacts, FaultCode } from "../base/errors.ts";
import type { Actor, Epoch, LaneName, Seq, TerminalId, UpdateId, WorkerId, By } from "../base/ids.ts";
import type { Pauses } from "./pauses.ts";
import type { Access } from "./access.ts";
import type { Alerts } from "./alerts.ts";
import type { LedgerBytes } from "./bytes.ts";
import type { OpenException } from "./open-exceptions.ts";
import type { Bulks, Exceptions } from "./exceptions.ts";
import type { Fleet } from "./fleet.ts";
import type { History } from "./history.ts";
import type { Imprint, Imprinted } from "./imprints.ts";
import type { Reconciles } from "./reconciles.ts";
import type { Restores } from "./restores.ts";
import type { Seats } from "./seats.ts";
import type { Retention } from "./retention.ts";
import type { KeySetsText } from "./key-sets.ts";

/**
 * The hub's durable memory. Small ports by topic; one `Ledger` implements them all over one store. Every promise here has
 * a test in `contract/`. Every write is durable (I2) before its promise resolves, and carries its events in the same
 * transaction (I8). Times come from the store's side of the port (its clock), never from callers' machines; when that clock is set
 * back, what waited for a time is due at the next claim.
 * Methods take and give plain values, so that a ledger can live on a thread of its own.
 */
export interface Ledger extends AsyncDisposable {
  readonly lanes: Lanes;
  readonly work: Work;
  readonly bytes: LedgerBytes;
  readonly exceptions: Exceptions;
  readonly bulks: Bulks;
  readonly updates: UpdateLog;
  readonly terminals: Terminals;
  readonly fleet: Fleet;
  readonly trail: Trail;
  readonly access: Access;
  readonly history: History;
  readonly restores: Restores;
  readonly alerts: Alerts;
  readonly retention: Retention;
  readonly pauses: Pauses;
  readonly reconciles: Reconciles;
  /** What of several processes one alone does. Absent where a ledger has one process. */
  readonly seats?: Seats;
  /** Wake-ups between the processes of one ledger. Absent where a ledger has one process. */
  readonly signals?: LedgerSignals;
  /** How the store itself is. Absent where nothing builds up behind the queue's back. */
  readonly upkeep?: Upkeep;
}

// ── several processes ──────────────────────────────────────────────────────────────────────────────────────────────

/** `audiences` null: for whom is not said. */
export type Signal =
  | { readonly kind: "received" }
  | { readonly kind: "enrolled" }
  | { readonly kind: "published"; readonly audiences: readonly string[] | null };
export interface LedgerSignals {
  /** Hears other processes' signals, perhaps one too many; any may be lost, so look by yourself as well. */
  on(listener: (signal: Signal) => void): Disposable;
  /** Tells the other processes, soon; never fails and is not waited for. Call it after the commit it tells of. */
  send(signal: Signal): void;
}

// ── the store itself ───────────────────────────────────────────────────────────────────────────────────────────────

/** What makes a queue on a server slow over time, as the server tells it. */
export type UpkeepFacts = {
  /** The oldest transaction that keeps dead rows from being cleared away, and whose it is; null when there is none. */
  readonly oldestSnapshot: { readonly seconds: number; readonly by: string } | null;
  /** Of the small tables that every batch writes to, as the server last counted them. */
  readonly deadRows: readonly { readonly table: string; readonly dead: number; readonly live: number }[];
  /** Until rows would land outside of the partitions made ahead, in seconds. */
  readonly partitionsEndInSeconds: number;
  /** Rows that did already: retention cannot drop them by the week. */
  readonly rowsOutsidePartitions: boolean;
  /** How far the slowest replica is behind; null when there is none, or we may not see it. */
  readonly replicationLagSeconds: number | null;
};
export interface Upkeep {
  /** Reads the server's own statistics; costs the same whatever the backlog. */
  look(): Promise<UpkeepFacts>;
}

// ── lanes: what comes in ───────────────────────────────────────────────────────────────────────────────────────────

/** One request's lines for one lane, checked for form by `wire/`; nothing of it is trusted for order or content yet. */
export type Submission = {
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  /** The number and chain before the first line, as the sender has them. When `part` > 0 the lines go on inside message after + 1, after that part, and `chain` is the chain there. */
  readonly after: Seq;
  readonly part: number;
  readonly chain: Uint8Array;
  /** First number the sender still has, when it had to give up older ones. */
  readonly oldest: Seq | null;
  /** All lines, each ending in a newline, exactly as they came. */
  readonly body: Uint8Array;
  readonly lines: readonly SubmittedLine[];
  /** 32 bytes a line: the chain after each line, computed from `chain`. */
  readonly chains: Uint8Array;
};
export type SubmittedLine = {
  readonly seq: Seq;
  /** 0: the whole message; else the part's number from 1. */
  readonly part: number;
  readonly more: boolean;
  /** Offset in `body` just behind the line's newline. */
  readonly end: number;
  /** When the terminal committed it. */
  readonly at: Instant;
  readonly changes: number;
  /** Values of columns configured as searchable, for "where is receipt 4711?". */
  readonly search: readonly string[];
  /** By what it is known again, when the hub numbers for its sender. */
  readonly imprint?: Imprint;
};
export type Acknowledgement = {
  readonly receivedThrough: Seq;
  readonly chain: Uint8Array;
  readonly duplicates: number;
  readonly loadedThrough: Seq;
  readonly open: { readonly retrying: number; readonly held: number; readonly dead: number };
  readonly partial: { readonly seq: Seq; readonly part: number } | null;
};
export type Refused = { readonly refused: FaultCode; readonly what: string; readonly facts: ErrorFacts };

export interface Lanes {
  /**
   * Stores the submissions, all in one transaction (group commit), each judged alone: one's refusal does not touch another.
   * Numbers seen before with the same content are counted as duplicates and change nothing; with other content: CHAIN_BROKEN
   * with `seq`. First number too high: SEQUENCE_GAP with `expected`. Lane ended by a newer epoch: EPOCH_CLOSED with `epoch`.
   * A terminal that has no epoch yet begins the one it names.
   */
  append(submissions: readonly Submission[]): Promise<readonly (Acknowledgement | Refused)[]>;
  /**
   * Opens an epoch by compare-and-set on the current one (null: none yet). Repeating the same call answers the same. It is called
   * `named` where that is given, unless an epoch of the terminal was called so before: then the ledger draws a name, as without it.
   * A terminal that is `set back` is listed in `restores.restored`. A refused call is remembered in `restores.asks`.
   * @throws EPOCH_CLOSED, EPOCH_WAITS.
   */
  openEpoch(
    terminal: TerminalId,
    previous: Epoch | null,
    install: string,
    reason: string,
    named?: Epoch,
    since?: "set back" | "goes on",
  ): Promise<{ readonly epoch: Epoch }>;
  of(terminal: TerminalId): Promise<readonly LaneStatus[]>;
  /** The last number the ledger has of a lane; null when it has no such lane. One look by key, for callers that ask often. */
  received(terminal: TerminalId, epoch: Epoch): Promise<Seq | null>;
  /** The terminal's messages of all epochs that came with one of these imprints' ids, whether or not their lines are still kept. */
  imprinted(terminal: TerminalId, ids: readonly string[]): Promise<readonly Imprinted[]>;
}
export type LaneStatus = {
  readonly lane: LaneName;
  readonly epoch: Epoch;
  readonly current: boolean;
  readonly receivedThrough: Seq;
  readonly claimedThrough: Seq;
  readonly loadedThrough: Seq;
  readonly chain: Uint8Array;
  readonly open: { readonly retrying: number; readonly held: number; readonly dead: number };
  readonly receivedAt: Instant | null;
  readonly loadedAt: Instant | null;
  readonly partial: { readonly seq: Seq; readonly part: number } | null;
};

// ── work: claim, load, settle ──────────────────────────────────────────────────────────────────────────────────────

/** A message off the happy path that may be tried now, or that an operator gave up. */
export type LateItem = OpenException & {
  readonly order: { readonly verb: "load" } | { readonly verb: "discard"; readonly by: Actor; readonly reason: string };
  /** It finds out whether its paused route is mended: it is tried although the route is paused. */
  readonly probe: boolean;
  /** The edited line, when an operator changed it; the line as received stays where it was. */
  readonly revision: Uint8Array | null;
};
/** A lane given to one worker. `from > through`: no new messages, only late ones. */
export type Claim = {
  readonly lane: LaneName;
  readonly terminal: TerminalId;
  readonly tags: Readonly<Record<string, string>>;
  /** Decides, not the clock, who may settle: grows with every claim. */
  readonly fence: number;
  readonly from: Seq;
  readonly through: Seq;
  /** The message `from` is stored in parts: it is claimed alone. */
  readonly inParts: boolean;
  /** The version of the lane's central row, as far as the ledger knows. */
  readonly version: number;
  /**
   * In the order of their numbers. With a message that was refused for a missing parent come the others so refused, due or
   * not, and those held behind any of them: one may bring the parent, and alone none can be loaded.
   */
  readonly late: readonly LateItem[];
  /** Routes (the terminals' tables) that are paused: a message that holds a change of one waits as a whole. */
  readonly paused: readonly string[];
  /**
   * Null: none of the terminal's lanes up to this one has an open exception. Else how its older lanes stand that have some, in
   * the words of `OpenExceptions.older`; "" when they have none. Only who holds a lane's lease changes which of its exceptions
   * are open, or what they touch: a loader that settled this lane last (by fence and version) knows them already.
   */
  readonly open: string | null;
  /** How often the claim of exactly this one message ended without a settlement; 0 for a claim of several. */
  readonly unsettled: number;
};
export type ClaimLimit = { readonly lanes: number; readonly messages: number; readonly bytes: number };

export type ExceptionWrite = {
  readonly seq: Seq;
  readonly state: "retrying" | "held" | "dead" | "discarded";
  readonly fault: FaultCode | null;
  /** For people: table, key, value, what the database said. */
  readonly detail: string;
  readonly attempts: number;
  /** Milliseconds from now (store's clock) until it is tried again; null unless retrying. */
  readonly retryInMs: number | null;
  readonly behind: { readonly lane: LaneName; readonly seq: Seq; readonly on: string } | null;
  /** Null: its payload is gone, so nobody knows; it conflicts with everything of its lane. */
  readonly sets: KeySetsText | null;
  /** The paused route that a held message waits for, when it waits for no other message. */
  readonly route: string | null;
  readonly tables: readonly string[];
  /** The message's trace id, 32 hexadecimal digits; null or absent when that is not known now: what was known stays. */
  readonly trace?: string | null;
};
export type EventWrite = {
  readonly kind: string;
  readonly from: Seq;
  readonly through: Seq;
  readonly detail: string;
};
export type LaneOutcome = {
  readonly lane: LaneName;
  readonly fence: number;
  readonly loadedThrough: Seq;
  readonly version: number;
  readonly exceptions: readonly ExceptionWrite[];
  /** Exceptions that were loaded late: closed. */
  readonly closed: readonly Seq[];
  readonly events: readonly EventWrite[];
  /** For the lag figure: commit at the terminal → commit at the centre of the newest loaded message, in milliseconds. */
  readonly lagMs: number | null;
};

export interface Work {
  /**
   * Leases lanes that have work due, longest due first, and marks at most `limit.messages` (and about `limit.bytes`, at least
   * one message) of each as processing. Nobody else is given these lanes for `leaseMs`. A lane of a newer epoch waits until all
   * received messages of the older ones are loaded or excepted. Costs the same whatever the backlog.
   */
  claim(worker: WorkerId, limit: ClaimLimit, leaseMs: number): Promise<readonly Claim[]>;
  /** Prolongs the leases; gives those lanes that are no longer this worker's. */
  renew(
    held: readonly { readonly lane: LaneName; readonly fence: number }[],
    leaseMs: number,
  ): Promise<readonly LaneName[]>;
  /** Moves the watermarks, writes exceptions and events, ends the leases. "lost": another claimed meanwhile; nothing of that lane was changed. */
  settle(outcomes: readonly LaneOutcome[]): Promise<readonly ("settled" | "lost")[]>;
  /** Gives lanes back unloaded: nothing is judged, no attempt counted; due again in `retryInMs`. */
  release(
    held: readonly { readonly lane: LaneName; readonly fence: number }[],
    retryInMs: number,
    why: string,
  ): Promise<void>;
  /**
   * Makes the ledger agree with the central database's own words about a lane (after a crash between load and settle, or a
   * restore of either): watermark, version and messages passed over. `behind`: the centre knew less than the ledger, so it was
   * restored; messages after its watermark will be loaded again. Keeps the lease.
   */
  adopt(
    lane: LaneName,
    fence: number,
    centre: {
      readonly loadedThrough: Seq;
      readonly version: number;
      readonly passed: readonly {
        readonly seq: Seq;
        readonly state: "retrying" | "held" | "dead" | "discarded";
        readonly fault: FaultCode | null;
        readonly attempts: number;
      }[];
    },
  ): Promise<"adopted" | "behind" | "lost">;
  /** Milliseconds until some lane is due (0: now), null when none will be without something new. */
  nextDue(): Promise<number | null>;
  /** What is known of the central rows of lanes that nobody has claimed, of all epochs, in an order of its own; `after` is the `next` of the page before. */
  marks(
    limit: number,
    after: number | null,
  ): Promise<{ readonly marks: readonly Mark[]; readonly next: number | null }>;
  /** The centre shows other marks of these lanes: they are due at once, though they may hold nothing, so that the loader compares. */
  doubt(lanes: readonly LaneName[]): Promise<void>;
}
/** A lane's central row, as the ledger knows it: that of a lane never loaded has version 0. */
export type Mark = { readonly lane: LaneName; readonly loadedThrough: Seq; readonly version: number };

// ── terminals ──────────────────────────────────────────────────────────────────────────────────────────────────────

export type Terminal = {
  readonly id: TerminalId;
  readonly tags: Readonly<Record<string, string>>;
  readonly state: "enrolled" | "revoked";
  readonly enrolledAt: Instant;
  readonly lastSeenAt: Instant | null;
  /** Terminal's clock minus the hub's, in milliseconds. */
  readonly skewMs: number | null;
  readonly version: string | null;
  readonly appliedThrough: UpdateId;
  /** What was handed to it, whether or not it has told that it applied it. */
  readonly deliveredThrough: UpdateId;
  /** Drawn when it showed a cursor of another history: since then it is owed all rows as they are. */
  readonly rowsOwed: string | null;
};
export interface Terminals {
  createToken(
    hash: Uint8Array,
    options: {
      readonly terminal: TerminalId | null;
      readonly tags: Readonly<Record<string, string>>;
      readonly validMs: number;
      readonly by: By;
    },
  ): Promise<void>;
  /** Uses the token up and stores the key's hash. The same token, terminal and key again answers the same (a lost answer). @throws TOKEN_INVALID. */
  enroll(
    tokenHash: Uint8Array,
    terminal: TerminalId,
    tags: Readonly<Record<string, string>>,
    keyHash: Uint8Array,
  ): Promise<Terminal>;
  byKey(keyHash: Uint8Array): Promise<Terminal | null>;
  get(terminal: TerminalId): Promise<Terminal | null>;
  list(limit: number, after: TerminalId | null): Promise<readonly Terminal[]>;
  /** What was seen of terminals since the last call; written together, seldom. */
  seen(
    sightings: readonly {
      readonly terminal: TerminalId;
      readonly at: Instant;
      readonly skewMs: number | null;
      readonly version: string | null;
      /** The last update it was given an answer up to; null: it did not ask. */
      readonly deliveredThrough: UpdateId | null;
    }[],
  ): Promise<void>;
  revoke(terminal: TerminalId, by: By): Promise<void>;
}
