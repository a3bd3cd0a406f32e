import type { Instant } from "../base/clock.ts";
import type { Actor } from "../base/ids.ts";
import type { Alert, AlertFacts, Notice, NoticeKind, Trouble } from "./alerts.ts";

/** A row of the table `alert`, as both stores give it. */
export type AlertRow = {
  readonly id: string;
  readonly rule: string;
  readonly subject: string;
  readonly what: string;
  readonly count: number | null;
  readonly facts: string;
  readonly raisedAt: Instant;
  readonly clearedAt: Instant | null;
  readonly seenBy: Actor | null;
  readonly seenAt: Instant | null;
  readonly seenNote: string | null;
};
export const ALERT_COLUMNS = `id, rule, subject, what, count, facts, raised_at as "raisedAt", cleared_at as "clearedAt",
  seen_by as "seenBy", seen_at as "seenAt", seen_note as "seenNote"`;

export const alertOf = ({ facts, seenBy, seenAt, seenNote, ...row }: AlertRow): Alert => ({
  ...row,
  facts: JSON.parse(facts) as AlertFacts,
  seen: seenBy === null || seenAt === null ? null : { by: seenBy, at: seenAt, note: seenNote ?? "" },
});

export type OpenRow = AlertRow & {
  readonly absentSince: Instant | null;
  readonly toldCount: number | null;
  readonly toldAt: Instant;
  readonly notices: number;
};
export const OPEN_COLUMNS = `${ALERT_COLUMNS}, absent_since as "absentSince", told_count as "toldCount",
  told_at as "toldAt", notices`;
export const openOf = (row: OpenRow) => ({
  ...alertOf(row),
  absentSince: row.absentSince,
  toldCount: row.toldCount,
  toldAt: row.toldAt,
  isSeen: row.seenBy !== null,
});

export type NoticeRow = {
  readonly id: number;
  readonly channel: string;
  readonly key: string;
  readonly kind: NoticeKind;
  readonly at: Instant;
  readonly attempts: number;
  readonly alert: string;
};
export const noticeOf = (row: NoticeRow): Notice => ({ ...row, alert: JSON.parse(row.alert) as Alert });

/** What receivers tell repeats by. */
export const noticeKey = (alert: string, n: number): string => `${alert}/${n}`;

export const troublesOf = (reports: readonly { readonly troubles: string }[]): readonly Trouble[] =>
  reports.flatMap(({ troubles }) => JSON.parse(troubles) as readonly Trouble[]);

/** How the trail says it. */
export const eventText = ({ rule, subject, what }: Trouble): string =>
  subject === "" ? `${rule}: ${what}` : `${rule} ${subject}: ${what}`;

/** Held messages that are looked at for the longest waiting, so that a look stays cheap. */
export const HELD_LOOKED_AT = 20_000;
export const DEAD_LOOKED_AT = 50_000;
