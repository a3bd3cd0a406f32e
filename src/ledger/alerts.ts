import type { Instant } from "../base/clock.ts";
import type { FaultCode } from "../base/errors.ts";
import type { Actor, LaneName, TerminalId, WorkerId, By } from "../base/ids.ts";
import type { Seat } from "./seats.ts";

/** Numbers and names about a trouble: never a value of a row. */
export type AlertFacts = Readonly<Record<string, string | number | null>>;
/** Something a rule found to be wrong now. The same rule and subject are the same trouble. */
export type Trouble = {
  /** Name of the rule, such as `lane-held`. */
  readonly rule: string;
  /** What it is about: a lane, a terminal, a target; "" where the rule looks at the whole. */
  readonly subject: string;
  /** For people, one sentence. */
  readonly what: string;
  /** How many things are wrong, where they are counted: when it has grown, people are told again, seldom. */
  readonly count: number | null;
  readonly facts: AlertFacts;
};
/** A trouble that people are told of: open until it was gone for a while. */
export type Alert = Trouble & {
  readonly id: string;
  readonly raisedAt: Instant;
  /** Null while it is open. */
  readonly clearedAt: Instant | null;
  /** Who said to have seen it, when and with which words. */
  readonly seen: { readonly by: Actor; readonly at: Instant; readonly note: string } | null;
};
export type NoticeKind = "raised" | "grown" | "cleared";
/** One thing to tell one channel. Delivered at least once: whoever receives it may get it again, with the same key. */
export type Notice = {
  readonly id: number;
  readonly channel: string;
  /** The same for every delivery of it, to whatever channel. */
  readonly key: string;
  readonly kind: NoticeKind;
  readonly at: Instant;
  /** Deliveries that failed until now. */
  readonly attempts: number;
  /** As it was then. */
  readonly alert: Alert;
};
/** How a channel does. */
export type ChannelState = {
  readonly channel: string;
  readonly waiting: number;
  readonly deliveredAt: Instant | null;
  /** Why the last delivery failed, when it was the last thing that happened. */
  readonly fault: string | null;
  readonly givenUp: number;
};

/** When a rule finds the ledger's own figures to be wrong; a member that is null is not looked at. */
export type AlertLimits = {
  /** A lane with messages held for longer. */
  readonly heldMs: number | null;
  /**
   * A terminal not heard of for `factor` times its longest silence of the last week or two, at least `leastMs`; one that is
   * known for less than a week for `newMs`.
   */
  readonly silent: { readonly factor: number; readonly leastMs: number; readonly newMs: number } | null;
  readonly skewMs: number | null;
  /** Rows of each list; the counts are of all. */
  readonly most: number;
};
type Listed<Row> = { readonly rows: readonly Row[]; readonly count: number };
/** What is beyond its limit in the ledger, as of `at`. */
export type AlertSight = {
  readonly at: Instant;
  readonly dead: readonly {
    readonly fault: FaultCode | null;
    readonly tables: readonly string[];
    readonly messages: number;
    readonly lanes: number;
    readonly since: Instant;
  }[];
  readonly held: Listed<{ readonly lane: LaneName; readonly messages: number; readonly since: Instant }>;
  readonly silent: Listed<{
    readonly terminal: TerminalId;
    readonly lastSeenAt: Instant;
    readonly usualMs: number | null;
  }>;
  readonly skewed: Listed<{ readonly terminal: TerminalId; readonly skewMs: number }>;
  /** Messages received and not yet loaded or excepted; `oldestAt`: since when the oldest waits, in `lane`. */
  readonly backlog: {
    readonly messages: number;
    readonly lanes: number;
    readonly oldestAt: Instant | null;
    readonly lane: LaneName | null;
  };
  /** Terminals that were set back, numbers that nobody has any more, installs that wait for a person. */
  readonly restores: { readonly restored: number; readonly missing: number; readonly asks: number };
};

export type AlertPolicy = {
  /** A trouble must have been gone for so long before it is over, so that one that comes and goes is told once. */
  readonly settleMs: number;
  /** Alerts of one rule, each told by itself; what is beyond them is told together, as one. */
  readonly each: number;
  /** A trouble that grew is told again no sooner than this. */
  readonly againMs: number;
  readonly channels: readonly string[];
  /** When nobody has looked for so long, the hub was away: silence of terminals counts from its return. */
  readonly lostMs: number;
};
export type OpenAlerts = { readonly open: number; readonly unseen: number };
export type AlertFilter = { readonly state: "open" | "past"; readonly rule?: string };

/** What people are told of without asking. It is all in the ledger: a restart neither repeats nor forgets. */
export interface Alerts {
  /** Looks at the ledger's own figures; costs the same whatever the number of messages. */
  look(limits: AlertLimits): Promise<AlertSight>;
  /**
   * What only this process can know (its breaker, its disk). It stands until the process says otherwise, but no longer than
   * `REPORT_MS`: a process that died is not believed for ever.
   */
  report(process: WorkerId, troubles: readonly Trouble[]): Promise<void>;
  /**
   * Compares what was found, and what all processes reported, with the alerts that are open: raises, lets grow and clears
   * them, with an event each and a notice for each channel, in one transaction. Alerts of rules that are not in `looked` stay
   * as they are. False: the seat is another's by now, and nothing was written.
   */
  observe(looked: readonly string[], found: readonly Trouble[], policy: AlertPolicy, seat?: Seat): Promise<boolean>;
  /** The oldest waiting notice of each channel, where it is due. Those of channels that are not named are given up. */
  due(channels: readonly string[]): Promise<readonly Notice[]>;
  delivered(notice: number): Promise<void>;
  /** Tried again in `retryInMs`, but given up when it has waited for `GIVE_UP_MS`. */
  failed(notice: number, why: string, retryInMs: number): Promise<"waits" | "given up">;
  /** Newest first; `before` is the id of the last alert of the page before. */
  list(filter: AlertFilter, limit: number, before: string | null): Promise<readonly Alert[]>;
  get(id: string): Promise<Alert | null>;
  /** How many are open, and how many of those nobody has said to have seen. Costs as much as are open. */
  open(): Promise<OpenAlerts>;
  channels(): Promise<readonly ChannelState[]>;
  /** A person has seen it: it stays open until the trouble is over, and does not grow any more. @throws NOT_FOUND; STATE_CONFLICT when it is over. */
  see(id: string, by: By, note: string): Promise<Alert>;
}

/** A process's report stands for so long without being repeated. */
export const REPORT_MS = 120_000;
/** A notice that could not be delivered for so long is given up. */
export const GIVE_UP_MS = 24 * 3_600_000;
/** Notices that wait for one channel; the oldest above them are given up. */
export const WAITING_NOTICES = 1_000;
/** Alerts that are over are kept so long. */
export const ALERTS_KEPT_MS = 90 * 24 * 3_600_000;

/** A terminal's usual silence is its longest of this period and the one before. */
export const GAP_PERIOD_MS = 7 * 24 * 3_600_000;
/** Once a period is known, one silence counts at most twice what was usual, so that an outage does not become the custom at once. */
export const GAP_FLOOR_MS = 900_000;
