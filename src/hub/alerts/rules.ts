import { isoOf } from "../../base/clock.ts";
import type { AlertLimits, AlertSight, Trouble } from "../../ledger/alerts.ts";

/** Every rule there is, with what it means and what to do, for people. The only list: config, console and docs come from it. */
export const ALERT_RULES = {
  "dead-letters": {
    title: "Dead letters",
    meaning: "Messages were refused for good and wait for a person, by fault and tables.",
    todo: "`waybill dead list` shows them; mend the cause or the payload and requeue, or discard.",
  },
  "lane-held": {
    title: "Lane held",
    meaning: "Messages of a terminal have waited for long behind one that is in trouble.",
    todo: "`waybill trace` on one of them names what it waits behind; that one is mended first.",
  },
  "terminal-silent": {
    title: "Terminal silent",
    meaning: "A terminal was not heard of for much longer than is usual for it.",
    todo: "Look whether the shop is open, has power and network, and whether the agent runs: `waybill terminal status` there.",
  },
  "backlog-old": {
    title: "Backlog old",
    meaning: "The oldest message that was received has waited long to be loaded.",
    todo: "`waybill status` shows whether the centre is away, a lane stopped, or loading is too slow.",
  },
  "breaker-open": {
    title: "Centre away",
    meaning: "The central database does not answer; nothing is judged, and terminals' messages are stored meanwhile.",
    todo: "Bring the central database back; loading goes on by itself.",
  },
  "route-paused": {
    title: "Paused",
    meaning: "A table's route was paused, since one fault meets many lanes; or a person's pause has lasted long.",
    todo: "Mend what is named: a probe finds it out and the route goes on by itself. A person's pause is ended by `waybill resume`.",
  },
  "disk-low": {
    title: "Disk nearly full",
    meaning: "The hub's disk is filling; before it is full no more messages are taken in.",
    todo: "Free or add space; below `limits.freeDiskMib` terminals are asked to wait.",
  },
  "clock-skew": {
    title: "Clock wrong",
    meaning: "A terminal's clock differs much from the hub's; order never depends on it, but times shown do.",
    todo: "Set the clock there, best by NTP.",
  },
  "snapshot-held": {
    title: "Transaction held open",
    meaning: "A transaction in the ledger's database has been open for long, so that dead rows cannot be cleared away.",
    todo: "End the session that is named; `waybill doctor` shows what it has cost.",
  },
  restored: {
    title: "Set back to an older copy",
    meaning: "A terminal was set back, or a second install asks to send for one.",
    todo: "`waybill restores` shows each, and what a person must decide.",
  },
  "messages-lost": {
    title: "Messages lost",
    meaning: "Within the last day numbers were found whose messages nobody has any more.",
    todo: "`waybill restores` names the exact ranges; `waybill reconcile` finds their rows.",
  },
} as const satisfies Record<string, { title: string; meaning: string; todo: string }>;
export type AlertRuleName = keyof typeof ALERT_RULES;
export const ALERT_RULE_NAMES = Object.keys(ALERT_RULES) as AlertRuleName[];

/** Thresholds as the config sets them; null: the rule is off. */
export type AlertRules = {
  /** A group (a fault in the same tables) with at least so many messages. */
  readonly "dead-letters": { readonly from: number } | null;
  readonly "lane-held": { readonly afterMs: number } | null;
  readonly "terminal-silent": { readonly factor: number; readonly leastMs: number; readonly newMs: number } | null;
  readonly "backlog-old": { readonly afterMs: number } | null;
  readonly "breaker-open": { readonly afterMs: number } | null;
  /** What a person paused is told of after so long; what Waybill paused itself at once. */
  readonly "route-paused": { readonly personMs: number } | null;
  readonly "disk-low": { readonly belowBytes: number } | null;
  readonly "clock-skew": { readonly aboveMs: number } | null;
  readonly "snapshot-held": { readonly afterMs: number } | null;
  readonly restored: object | null;
  readonly "messages-lost": object | null;
};

/** Rows of one list that are looked at. */
const MOST = 1_000;

export const limitsOf = (rules: AlertRules): AlertLimits => ({
  heldMs: rules["lane-held"]?.afterMs ?? null,
  silent: rules["terminal-silent"],
  skewMs: rules["clock-skew"]?.aboveMs ?? null,
  most: MOST,
});

/** The rules that look at what the ledger tells. */
export const LEDGER_RULES = [
  "dead-letters",
  "lane-held",
  "terminal-silent",
  "backlog-old",
  "clock-skew",
  "restored",
  "messages-lost",
] as const satisfies readonly AlertRuleName[];

/** What the ledger's own figures say is wrong. Pure: times and counts come in, sentences go out. */
export function ledgerTroubles(sight: AlertSight, rules: AlertRules): readonly Trouble[] {
  return [
    ...deadLetters(sight, rules["dead-letters"]),
    ...heldLanes(sight),
    ...silentTerminals(sight),
    ...oldBacklog(sight, rules["backlog-old"]),
    ...wrongClocks(sight),
    ...(rules.restored ? restores(sight) : []),
    ...(rules["messages-lost"] ? lost(sight) : []),
  ];
}

const several = (n: number, one: string, many: string): string => (n === 1 ? `1 ${one}` : `${n} ${many}`);

function deadLetters({ dead }: AlertSight, rule: AlertRules["dead-letters"]): readonly Trouble[] {
  if (!rule) return [];
  return dead
    .filter(({ messages }) => messages >= rule.from)
    .map(({ fault, tables, messages, lanes, since }) => ({
      rule: "dead-letters",
      subject: `${fault ?? "unknown"} ${tables.join(",")}`.trim(),
      what: `${several(messages, "dead letter", "dead letters")} of ${several(lanes, "lane", "lanes")} with ${fault ?? "an unknown fault"} in ${tables.join(", ") || "no table"}, the oldest since ${isoOf(since)}.`,
      count: messages,
      facts: { fault, tables: tables.join(","), messages, lanes, since },
    }));
}

function heldLanes({ held }: AlertSight): readonly Trouble[] {
  return cut(
    "lane-held",
    held,
    held.rows.map(({ lane, messages, since }) => ({
      rule: "lane-held",
      subject: lane,
      what: `${several(messages, "message", "messages")} of ${lane} have been held since ${isoOf(since)} or later.`,
      count: null,
      facts: { lane, messages, since },
    })),
  );
}

function silentTerminals({ silent }: AlertSight): readonly Trouble[] {
  return cut(
    "terminal-silent",
    silent,
    silent.rows.map(({ terminal, lastSeenAt, usualMs }) => ({
      rule: "terminal-silent",
      subject: terminal,
      what: `Terminal ${terminal} was last heard of at ${isoOf(lastSeenAt)}${
        usualMs === null ? "" : `; its longest silence of late was ${minutes(usualMs)}`
      }.`,
      count: null,
      facts: { terminal, lastSeenAt, usualMs },
    })),
  );
}

const minutes = (ms: number): string => {
  const all = Math.max(1, Math.round(ms / 60_000));
  return all < 120 ? several(all, "minute", "minutes") : `${Math.round(all / 60)} hours`;
};

function oldBacklog({ at, backlog }: AlertSight, rule: AlertRules["backlog-old"]): readonly Trouble[] {
  const { oldestAt, messages, lanes, lane } = backlog;
  if (!rule || oldestAt === null || at - oldestAt <= rule.afterMs) return [];
  return [
    {
      rule: "backlog-old",
      subject: "",
      what: `The oldest message that waits to be loaded came at ${isoOf(oldestAt)}, in ${lane}; ${several(messages, "message", "messages")} of ${several(lanes, "lane", "lanes")} wait.`,
      count: null,
      facts: { oldestAt, lane, messages, lanes },
    },
  ];
}

function wrongClocks({ skewed }: AlertSight): readonly Trouble[] {
  return cut(
    "clock-skew",
    skewed,
    skewed.rows.map(({ terminal, skewMs }) => ({
      rule: "clock-skew",
      subject: terminal,
      what: `The clock of terminal ${terminal} is ${minutes(Math.abs(skewMs))} ${skewMs > 0 ? "ahead" : "behind"}.`,
      count: null,
      facts: { terminal, skewMs },
    })),
  );
}

function restores({ restores: { restored, asks } }: AlertSight): readonly Trouble[] {
  const troubles: Trouble[] = [];
  if (restored > 0)
    troubles.push({
      rule: "restored",
      subject: "terminals",
      what: `${several(restored, "terminal was", "terminals were")} set back to an older copy, or away for longer than updates are kept, and not yet found equal to the centre.`,
      count: restored,
      facts: { restored },
    });
  if (asks > 0)
    troubles.push({
      rule: "restored",
      subject: "installs",
      what: `${several(asks, "install may", "installs may")} not send, since another does for the same terminal: a person must say which is the real one.`,
      count: asks,
      facts: { asks },
    });
  return troubles;
}

function lost({ restores: { missing } }: AlertSight): readonly Trouble[] {
  if (missing === 0) return [];
  const what = `${several(missing, "message was", "messages were")} found to be lost within a day: nobody has them any more.`;
  return [{ rule: "messages-lost", subject: "", what, count: missing, facts: { missing } }];
}

/** A list that does not hold all says how many are beyond it. */
function cut(
  rule: AlertRuleName,
  { rows, count }: { readonly rows: readonly unknown[]; readonly count: number },
  listed: readonly Trouble[],
): readonly Trouble[] {
  const more = count - rows.length;
  return more > 0 ? [...listed, { rule, subject: "*", what: "", count: more, facts: {} }] : listed;
}
