import type { Command } from "commander";
import { systemRuntime } from "../../base/runtime.ts";
import { splitLane } from "../../base/ids.ts";
import type { Bulk, BulkItem, Waiting } from "../../ledger/exceptions.ts";
import { operatorOf } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { count, duration, table, type Output } from "../print.ts";

export type FilterOptions = GlobalOptions & {
  readonly terminal?: string;
  readonly fault?: string;
  readonly table?: string;
  readonly key?: string;
  readonly since?: string;
  readonly until?: string;
};

/** The options that say which messages are meant, the same wherever many are. */
export const filtered = (command: Command): Command =>
  command
    .option("--terminal <id>", "of this terminal only")
    .option("--fault <code>", "with this reason only, such as CHECK_VIOLATED")
    .option("--table <name>", "that touch this table only")
    .option("--key <value>", "that carry this value of a searchable column, such as a receipt number")
    .option("--since <time>", "refused at or after this time, such as 2026-11-26T09:00:00Z")
    .option("--until <time>", "refused before this time");

export const filterOf = ({ terminal, fault, table: name, key, since, until }: FilterOptions) => ({
  terminal,
  fault,
  table: name,
  key,
  since,
  until,
});

type PreviewOptions = FilterOptions & { readonly states?: string; readonly start?: boolean; readonly reason?: string };
type ReasonOptions = GlobalOptions & { readonly reason: string };

export function addBulk(dead: Command, output: Output): void {
  const bulk = dead
    .command("bulk")
    .description("one act on many messages: preview freezes the list, start works it off")
    .addHelpText(
      "after",
      '\nExamples:\n  waybill dead bulk requeue --fault NULL_REFUSED       says what it would release; does nothing yet\n  waybill dead bulk start 7 --reason "column mended"\n  waybill dead bulk show 7                             how far it is, message by message\n  waybill dead bulk cancel 7 --reason "wrong list"',
    );
  for (const verb of ["requeue", "discard"] as const) {
    filtered(bulk.command(verb))
      .description(`preview: which messages a ${verb} would reach, and what waits behind them`)
      .option("--states <list>", "dead, retrying, held; with commas")
      .action(async (_: unknown, command: Command) => {
        const options = command.optsWithGlobals<PreviewOptions>();
        const operator = await operatorOf(options, systemRuntime);
        const filter = { ...filterOf(options), states: options.states };
        const { bulk: made } = await operator.post<{ bulk: Bulk }>("/api/bulk", { verb, filter });
        output.out(options.json ? JSON.stringify({ bulk: made }) : previewText(made));
      });
  }
  bulk
    .command("list")
    .description("acts on many, newest first")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const { bulks } = await operator.get<{ bulks: readonly Bulk[] }>("/api/bulk");
      output.out(options.json ? JSON.stringify({ bulks }) : bulks.map(lineOf).join("\n") || "There are none.");
    });
  bulk
    .command("show")
    .description("how far one is, and what has become of each message of its list")
    .argument("<id>")
    .option("--after <n>", "go on behind this item", "0")
    .action(async (id: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly after: string }>();
      const operator = await operatorOf(options, systemRuntime);
      const path = `/api/bulk/${encodeURIComponent(id)}`;
      const shown = await operator.get<{ bulk: Bulk; items: readonly BulkItem[]; next: number | null }>(path, {
        after: options.after,
      });
      output.out(
        options.json ? JSON.stringify(shown) : [lineOf(shown.bulk), itemsText(shown.items, shown.next)].join("\n"),
      );
    });
  for (const [verb, meaning] of [
    ["start", "let it run as previewed"],
    ["cancel", "end it: what has been ordered stays ordered"],
  ] as const) {
    bulk
      .command(verb)
      .description(meaning)
      .argument("<id>")
      .requiredOption("--reason <text>", "why; kept in the audit trail under your name")
      .action(async (id: string, _: unknown, command: Command) => {
        const options = command.optsWithGlobals<ReasonOptions>();
        const operator = await operatorOf(options, systemRuntime);
        const path = `/api/bulk/${encodeURIComponent(id)}/${verb}`;
        const { bulk: now } = await operator.post<{ bulk: Bulk }>(path, { reason: options.reason });
        output.out(
          options.json ? JSON.stringify({ bulk: now }) : `${lineOf(now)}\nFollow it with: waybill dead bulk show ${id}`,
        );
      });
  }
}

/** What a bulk act would do, before anything is done. */
export function previewText(bulk: Bulk): string {
  if (bulk.messages === 0) return `No message matches: there is nothing to ${bulk.verb}.`;
  const lines = [
    `${bulk.verb === "requeue" ? "Requeues" : "Discards"} ${count(bulk.messages)} message(s) of ${count(bulk.terminals)} terminal(s).`,
    bulk.waiting.messages === 0
      ? "Nothing is held behind them."
      : `Releases ${count(bulk.waiting.messages)} held message(s) of ${count(bulk.waiting.terminals)} terminal(s).`,
  ];
  if (bulk.beyond > 0)
    lines.push(`${count(bulk.beyond)} more match and are not on this list: repeat it when this one is done.`);
  lines.push(`Nothing has been done yet. Do it with: waybill dead bulk start ${bulk.id} --reason "…"`);
  return lines.join("\n");
}

const lineOf = (bulk: Bulk): string =>
  `${bulk.id}  ${bulk.verb}  ${bulk.state}: ${count(bulk.ordered)} ordered and ${count(bulk.skipped)} left alone of ${count(bulk.messages)}, by ${bulk.by}${bulk.reason === null ? "" : `: ${bulk.reason}`}`;

function itemsText(items: readonly BulkItem[], next: number | null): string {
  const rows = table(
    ["n", "terminal", "number", "outcome", "is now", "why"],
    items.map((item) => [item.n, splitLane(item.lane).terminal, item.seq, item.outcome ?? "waits", item.now, item.why]),
  );
  return next === null ? rows : `${rows}\n… more: --after ${next}`;
}

export function waitingText({ messages, terminals, since, keys }: Waiting): string[] {
  if (messages === 0 || since === null) return [];
  const age = duration(systemRuntime.clock.now() - since);
  const most = keys.map(({ on, messages: held }) => `${on} (${held})`).join(", ");
  return [
    `  behind it wait ${count(messages)} message(s) of ${terminals} terminal(s), the oldest for ${age}, on ${most}`,
  ];
}
