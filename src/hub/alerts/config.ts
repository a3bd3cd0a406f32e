import { z } from "zod";
import type { AlertRules } from "./rules.ts";
import type { AlertSettings, ChannelSettings } from "./settings.ts";

const MINUTE_MS = 60_000;
/** A restart of the hub takes less; terminals are given longer. */
const LOST_MS = 5 * MINUTE_MS;
const MIB = 1024 * 1024;

const whole = (from: number): z.ZodNumber => z.number().int().min(from).max(Number.MAX_SAFE_INTEGER);
/** A rule's thresholds, each with a default, or `false` for none of it. */
const rule = <T extends z.ZodRawShape>(what: string, shape: T) =>
  z
    .union([z.literal(false), z.strictObject(shape)], {
      error: "must be `false`, or an object of this rule's thresholds",
    })
    .prefault({} as never)
    .describe(what);
const minutes = (value: number, what: string) => z.number().positive().default(value).describe(`${what}, in minutes`);

const channelName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,39}$/, "must be 1–40 small letters, digits or hyphens")
  .refine((name) => name !== "log", '"log" is the name of the log itself');

export const alertsConfig = z
  .strictObject({
    hub: z.string().min(1).max(100).default("waybill").describe("how this installation is called in alerts"),
    everySeconds: z.number().min(1).max(600).default(15).describe("how often the rules are looked at, in seconds"),
    settleMinutes: z
      .number()
      .min(0)
      .default(1)
      .describe("how long a trouble must have been gone before it is told to be over, in minutes"),
    againMinutes: minutes(60, "how long after a notice a trouble that grew is told again"),
    each: whole(1)
      .max(1_000)
      .default(10)
      .describe("alerts of one rule that are told one by one; those beyond are told together"),
    rules: z
      .strictObject({
        deadLetters: rule("messages that were refused for good", {
          from: whole(1).default(1).describe("dead letters of one fault and table from which it is told"),
        }),
        laneHeld: rule("lanes with messages that wait behind one in trouble", {
          afterMinutes: minutes(30, "how long messages of a lane may be held"),
        }),
        terminalSilent: rule("terminals not heard of for much longer than is usual for them", {
          factor: z.number().min(1).max(100).default(2).describe("how many times its longest silence of late"),
          leastMinutes: minutes(30, "never sooner than this"),
          newMinutes: minutes(48 * 60, "for terminals known for less than a week"),
        }),
        backlogOld: rule("received messages that wait to be loaded", {
          afterMinutes: minutes(15, "how long a received message may wait to be loaded"),
        }),
        breakerOpen: rule("a central database that does not answer", {
          afterMinutes: minutes(1, "how long the centre may be away"),
        }),
        routePaused: rule("routes that Waybill paused for a fault, at once, and pauses of a person that last", {
          personMinutes: minutes(240, "how long a person's pause may last"),
        }),
        diskLow: rule("the disk of a ledger in a file", {
          belowMib: whole(1).default(4_096).describe("free disk below which it is told, in MiB"),
        }),
        clockSkew: rule("terminals with a wrong clock", {
          aboveMinutes: minutes(5, "difference between a terminal's clock and the hub's"),
        }),
        snapshotHeld: rule("transactions held open in the ledger's database (PostgreSQL)", {
          afterMinutes: minutes(10, "how long a transaction may stay open in the ledger's database"),
        }),
        restored: rule("terminals set back to an older copy, installs that wait for a word", {}),
        messagesLost: rule("numbers whose messages nobody has any more", {}),
      })
      .prefault({} as never)
      .describe("what is told of, each with its thresholds; `false` switches a rule off"),
    webhooks: z
      .array(
        z.strictObject({
          name: channelName.describe("of the channel, in `waybill alerts`"),
          url: z
            .string()
            .regex(/^https?:\/\/./, 'must look like "https://host/path"')
            .describe("where notices are posted"),
          secret: z
            .string()
            .min(16, "must have at least 16 characters")
            .describe('what notices are signed with (HMAC-SHA-256); write "${NAME}" to take it from the environment'),
        }),
      )
      .default([])
      .describe("receivers by HTTP"),
    email: z
      .array(
        z.strictObject({
          name: channelName.describe("of the channel, in `waybill alerts`"),
          server: z
            .string()
            .regex(/^smtps?:\/\/./, 'must look like "smtp://user:password@host:587" or "smtps://host"')
            .describe('the mail server; with "smtp:" and a password TLS is required, but for this machine itself'),
          from: z
            .string()
            .regex(/^[^\r\n]*@[^\r\n]*$/, "must be an e-mail address")
            .describe("sender"),
          to: z
            .array(z.string().regex(/^[^\r\n]*@[^\r\n]*$/, "must be an e-mail address"))
            .min(1, "name at least one")
            .describe("who gets them"),
        }),
      )
      .default([])
      .describe("receivers by e-mail"),
  })
  .superRefine(({ webhooks, email }, context) => {
    const names = new Set<string>();
    for (const [list, channels] of Object.entries({ webhooks, email }))
      for (const [i, { name }] of channels.entries()) {
        if (names.has(name))
          context.addIssue({
            code: "custom",
            path: [list, i, "name"],
            message: `another channel is called "${name}" too`,
          });
        names.add(name);
      }
  })
  .prefault({} as never);

export type CheckedAlerts = z.output<typeof alertsConfig>;

export function alertSettings(config: CheckedAlerts): AlertSettings {
  const channels: ChannelSettings[] = [
    { kind: "log", name: "log" },
    ...config.webhooks.map((webhook) => ({ kind: "webhook" as const, ...webhook })),
    ...config.email.map((email) => ({ kind: "email" as const, ...email })),
  ];
  return {
    hub: config.hub,
    everyMs: config.everySeconds * 1_000,
    policy: {
      settleMs: config.settleMinutes * MINUTE_MS,
      againMs: config.againMinutes * MINUTE_MS,
      each: config.each,
      channels: channels.map(({ name }) => name),
      lostMs: Math.max(LOST_MS, 4 * config.everySeconds * 1_000),
    },
    rules: rulesOf(config.rules),
    channels,
  };
}

function rulesOf(rules: CheckedAlerts["rules"]): AlertRules {
  const after = (given: false | { readonly afterMinutes: number }) =>
    given && { afterMs: given.afterMinutes * MINUTE_MS };
  const { terminalSilent: silent, routePaused: paused, diskLow, clockSkew } = rules;
  return {
    "dead-letters": rules.deadLetters || null,
    "lane-held": after(rules.laneHeld) || null,
    "terminal-silent": silent
      ? { factor: silent.factor, leastMs: silent.leastMinutes * MINUTE_MS, newMs: silent.newMinutes * MINUTE_MS }
      : null,
    "backlog-old": after(rules.backlogOld) || null,
    "breaker-open": after(rules.breakerOpen) || null,
    "route-paused": paused ? { personMs: paused.personMinutes * MINUTE_MS } : null,
    "disk-low": diskLow ? { belowBytes: diskLow.belowMib * MIB } : null,
    "clock-skew": clockSkew ? { aboveMs: clockSkew.aboveMinutes * MINUTE_MS } : null,
    "snapshot-held": after(rules.snapshotHeld) || null,
    restored: rules.restored || null,
    "messages-lost": rules.messagesLost || null,
  };
}
