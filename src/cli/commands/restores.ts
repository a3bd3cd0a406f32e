import type { Command } from "commander";
import pc from "picocolors";
import { systemRuntime } from "../../base/runtime.ts";
import type { EpochAsk, MissingRange, RestoredTerminal } from "../../ledger/restores.ts";
import { operatorOf } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { duration, table, type Output } from "../print.ts";

/** What `GET /api/restores` answers. */
export type Restores = {
  readonly restored: readonly RestoredTerminal[];
  readonly missing: readonly MissingRange[];
  readonly asks: readonly EpochAsk[];
};
type ReasonOptions = GlobalOptions & { readonly reason: string };

export function addRestores(program: Command, output: Output): void {
  const restores = program
    .command("restores")
    .description("what was set back to an older copy, what is missing by that, who waits for your word")
    .argument("[terminal]", "of this terminal only")
    .addHelpText(
      "after",
      '\nExamples:\n  waybill restores\n  waybill restores allow till-014-1 01JDCW0000000000000000000A --reason "new disk; the old one is scrapped"\n  waybill restores settle till-014-1 --reason "compared by hand"',
    )
    .action(async (terminal: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const found = await operator.get<Restores>("/api/restores", { terminal, limit: 1_000 });
      output.out(options.json ? JSON.stringify(found) : restoresText(found, systemRuntime.clock.now()));
    });
  restores
    .command("allow")
    .description("let an install that was refused take the terminal over")
    .argument("<terminal>")
    .argument("<install>", "as `waybill restores` names it")
    .requiredOption("--reason <text>", "why; kept in the audit trail under your name")
    .action(async (terminal: string, install: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ReasonOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const path = `/api/terminals/${encodeURIComponent(terminal)}/epochs/allow`;
      const answer = await operator.post<unknown>(path, { install, reason: options.reason });
      output.out(
        options.json ? JSON.stringify(answer) : `${terminal} goes on with install ${install} at its next call.`,
      );
    });
  restores
    .command("settle")
    .description("say that a restored terminal is well again")
    .argument("<terminal>")
    .requiredOption("--reason <text>", "why; kept in the audit trail under your name")
    .action(async (terminal: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ReasonOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const path = `/api/terminals/${encodeURIComponent(terminal)}/restored/settle`;
      const answer = await operator.post<unknown>(path, { reason: options.reason });
      output.out(options.json ? JSON.stringify(answer) : `${terminal} is restored no longer.`);
    });
}

function restoresText({ restored, missing, asks }: Restores, now: number): string {
  const blocks: string[] = [];
  if (missing.length > 0)
    blocks.push(
      `${pc.red("Nobody has these messages any more.")} "lost" never had an effect at the centre; the others wait until they are discarded.`,
      table(
        ["lane", "from", "through", "state", "known since"],
        missing.map((row) => [row.lane, row.from, row.through, row.state, duration(now - row.notedAt)]),
      ),
    );
  if (asks.length > 0)
    blocks.push(
      `${pc.yellow("These installs may not send")}, since another does for the same terminal: waybill restores allow <terminal> <install>`,
      table(
        ["terminal", "install", "asks since", "why", "allowed by"],
        asks.map((row) => [row.terminal, row.install, duration(now - row.askedAt), row.reason, row.allowedBy]),
      ),
    );
  if (restored.length > 0)
    blocks.push(
      `${pc.yellow("Restored terminals")}: what they sold between copy and restore is at the centre only.`,
      table(
        ["terminal", "since", "why"],
        restored.map((row) => [row.terminal, duration(now - row.at), row.reason]),
      ),
    );
  return blocks.length === 0 ? "Nothing was restored, and nothing is missing." : blocks.join("\n");
}
