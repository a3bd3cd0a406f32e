import type { Instant } from "../base/clock.ts";

/**
 * What retention takes away, in the order of a pass. `keys` are the searchable values of messages, and go with them; `lists` are bulk
 * acts that ended and enrolment tokens that were used or ran out.
 */
export const RETENTION_KINDS = ["messages", "keys", "exceptions", "events", "updates", "history", "lists"] as const;
export type RetentionKind = (typeof RETENTION_KINDS)[number];

/** How long things are kept, in milliseconds. */
export type Keep = {
  /** Lines, their searchable values, and the story of their repair: since they were loaded. */
  readonly messagesMs: number;
  readonly eventsMs: number;
  readonly updatesMs: number;
  /** A terminal that was not seen for so long holds no updates back. */
  readonly awayMs: number;
  readonly historyMs: number;
};

/** `next`: where the pass goes on; null when this kind is done. `bytes`: of the payload removed, where the store knows it. */
export type RetentionStep = { readonly removed: number; readonly bytes: number; readonly next: number | null };

/** What a pass would look at. An estimate made without reading the rows; what is unfinished among them stays. */
export type RetentionOutlook = {
  readonly kind: Exclude<RetentionKind, "keys" | "lists">;
  /** Rows beyond their time. */
  readonly about: number;
  /** Of the oldest row there is, in time or not; null when there is none. */
  readonly oldest: Instant | null;
};

/**
 * Takes away what is over and beyond its time. Never anything unfinished (I7): no line, value or event of a message that is not loaded
 * or discarded, no update that a terminal still has to take, and nothing of discarded messages or missing numbers (I1). Of each lane
 * the last request stays, since its sender may not have heard that it is stored.
 */
export interface Retention {
  /**
   * One small step, a transaction of its own, which holds up neither ingest nor loading: at most about `rows` rows, or one partition
   * where the store has them. Begin a kind with `after` 0 and go on with `next`. A pass that ends anywhere leaves nothing half-done.
   */
  step(kind: RetentionKind, keep: Keep, after: number, rows: number): Promise<RetentionStep>;
  /** Costs the same however much there is. */
  outlook(keep: Keep): Promise<readonly RetentionOutlook[]>;
  /** How large the store is now, in bytes, and how much more it can take without growing (where it can tell). */
  space(): Promise<{ readonly usedBytes: number; readonly reusableBytes: number }>;
}

/** How far lanes are loaded is noted so often within the time that messages are kept: so much longer some of them stay. */
export const MARKS_A_PERIOD = 8;
