import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { ALERT_RULES, ALERT_RULE_NAMES } from "../../alerts/rules.ts";
import type { AlertSettings, ChannelSettings } from "../../alerts/settings.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { jsonRoute, queryOf, route, type Route } from "../route.ts";
import { count } from "./query.ts";

const when = z.number().int().describe("milliseconds since 1970");
const alertShape = z.object({
  id: z.string().describe("sorts by the time it was raised"),
  rule: z.enum(ALERT_RULE_NAMES),
  subject: z
    .string()
    .describe('what it is about, such as a lane or terminal; "" the whole, "*" all beyond those told one by one'),
  what: z.string().describe("for people, one sentence"),
  count: z.number().int().nullable().describe("how many things are wrong, where they are counted"),
  facts: z.record(z.string(), z.union([z.string(), z.number(), z.null()])),
  raisedAt: when,
  clearedAt: when.nullable().describe("null while it is open"),
  seen: z.object({ by: z.string(), at: when, note: z.string() }).nullable().describe("who said to have seen it"),
});
const listShape = z.object({
  alerts: z.array(alertShape),
  next: z.string().nullable().describe("`before` of the next page; null: that was all"),
});
const rulesShape = z.object({
  rules: z.array(
    z.object({
      name: z.enum(ALERT_RULE_NAMES),
      title: z.string(),
      meaning: z.string(),
      todo: z.string(),
      /** Null: the rule is off. */
      limits: z
        .record(z.string(), z.number())
        .nullable()
        .describe("thresholds, in the unit their names end with; null: the rule is off"),
    }),
  ),
  channels: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(["log", "webhook", "email"]),
      target: z.string().describe("where it goes, without secrets"),
      waiting: z.number().int(),
      givenUp: z.number().int(),
      deliveredAt: when.nullable(),
      fault: z.string().nullable().describe("why the last delivery failed, if it did"),
    }),
  ),
});
const alertsQuery = z.object({
  state: z.enum(["open", "past"]).default("open"),
  rule: z.enum(ALERT_RULE_NAMES).optional().describe("of this rule only"),
  limit: count(100, 1_000),
  before: z.string().max(26).optional().describe("the `next` of the page before"),
});
const seeCall = z.object({ note: z.string().trim().min(1).max(1_000).describe("kept in the audit trail") });
const testCall = z.object({ channel: z.string().max(40).default("log").describe("name of the channel") });
const testShape = z.object({ channel: z.string(), key: z.string().describe("of the notice that was delivered") });

/** What people are told of without asking: what is open, what is over, by which rules and channels. */
export function alertRoutes({ ledger, alerts }: HubApiParts): readonly Route[] {
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/alerts",
        summary: "Alerts that are open, or those that are over, newest first",
        query: alertsQuery,
        answer: { status: 200, schema: listShape },
        faults: [],
      },
      async ({ request }) => {
        const { state, rule, limit, before } = queryOf(alertsQuery, request);
        const filter = { state, ...(rule === undefined ? {} : { rule }) };
        const found = await ledger.alerts.list(filter, limit, before ?? null);
        return json(200, { alerts: found, next: found.length === limit ? (found.at(-1)?.id ?? null) : null });
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/alerts/rules",
        summary: "The rules with their thresholds, and the channels with how they do",
        answer: { status: 200, schema: rulesShape },
        faults: [],
      },
      async () => {
        const states = new Map((await ledger.alerts.channels()).map((state) => [state.channel, state]));
        const channels = (alerts?.settings.channels ?? []).map((channel) => {
          const { waiting, givenUp, deliveredAt, fault } = states.get(channel.name) ?? NOTHING;
          const { name, kind } = channel;
          return { name, kind, target: targetOf(channel), waiting, givenUp, deliveredAt, fault };
        });
        return json(200, { rules: rulesOf(alerts?.settings), channels });
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/alerts/{id}/see",
        summary: "Say that you have seen it: it stays open until the trouble is over, and is not told again meanwhile",
        answer: { status: 200, schema: alertShape },
        faults: ["NOT_FOUND", "STATE_CONFLICT"],
      },
      seeCall,
      async ({ caller: { by }, params, body }) => json(200, await ledger.alerts.see(params["id"] ?? "", by, body.note)),
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/alerts/test",
        summary: "Send a trial to one channel, now",
        answer: { status: 200, schema: testShape },
        faults: ["NOT_FOUND", "NOTICE_UNDELIVERED"],
      },
      testCall,
      async ({ body }) => {
        if (!alerts) throw new WaybillError("NOT_FOUND", "this hub tells nobody of anything");
        return json(200, await alerts.test(body.channel));
      },
    ),
  ];
}
export type ShownAlerts = z.output<typeof listShape>;
export type ShownAlertRules = z.output<typeof rulesShape>;

const NOTHING = { waiting: 0, givenUp: 0, deliveredAt: null, fault: null };

const rulesOf = (settings: AlertSettings | undefined) =>
  ALERT_RULE_NAMES.map((name) => ({ name, ...ALERT_RULES[name], limits: settings?.rules[name] ?? null }));

/** The path of a webhook's address is often its only secret. */
function targetOf(channel: ChannelSettings): string {
  if (channel.kind === "log") return "the hub's log";
  if (channel.kind === "webhook") return new URL(channel.url).origin;
  return `${channel.to.join(", ")} by ${new URL(channel.server).host}`;
}
