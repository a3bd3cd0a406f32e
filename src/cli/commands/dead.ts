import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { WaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { splitLane } from "../../base/ids.ts";
import type { TraceAnswer } from "../../hub/api/trace.ts";
import type { ExceptionGroup, ExceptionRow, Revision, Waiting } from "../../ledger/exceptions.ts";
import type { Event } from "../../ledger/trail.ts";
import type { Rehearsal } from "../../load/port.ts";
import { operatorOf, type Operator } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { duration, table, type Output } from "../print.ts";
import { addBulk, filtered, filterOf, waitingText } from "./dead-bulk.ts";
import { eventText, exceptionText, payloadText } from "./trace.ts";

type ListOptions = GlobalOptions & {
  readonly terminal?: string;
  readonly fault?: string;
  readonly table?: string;
  readonly key?: string;
  readonly since?: string;
  readonly until?: string;
  readonly states: string;
  readonly limit: string;
  readonly after?: string;
};
type ActOptions = GlobalOptions & { readonly reason: string; readonly payload?: string };
type EditOptions = GlobalOptions & { readonly reason?: string; readonly payload: string; readonly dryRun?: boolean };
type Shown = {
  readonly exception: ExceptionRow;
  readonly payload: { readonly lines: readonly string[] };
  readonly events: readonly Event[];
  readonly waiting: Waiting;
  readonly revisions: readonly (Omit<Revision, "line"> & { readonly line: string })[];
  readonly traceLink: string | null;
  readonly centre: { readonly rows: Rehearsal["rows"] } | { readonly unavailable: string };
};

export function addDead(program: Command, output: Output): void {
  const dead = program
    .command("dead")
    .description("messages that the central database refused: look, try again, give up")
    .addHelpText(
      "after",
      '\nExamples:\n  waybill dead list --terminal till-014-1\n  waybill dead show till-014-1 42\n  waybill dead requeue till-014-1 42 --reason "price list corrected"\n\nMany at once: waybill dead groups, then waybill dead bulk requeue --fault CODE.',
    );
  filtered(dead.command("list"))
    .description("oldest first, with the reason and how many messages wait behind each")
    .option("--states <list>", "dead, retrying, held, discarded; with commas", "dead")
    .option("--limit <n>", "how many", "50")
    .option("--after <place>", "go on behind the page before")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ListOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const { limit, after, states } = options;
      const page = await operator.get<{ rows: readonly ExceptionRow[]; next: string | null }>("/api/exceptions", {
        ...filterOf(options),
        states,
        limit,
        after,
      });
      output.out(options.json ? JSON.stringify(page) : listText(page.rows, page.next, states));
    });
  filtered(dead.command("groups"))
    .description("the same fault in the same tables together, the largest group first")
    .option("--states <list>", "dead, retrying, held, discarded; with commas", "dead")
    .option("--limit <n>", "how many", "50")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ListOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const { states, limit } = options;
      const query = { ...filterOf(options), states, limit };
      const { groups } = await operator.get<{ groups: readonly ExceptionGroup[] }>("/api/exception-groups", query);
      output.out(options.json ? JSON.stringify({ groups }) : groupsText(groups, states));
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
          ...waitingText(shown.waiting),
          "",
          ...shown.events.map((event) => eventText(event, shown.traceLink)),
          "",
          ...shown.payload.lines.map(payloadText),
          ...shown.revisions.flatMap((edit) => [
            "",
            `  revision ${edit.n} by ${edit.by}: ${edit.reason}${edit.n === exception.revision ? "   (counts now)" : ""}`,
            payloadText(edit.line),
          ]),
          "",
          ...centreText(shown.centre),
        ].join("\n"),
      );
    });
  addEdit(dead, output);
  addBulk(dead, output);
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

function addEdit(dead: Command, output: Output): void {
  dead
    .command("edit")
    .description("try a message again as edited; the centre tries the edit first and takes it back")
    .argument("<terminal>")
    .argument("<what>", "its number or a searchable value")
    .requiredOption(
      "--payload <file>",
      "the edited message line, as JSON; `waybill dead show --json` gives the one that came",
    )
    .option("--reason <text>", "why; kept with the edit under your name")
    .option("--dry-run", "only show what the centre would do with it")
    .addHelpText(
      "after",
      '\nThe line as received stays where it was; edits are numbered beside it.\n\nExample:\n  waybill dead edit till-014-1 42 --payload mended.json --dry-run\n  waybill dead edit till-014-1 42 --payload mended.json --reason "quantity was typed twice"',
    )
    .action(async (terminal: string, what: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<EditOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const path = await pathOf(operator, terminal, what);
      const payload = (await readPayload(options.payload)).trim();
      if (options.dryRun) {
        const tried = await operator.post<Rehearsal>(`${path}/dry-run`, { payload });
        return output.out(options.json ? JSON.stringify(tried) : dryRunText(tried));
      }
      if (options.reason === undefined) throw new WaybillError("USAGE", "--reason is missing (or pass --dry-run)");
      const { exception: seen } = await operator.get<Shown>(path);
      const body = { reason: options.reason, payload, basedOn: seen.revision };
      const { exception } = await operator.post<{ exception: ExceptionRow | null }>(`${path}/requeue`, body);
      output.out(
        options.json
          ? JSON.stringify({ exception })
          : `Edited and queued again: ${terminal} ${what}, revision ${exception?.revision ?? "?"}. Follow it with: waybill trace ${terminal} ${what}`,
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

function groupsText(groups: readonly ExceptionGroup[], states: string): string {
  if (groups.length === 0) return `No message is ${states.replaceAll(",", " or ")}.`;
  const now = systemRuntime.clock.now();
  return table(
    ["reason", "tables", "messages", "terminals", "since", "newest says"],
    groups.map((group) => [
      group.fault,
      group.tables.join(", "),
      group.messages,
      group.terminals,
      duration(now - group.since),
      cut(group.detail),
    ]),
  );
}

function centreText(centre: Shown["centre"]): string[] {
  if ("unavailable" in centre) return [`  the centre's rows cannot be looked at now: ${centre.unavailable}`];
  if (centre.rows.length === 0) return [];
  const rows = centre.rows.map(
    ({ table: name, key, now }) =>
      `  ${name} ${JSON.stringify(key)}  ${now === null ? "is not there" : JSON.stringify(now)}`,
  );
  return ["  at the centre now:", ...rows];
}

function dryRunText({ fault, rows, notes }: Rehearsal): string {
  const verdict = fault
    ? `The centre would refuse it: ${fault.code} ${fault.detail}`
    : "The centre would take it. Nothing was changed by trying.";
  const moves = rows.map(
    ({ table: name, key, now, after }) =>
      `  ${name} ${JSON.stringify(key)}  ${JSON.stringify(now)} → ${JSON.stringify(after)}`,
  );
  return [verdict, ...notes.map(({ kind, detail }) => `  ${kind}: ${detail}`), ...moves].join("\n");
}
