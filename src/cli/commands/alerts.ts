import type { Command } from "commander";
import pc from "picocolors";
import { systemRuntime } from "../../base/runtime.ts";
import type { ShownAlertRules, ShownAlerts } from "../../hub/api/operator/alerts.ts";
import { operatorOf } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { duration, table, type Output } from "../print.ts";

type ListOptions = GlobalOptions & { readonly past?: boolean; readonly rule?: string; readonly limit: string };
type SeeOptions = GlobalOptions & { readonly note: string };

export function addAlerts(program: Command, output: Output): void {
  const alerts = program
    .command("alerts")
    .description("what is wrong now, and what was: the alerts that log, webhooks and mails were told of")
    .option("--past", "those that are over, instead of those that are open")
    .option("--rule <name>", "of one rule only, such as dead-letters")
    .option("--limit <n>", "at most so many, newest first", "50")
    .addHelpText(
      "after",
      '\nExamples:\n  waybill alerts\n  waybill alerts rules\n  waybill alerts see 01JDCW0000000000000000000A --note "the line is down; the provider knows"\n  waybill alerts test pager',
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ListOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const { past, rule, limit } = options;
      const found = await operator.get<ShownAlerts>("/api/alerts", { state: past ? "past" : "open", rule, limit });
      output.out(options.json ? JSON.stringify(found) : alertsText(found, past ?? false, systemRuntime.clock.now()));
    });
  alerts
    .command("rules")
    .description("the rules with their thresholds, and how each channel does")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const found = await operator.get<ShownAlertRules>("/api/alerts/rules");
      output.out(options.json ? JSON.stringify(found) : rulesText(found, systemRuntime.clock.now()));
    });
  alerts
    .command("see")
    .description("say that you have seen it: it stays open until it is over, and is not told again meanwhile")
    .argument("<id>", "as `waybill alerts` shows it")
    .requiredOption("--note <text>", "kept in the audit trail under your name")
    .action(async (id: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<SeeOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const path = `/api/alerts/${encodeURIComponent(id)}/see`;
      const answer = await operator.post<ShownAlerts["alerts"][number]>(path, { note: options.note });
      output.out(options.json ? JSON.stringify(answer) : `Noted: ${answer.what}`);
    });
  alerts
    .command("test")
    .description("send a trial to a channel, now")
    .argument("[channel]", "as `waybill alerts rules` names it", "log")
    .action(async (channel: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const answer = await operator.post<{ channel: string; key: string }>("/api/alerts/test", { channel });
      output.out(options.json ? JSON.stringify(answer) : `${answer.channel} took the trial (key ${answer.key}).`);
    });
}

function alertsText({ alerts, next }: ShownAlerts, past: boolean, now: number): string {
  if (alerts.length === 0) return past ? "Nothing was wrong of late." : "Nothing is wrong.";
  const blocks = alerts.map(({ id, rule, what, raisedAt, clearedAt, seen }) =>
    [
      `${past ? pc.dim(rule) : pc.red(rule)} ${what}`,
      pc.dim(
        `  ${id} · ${
          clearedAt === null
            ? `for ${duration(now - raisedAt)}`
            : `lasted ${duration(clearedAt - raisedAt)}, over for ${duration(now - clearedAt)}`
        }${seen === null ? "" : ` · seen by ${seen.by}: ${seen.note}`}`,
      ),
    ].join("\n"),
  );
  return [...blocks, ...(next === null ? [] : [pc.dim("There are more: --limit.")])].join("\n");
}

function rulesText({ rules, channels }: ShownAlertRules, now: number): string {
  const limit = ([name, value]: [string, number]): string =>
    name.endsWith("Ms")
      ? `${name.slice(0, -2)} ${duration(value)}`
      : name.endsWith("Bytes")
        ? `${name.slice(0, -5)} ${Math.round(value / 1_048_576)} MiB`
        : `${name} ${value}`;
  return [
    table(
      ["rule", "limits", "meaning"],
      rules.map(({ name, limits, meaning }) => [
        name,
        limits === null ? "off" : Object.entries(limits).map(limit).join(", ") || "any",
        meaning,
      ]),
    ),
    "",
    table(
      ["channel", "goes to", "waiting", "given up", "last taken", "fault"],
      channels.map(({ name, target, waiting, givenUp, deliveredAt, fault }) => [
        name,
        target,
        waiting,
        givenUp,
        deliveredAt === null ? null : `${duration(now - deliveredAt)} ago`,
        fault,
      ]),
    ),
  ].join("\n");
}
