import { InvalidArgumentError, type Command } from "commander";
import { asWaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import type { TerminalLine } from "../../ledger/fleet.ts";
import type { Overview } from "../../ledger/trail.ts";
import type { Standstill } from "../../hub/api/waits.ts";
import { operatorOf, type Operator } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { attention, counts, terminalsText, type Standing } from "../overview.ts";
import type { Output } from "../print.ts";
import { watch } from "../watch.ts";
import type { Restores } from "./restores.ts";

type StatusOptions = GlobalOptions & { readonly limit: string; readonly watch?: boolean; readonly every: number };

const seconds = (text: string): number => {
  const n = Number(text);
  if (!Number.isFinite(n) || n < 0.1 || n > 3_600) throw new InvalidArgumentError("must be from 0.1 to 3600 seconds");
  return n;
};

export function addStatus(program: Command, output: Output): void {
  program
    .command("status")
    .description("backlog, lag and dead letters, terminal by terminal")
    .option("--limit <n>", "how many terminals to look at", "100")
    .option("-w, --watch", "look again and again, redrawn in place; q or Ctrl-C ends")
    .option("--every <seconds>", "how often with --watch", seconds, 1)
    .addHelpText(
      "after",
      "\nExamples:\n  waybill status\n  waybill status --watch\n  waybill status --json | jq .overview.dead",
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<StatusOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const look = (): Promise<Standing> => standingOf(operator, options.limit);
      if (options.watch) return watchStatus(look, operator, options, output);
      const standing = await look();
      if (options.json) return output.out(JSON.stringify(standing));
      const now = systemRuntime.clock.now();
      output.out([...attention(standing), "", counts(standing.overview, now)].join("\n"));
      if (standing.terminals.length > 0) output.out(`\n${terminalsText(standing, now)}`);
    });
}

async function standingOf(operator: Operator, limit: string): Promise<Standing> {
  const [overview, { terminals }, restores, standstill] = await Promise.all([
    operator.get<Overview>("/api/overview"),
    operator.get<{ terminals: readonly TerminalLine[] }>("/api/terminals", { limit }),
    operator.get<Restores>("/api/restores", { limit: 1_000 }).catch(withoutRestores),
    operator.get<Standstill>("/api/pauses"),
  ]);
  return { overview, terminals, restores, standstill };
}

/** Whoever may only look is told the rest all the same. */
function withoutRestores(thrown: unknown): Restores {
  if (asWaybillError(thrown).code !== "FORBIDDEN") throw thrown;
  return { missing: [], asks: [], restored: [] };
}

/** With --json one line a look. On a terminal it is drawn in place; q, Ctrl-C and a signal end it, and leave the terminal as it was. */
async function watchStatus(
  look: () => Promise<Standing>,
  operator: Operator,
  options: StatusOptions,
  output: Output,
): Promise<void> {
  const enough = new AbortController();
  const end = (): void => enough.abort();
  const { stdin, stdout } = process;
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, end);
  const keys = stdin.isTTY && stdout.isTTY && !options.json;
  const pressed = (key: Buffer): void => {
    if (["q", "Q", "\u0003", "\u0004", "\u001b"].includes(key.toString())) end();
  };
  if (keys) stdin.setRawMode(true).resume().on("data", pressed);
  try {
    const asJson = { ...output, out: (): void => undefined };
    await watch({
      look: options.json ? told(look, output) : look,
      address: operator.address,
      everyMs: options.every * 1_000,
      runtime: systemRuntime,
      output: options.json ? asJson : output,
      terminal: stdout.isTTY && !options.json ? () => ({ columns: stdout.columns, rows: stdout.rows }) : null,
      stop: enough.signal,
    });
  } finally {
    if (keys) stdin.off("data", pressed).setRawMode(false).pause();
    for (const signal of signals) process.off(signal, end);
  }
}

const told = (look: () => Promise<Standing>, output: Output) => async (): Promise<Standing> => {
  const standing = await look();
  output.out(JSON.stringify(standing));
  return standing;
};
