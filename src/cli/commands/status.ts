import type { Command } from "commander";
import pc from "picocolors";
import { systemRuntime } from "../../base/runtime.ts";
import type { Overview, TerminalLine } from "../../ledger/port.ts";
import { operatorOf } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import type { Restores } from "./restores.ts";
import { count, duration, table, type Output } from "../print.ts";

export function addStatus(program: Command, output: Output): void {
  program
    .command("status")
    .description("backlog, lag and dead letters, terminal by terminal")
    .option("--limit <n>", "how many terminals to show", "100")
    .addHelpText("after", "\nExamples:\n  waybill status\n  waybill status --json | jq .overview.dead")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly limit: string }>();
      const operator = await operatorOf(options, systemRuntime);
      const [overview, { terminals }, restores] = await Promise.all([
        operator.get<Overview>("/api/overview"),
        operator.get<{ terminals: readonly TerminalLine[] }>("/api/terminals", { limit: options.limit }),
        operator.get<Restores>("/api/restores", { limit: 1_000 }),
      ]);
      if (options.json) return output.out(JSON.stringify({ overview, terminals, restores }));
      output.out(overviewText(overview, restores, systemRuntime.clock.now()));
      if (terminals.length > 0) output.out(`\n${terminalsText(terminals, overview, systemRuntime.clock.now())}`);
    });
}

/** What needs attention first, in words; then the counts. */
function overviewText(overview: Overview, { missing, asks, restored }: Restores, now: number): string {
  const lines: string[] = [];
  const refused = asks.filter(({ allowedBy }) => allowedBy === null);
  if (missing.length > 0)
    lines.push(pc.red(`Nobody has the messages of ${missing.length} range(s) any more: waybill restores`));
  if (refused.length > 0)
    lines.push(pc.red(`${refused.length} install(s) may not send, since another does: waybill restores`));
  if (restored.length > 0)
    lines.push(pc.yellow(`${restored.length} terminal(s) were set back to an older copy: waybill restores`));
  if (overview.dead > 0)
    lines.push(pc.red(`${count(overview.dead)} message(s) are dead and wait for a person: waybill dead list`));
  if (overview.held > 0) lines.push(pc.yellow(`${count(overview.held)} message(s) are held behind others`));
  if (overview.retrying > 0)
    lines.push(pc.yellow(`${count(overview.retrying)} message(s) were refused and are tried again by themselves`));
  if (lines.length === 0) lines.push(pc.green("Nothing needs attention."));
  const oldest =
    overview.oldestReceivedAt === null ? "" : `, the oldest since ${duration(now - overview.oldestReceivedAt)}`;
  lines.push(
    "",
    `${count(overview.terminals)} terminals · ${count(overview.received)} messages received · ${count(overview.loaded)} loaded · ${count(overview.backlog)} waiting${oldest}`,
  );
  return lines.join("\n");
}

function terminalsText(terminals: readonly TerminalLine[], overview: Overview, now: number): string {
  return table(
    ["terminal", "received", "loaded", "waiting", "retrying", "held", "dead", "lag", "updates behind", "last seen"],
    terminals.map((line) => [
      line.terminal,
      line.received,
      line.loaded,
      line.waiting,
      line.retrying,
      line.held,
      line.dead,
      line.lagMs === null ? null : duration(line.lagMs),
      Math.max(0, overview.updatesHead - line.appliedThrough),
      line.lastSeenAt === null ? "never" : `${duration(now - line.lastSeenAt)} ago`,
    ]),
  );
}
