import type { Instant } from "../base/clock.ts";
import type { Actor, LaneName, Seq, TerminalId, UpdateId, By } from "../base/ids.ts";
import type { StateKind } from "../message/lifecycle.ts";
import type { Arrivals, ArrivedSpan } from "./arrivals.ts";

export type Event = {
  readonly id: number;
  readonly at: Instant;
  readonly lane: LaneName | null;
  readonly from: Seq;
  readonly through: Seq;
  readonly kind: string;
  readonly actor: Actor;
  readonly detail: string;
  /** Trace id of the one message it is about, where that left the happy path; null for ranges and for everything else. */
  readonly trace: string | null;
  /** Trace id of the request by which a person or program acted; null for what happened of its own accord. */
  readonly requestTrace: string | null;
};
export type EventFilter = {
  readonly since?: Instant;
  readonly until?: Instant;
  readonly terminal?: TerminalId;
  readonly kind?: string;
  readonly actor?: Actor;
};
export type EventPage = { readonly events: readonly Event[]; readonly next: number | null };
export type Overview = {
  readonly terminals: number;
  readonly received: number;
  readonly loaded: number;
  /** Received, not yet loaded and not excepted. */
  readonly backlog: number;
  readonly oldestReceivedAt: Instant | null;
  readonly retrying: number;
  readonly held: number;
  readonly dead: number;
  readonly discarded: number;
  readonly updatesHead: UpdateId;
};
export interface Trail {
  /** The events that cover message `seq` of the lane, in order. */
  of(lane: LaneName, seq: Seq): Promise<readonly Event[]>;
  /** Newest first. */
  recent(limit: number, before: number | null): Promise<readonly Event[]>;
  /** Newest first, before the event `before`; pages are as those of `page`. */
  newest(filter: EventFilter, limit: number, before: number | null): Promise<EventPage>;
  /** From the SQL view `message_state`; null when there is no such message. */
  state(lane: LaneName, seq: Seq): Promise<StateKind | null>;
  /**
   * What of the lane came before message `before` (null: all of it) and within the time, newest first, about `limitBytes` of it;
   * costs as much as that, whatever the lane holds. The first piece may reach beyond `before`. Copies that are no longer kept are not told.
   */
  arrivals(lane: LaneName, before: Seq | null, span: ArrivedSpan, limitBytes: number): Promise<Arrivals>;
  /** Messages of the terminal that carry this value in a searchable column, newest first. */
  find(
    terminal: TerminalId,
    value: string,
    limit: number,
  ): Promise<readonly { readonly lane: LaneName; readonly seq: Seq }[]>;
  /**
   * The same over all terminals that have these tags, newest of each terminal first; costs as much as there are hits. `at`: only
   * of a terminal of this name or with this value in any tag, for people who say "of store 014".
   */
  findAnywhere(
    value: string,
    tags: Readonly<Record<string, string>>,
    at: string | null,
    limit: number,
  ): Promise<readonly { readonly lane: LaneName; readonly seq: Seq }[]>;
  /**
   * Oldest first, behind the event `after`. A page looks at a bounded stretch of the trail, so it may hold few events or none
   * and yet have a `next`; null: that was all.
   */
  page(filter: EventFilter, after: number): Promise<EventPage>;
  overview(): Promise<Overview>;
  note(kind: string, lane: LaneName | null, by: By, detail: string): Promise<void>;
}
