import type { Instant } from "../base/clock.ts";
import type { Alert, AlertPolicy, NoticeKind, Trouble } from "./alerts.ts";

/** An open alert as it is stored. */
export type OpenAlert = Pick<Alert, "id" | "rule" | "subject" | "what" | "count" | "facts" | "raisedAt"> & {
  /** Since when the trouble was no longer found; null while it is. */
  readonly absentSince: Instant | null;
  /** The count that people know of, and when they were told last. */
  readonly toldCount: number | null;
  readonly toldAt: Instant;
  readonly isSeen: boolean;
};
export type AlertMove =
  | { readonly do: "raise"; readonly trouble: Trouble }
  /** `tell` null: only what is shown changes. */
  | {
      readonly do: "update";
      readonly id: string;
      readonly trouble: Trouble;
      readonly absentSince: Instant | null;
      readonly toldCount: number | null;
      readonly tell: NoticeKind | null;
    }
  | { readonly do: "clear"; readonly id: string };

/** Subject of the alert that stands for all troubles of a rule that have none of their own. */
export const MANY = "*";
/** Of those, so many are named. */
const NAMED = 5;

/**
 * What becomes of the alerts that are open, given what was found now. Of each rule at most `policy.each` troubles are told one
 * by one. What is beyond is one alert, and while that is open no trouble gets one of its own: else a thousand terminals that come
 * back in any order would each take the place of the one before, and be told.
 */
export function judgeAlerts(
  open: readonly OpenAlert[],
  looked: ReadonlySet<string>,
  found: readonly Trouble[],
  policy: AlertPolicy,
  now: Instant,
): readonly AlertMove[] {
  const rules = new Set([...looked, ...found.map(({ rule }) => rule)]);
  const openBy = Map.groupBy(open, ({ rule }) => rule);
  const foundBy = Map.groupBy(found, ({ rule }) => rule);
  return [...rules].flatMap((rule) => judgeRule(openBy.get(rule) ?? [], foundBy.get(rule) ?? [], policy, now));
}

function judgeRule(
  open: readonly OpenAlert[],
  found: readonly Trouble[],
  policy: AlertPolicy,
  now: Instant,
): readonly AlertMove[] {
  const own = new Map(open.map((alert) => [alert.subject, alert]));
  const many = own.get(MANY);
  // Each subject once; of two processes that report the same, the first stands.
  const troubles = new Map<string, Trouble>();
  for (const trouble of found) if (!troubles.has(trouble.subject)) troubles.set(trouble.subject, trouble);
  const known = [...troubles.values()].filter(({ subject }) => own.has(subject));
  const fresh = [...troubles.values()].filter(({ subject }) => !own.has(subject) && subject !== MANY);
  const places = many ? 0 : Math.max(0, policy.each - own.size);
  // A rule that stops listing at some size says how many there are beyond its list in a trouble named MANY.
  const unlisted = troubles.get(MANY);
  const beyond = [...fresh.slice(places), ...(unlisted ? [unlisted] : [])];
  const foundNow = new Map(
    known.filter(({ subject }) => subject !== MANY).map((trouble) => [trouble.subject, trouble]),
  );
  if (beyond.length > 0) foundNow.set(MANY, together(beyond));

  const moves: AlertMove[] = [];
  for (const alert of open) {
    const trouble = foundNow.get(alert.subject);
    if (trouble) moves.push(...stays(alert, trouble, policy, now));
    // A list that was cut does not say that what is missing from it is well.
    else if (!unlisted) moves.push(...goes(alert, policy, now));
  }
  for (const trouble of fresh.slice(0, places)) moves.push({ do: "raise", trouble });
  const rest = foundNow.get(MANY);
  if (rest && !many) moves.push({ do: "raise", trouble: rest });
  return moves;
}

function stays(alert: OpenAlert, trouble: Trouble, policy: AlertPolicy, now: Instant): readonly AlertMove[] {
  const { count } = trouble;
  const hasGrown = count !== null && alert.toldCount !== null && count > alert.toldCount;
  const tell = hasGrown && !alert.isSeen && now - alert.toldAt >= policy.againMs ? "grown" : null;
  // What was mended is forgotten, so that as many new ones are told.
  const known = count === null || alert.toldCount === null ? count : Math.min(alert.toldCount, count);
  const toldCount = tell === null ? known : count;
  const isSame =
    alert.what === trouble.what && alert.absentSince === null && alert.count === count && alert.toldCount === toldCount;
  if (isSame && tell === null) return [];
  return [{ do: "update", id: alert.id, trouble, absentSince: null, toldCount, tell }];
}

function goes(alert: OpenAlert, policy: AlertPolicy, now: Instant): readonly AlertMove[] {
  const since = alert.absentSince ?? now;
  if (now - since >= policy.settleMs) return [{ do: "clear", id: alert.id }];
  if (alert.absentSince !== null) return [];
  return [{ do: "update", id: alert.id, trouble: alert, absentSince: now, toldCount: alert.toldCount, tell: null }];
}

function together(beyond: readonly Trouble[]): Trouble {
  const [first] = beyond as [Trouble, ...Trouble[]];
  const named = beyond.filter(({ subject }) => subject !== MANY).map(({ subject }) => subject);
  const unlisted = beyond.find(({ subject }) => subject === MANY)?.count ?? 0;
  const count = named.length + unlisted;
  const shown = named.slice(0, NAMED).join(", ");
  const more = count - Math.min(named.length, NAMED);
  return {
    rule: first.rule,
    subject: MANY,
    what: `${count} more of the same: ${shown}${more > 0 ? `${shown === "" ? "" : " and "}${more} others` : ""}.`,
    count,
    facts: { more: count },
  };
}
