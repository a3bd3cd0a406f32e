import type { Command } from "commander";
import { systemRuntime } from "../../base/runtime.ts";
import { removedText, type RetentionPass, type RetentionState } from "../../hub/retention-keeper.ts";
import type { RetentionOutlook } from "../../ledger/retention.ts";
import { operatorOf, type Operator } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { duration, table, type Output } from "../print.ts";

const LOOK_EVERY_MS = 500;

export function addRetention(program: Command, output: Output): void {
  const retention = program
    .command("retention")
    .description("what is kept how long, and what a pass would take away; does nothing by itself")
    .addHelpText(
      "after",
      "\nExamples:\n  waybill retention                look at what is beyond its time\n  waybill retention run            take it away now, and show the progress\n\nThe times stand under `retention` in the config. Nothing unfinished is ever taken away.",
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const state = await operator.get<RetentionState>("/api/retention");
      output.out(options.json ? JSON.stringify(state) : stateText(state, systemRuntime.clock.now()));
    });
  retention
    .command("run")
    .description("take away now what is over and beyond its time; ends when the pass has ended")
    .option("--dry-run", "only say what a pass would look at")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly dryRun?: true }>();
      const operator = await operatorOf(options, systemRuntime);
      if (options.dryRun) {
        const state = await operator.get<RetentionState>("/api/retention");
        output.out(options.json ? JSON.stringify(state) : stateText(state, systemRuntime.clock.now()));
        return;
      }
      const begun = await operator.post<{ readonly pass: RetentionPass }>("/api/retention/passes", {});
      const pass = await followed(operator, begun.pass, options.json ? null : (text) => output.err(text));
      output.out(options.json ? JSON.stringify(pass) : passText(pass));
      if (pass.failed !== null) process.exitCode = 1;
    });
}

/** Until the pass has ended; tells each time it is at something else. */
async function followed(
  operator: Operator,
  begun: RetentionPass,
  tell: ((text: string) => void) | null,
): Promise<RetentionPass> {
  let told: string | null = null;
  for (let pass = begun; ;) {
    if (pass.endedAt !== null) return pass;
    const text = `at ${pass.kind ?? "the end"}: ${removedText(pass.removed, pass.bytes)} so far`;
    if (text !== told) tell?.(text);
    told = text;
    await systemRuntime.timers.sleep(LOOK_EVERY_MS);
    const state = await operator.get<RetentionState>("/api/retention");
    // Another process behind the same address: its pass is not ours, and ours goes on where it was begun.
    if (state.pass === null || state.pass.startedAt < begun.startedAt) continue;
    pass = state.pass;
  }
}

const WORDS: Readonly<Record<RetentionOutlook["kind"], string>> = {
  messages: "messages, in stored runs",
  exceptions: "late loads with their edits",
  events: "events of the audit trail",
  updates: "updates applied everywhere",
  history: "history, points of",
};

function stateText({ keep, everyMs, outlook, pass }: RetentionState, now: number): string {
  const keptMs: Readonly<Record<RetentionOutlook["kind"], number>> = {
    messages: keep.messagesMs,
    exceptions: keep.messagesMs,
    events: keep.eventsMs,
    updates: keep.updatesMs,
    history: keep.historyMs,
  };
  return [
    table(
      ["what", "kept for", "oldest", "beyond its time"],
      outlook.map(({ kind, about, oldest }) => [
        WORDS[kind],
        days(keptMs[kind]),
        oldest === null ? "—" : `${duration(now - oldest)} ago`,
        about === 0 ? "nothing" : `about ${about.toLocaleString("en")}`,
      ]),
    ),
    "What is unfinished or discarded stays, whatever its age; so does the last request of each terminal.",
    everyMs === 0 ? "A pass begins only by `waybill retention run`." : `A pass begins every ${duration(everyMs)}.`,
    ...(pass === null
      ? []
      : [pass.endedAt === null ? `A pass is under way, at ${pass.kind ?? "the end"}.` : passText(pass)]),
  ].join("\n");
}

const days = (ms: number): string => `${Math.round(ms / 86_400_000)} days`;

function passText({ by, startedAt, endedAt, removed, bytes, failed }: RetentionPass): string {
  const took = duration((endedAt ?? startedAt) - startedAt);
  const done = removedText(removed, bytes);
  return failed === null
    ? `The last pass (by ${by}) took ${took}: ${done}.`
    : `The last pass (by ${by}) ended after ${took} before its time: ${failed}. Until then: ${done}. The next one goes on.`;
}
