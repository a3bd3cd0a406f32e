import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { WaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { splitLane } from "../../base/ids.ts";
import type { TraceAnswer } from "../../hub/api/trace.ts";
import type { ExceptionRow } from "../../ledger/exceptions.ts";
import type { Event } from "../../ledger/port.ts";
import { operatorOf, type Operator } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { duration, table, type Output } from "../print.ts";
import { eventText, exceptionText, payloadText } from "./trace.ts";

type ListOptions = GlobalOptions & {
  readonly terminal?: string;
  readonly fault?: string;
  readonly table?: string;
  readonly states: string;
  readonly limit: string;
  readonly after?: string;
};
type ActOptions = GlobalOptions & { readonly reason: string; readonly payload?: string };
type Shown = {
  readonly exception: ExceptionRow;
  readonly payload: { readonly lines: readonly string[] };
  readonly events: readonly Event[];
};

export function addDead(program: Command, output: Output): void {
  const dead = program
    .command("dead")
    .description("messages that the central database refused: look, try again, give up")
    .addHelpText(
      "after",
      '\nExamples:\n  waybill dead list --terminal till-014-1\n  waybill dead show till-014-1 42\n  waybill dead requeue till-014-1 42 --reason "price list corrected"',
    );
  dead
    .command("list")
    .description("oldest first, with the reason and how many messages wait behind each")
    .option("--terminal <id>", "of this terminal only")
    .option("--fault <code>", "with this reason only, such as CHECK_VIOLATED")
    .option("--table <name>", "that touch this table only")
    .option("--states <list>", "dead, retrying, held, discarded; with commas", "dead")
    .option("--limit <n>", "how many", "50")
    .option("--after <place>", "go on behind the page before")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ListOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const { terminal, fault, limit, after, states } = options;
      const page = await operator.get<{ rows: readonly ExceptionRow[]; next: string | null }>("/api/exceptions", {
        states,
        terminal,
        fault,
        table: options.table,
        limit,
        after,
      });
      output.out(options.json ? JSON.stringify(page) : listText(page.rows, page.next, states));
    });
  dead
    .command("show")
    .description("one message: what was refused, what the database said, its payload, its history")
    .argument("<terminal>")
    .argument("<what>", "its number or a searchable value")
    .action(async (terminal: string, what: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const shown = await operator.get<Shown>(await pathOf(operator, terminal, what));
      if (options.json) return output.out(JSON.stringify(shown));
      const { exception } = shown;
      output.out(
        [
          `${exception.lane}/${exception.seq}  ${exception.state}`,
          ...exceptionText(exception),
          "",
          ...shown.events.map(eventText),
          "",
          ...shown.payload.lines.map(payloadText),
        ].join("\n"),
      );
    });
  act(dead, output, "requeue", "try it again, as it was or edited; what waits behind it follows").option(
    "--payload <file>",
    "the edited message line, as JSON",
  );
  act(dead, output, "discard", "give it up for ever, in the ledger and in the central database");
}

function act(dead: Command, output: Output, verb: "requeue" | "discard", meaning: string): Command {
  return dead
    .command(verb)
    .description(meaning)
    .argument("<terminal>")
    .argument("<what>", "its number or a searchable value")
    .requiredOption("--reason <text>", "why; kept in the audit trail under your name")
    .action(async (terminal: string, what: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ActOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const payload = options.payload === undefined ? undefined : (await readPayload(options.payload)).trim();
      const path = await pathOf(operator, terminal, what);
      const { exception } = await operator.post<{ exception: ExceptionRow | null }>(`${path}/${verb}`, {
        reason: options.reason,
        ...(payload === undefined ? {} : { payload }),
      });
      if (options.json) return output.out(JSON.stringify({ exception }));
      output.out(
        `${verb === "requeue" ? "Queued again" : "Given up"}: ${terminal} ${what}${exception ? `, now ${exception.state}` : ""}. Follow it with: waybill trace ${terminal} ${what}`,
      );
    });
}

async function readPayload(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new WaybillError("USAGE", `--payload: ${file} cannot be read`, { cause });
  }
}

/** Asks which message is meant; more than one is a question back, not a guess. */
async function pathOf(operator: Operator, terminal: string, what: string): Promise<string> {
  const { messages } = await operator.get<TraceAnswer>(
    `/api/trace/${encodeURIComponent(terminal)}/${encodeURIComponent(what)}`,
  );
  const off = messages.filter((message) => message.exception !== null);
  const [only] = off;
  if (!only)
    throw new WaybillError(
      "NOT_FOUND",
      `${terminal} ${what} is ${messages[0]?.state ?? "not known"}: nothing was refused`,
    );
  if (off.length > 1) {
    throw new WaybillError(
      "USAGE",
      `${off.length} messages match; name one: ${off.map((message) => `${splitLane(message.lane).epoch}/${message.seq}`).join(", ")}`,
    );
  }
  return `/api/exceptions/${encodeURIComponent(terminal)}/${encodeURIComponent(splitLane(only.lane).epoch)}/${only.seq}`;
}

function listText(rows: readonly ExceptionRow[], next: string | null, states: string): string {
  if (rows.length === 0) return `No message is ${states.replaceAll(",", " or ")}.`;
  const now = systemRuntime.clock.now();
  const lines = table(
    ["terminal", "number", "state", "since", "reason", "tables", "waits behind it", "what the database said"],
    rows.map((row) => [
      splitLane(row.lane).terminal,
      row.seq,
      row.state,
      duration(now - row.since),
      row.fault,
      row.tables.join(", "),
      row.holds,
      cut(row.detail),
    ]),
  );
  return next === null ? lines : `${lines}\n… more: --after ${next}`;
}
const cut = (text: string): string => (text.length > 100 ? `${text.slice(0, 99)}…` : text);
