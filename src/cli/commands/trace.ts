import type { Command } from "commander";
import pc from "picocolors";
import { isoOf } from "../../base/clock.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { waitText } from "../../hub/api/waits.ts";
import type { TraceAnswer, TracedMessage } from "../../hub/api/trace.ts";
import type { ExceptionRow } from "../../ledger/exceptions.ts";
import type { Event } from "../../ledger/trail.ts";
import { tracePage } from "../../observe/trace-link.ts";
import { operatorOf } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";

export function addTrace(program: Command, output: Output): void {
  program
    .command("trace")
    .description("tell one message's life: where it is, what happened to it, and why")
    .argument("<terminal>", "the terminal that sent it; alone, or with --tag: the value to look for in all terminals")
    .argument("[what]", "its number, or a value of a searchable column such as a receipt number")
    .option("--tag <name:value...>", "of terminals with this tag only, such as store:014")
    .addHelpText(
      "after",
      "\nExamples:\n  waybill trace till-014-1 42\n  waybill trace till-014-1 S-4711\n  waybill trace 4711 --tag store:014     receipt 4711 of store 014, whichever till it was\n  waybill trace 4711",
    )
    .action(async (terminal: string, what: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly tag?: readonly string[] }>();
      const operator = await operatorOf(options, systemRuntime);
      if (what === undefined) {
        const query = { value: terminal, tag: options.tag?.join(",") };
        const found = await operator.get<TraceAnswer>("/api/find", query);
        return output.out(options.json ? JSON.stringify(found) : messagesText(found));
      }
      const answer = await operator.get<TraceAnswer>(
        `/api/trace/${encodeURIComponent(terminal)}/${encodeURIComponent(what)}`,
      );
      output.out(options.json ? JSON.stringify(answer) : messagesText(answer));
    });
}

const messagesText = ({ messages, traceLink }: TraceAnswer): string =>
  messages.map((message) => messageText(message, traceLink ?? null)).join("\n\n");

function messageText(message: TracedMessage, link: string | null): string {
  const lines = [`${pc.bold(`${message.lane}/${message.seq}`)}  ${message.state}: ${message.headline}`];
  lines.push(...message.waits.map((wait) => `  ${pc.yellow(waitText(wait))}`));
  if (message.exception) lines.push(...exceptionText(message.exception));
  if (message.trace !== null) lines.push(pc.dim(`  trace ${traceText(message.trace, link)}`));
  lines.push(
    "",
    ...message.events.map((event) => eventText(event, link)),
    "",
    ...message.payload.lines.map((line) => payloadText(line)),
  );
  if (message.payload.truncated) lines.push(pc.dim("  … the rest is not shown"));
  return lines.join("\n");
}

export function exceptionText(exception: ExceptionRow): string[] {
  const lines = [`  ${exception.fault ?? ""} ${exception.detail}`.trimEnd()];
  if (exception.dueAt !== null && exception.state === "retrying")
    lines.push(`  next try ${isoOf(exception.dueAt)}, after ${exception.attempts} attempt(s)`);
  if (exception.behind)
    lines.push(`  waits behind ${exception.behind.lane}/${exception.behind.seq} on ${exception.behind.on}`);
  if (exception.holds > 0) lines.push(`  ${exception.holds} message(s) wait behind it`);
  if (exception.edited) lines.push("  was edited by an operator; the line as received is kept");
  return lines;
}

/** @param link where traces are looked at, with `{trace}` in it */
export function eventText(event: Event, link: string | null): string {
  const range = event.from === event.through ? "" : ` (${event.from}–${event.through})`;
  const request = event.requestTrace === null ? "" : `request ${traceText(event.requestTrace, link)}`;
  const told = [event.detail, request].filter((text) => text !== "").join("  ");
  return `  ${isoOf(event.at)}  ${event.kind.padEnd(14)} ${event.actor}${range}  ${pc.dim(told)}`.trimEnd();
}

const traceText = (trace: string, link: string | null): string => (link === null ? trace : tracePage(link, trace));

/** A message line as people read it: one change a line, what changed side by side. */
export function payloadText(line: string): string {
  let message: {
    at?: string;
    changes?: { op: string; table: string; key: unknown; row?: unknown; before?: Record<string, unknown> }[];
  };
  try {
    message = JSON.parse(line) as typeof message;
  } catch {
    return `  ${line}`;
  }
  const changes = (message.changes ?? []).map((change) =>
    `  ${change.op.padEnd(6)} ${change.table} ${JSON.stringify(change.key)}  ${pc.dim(differences(change))}`.trimEnd(),
  );
  return [`  committed at the terminal ${message.at ?? "at an unknown time"}`, ...changes].join("\n");
}

function differences(change: { readonly row?: unknown; readonly before?: Record<string, unknown> }): string {
  const row = (change.row ?? {}) as Record<string, unknown>;
  const { before } = change;
  if (!before) return change.row === undefined ? "" : JSON.stringify(row);
  const moved = Object.keys(row).filter((column) => JSON.stringify(row[column]) !== JSON.stringify(before[column]));
  return moved
    .map((column) => `${column}: ${JSON.stringify(before[column])} → ${JSON.stringify(row[column])}`)
    .join(", ");
}
