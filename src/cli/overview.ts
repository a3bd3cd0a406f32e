import pc from "picocolors";
import type { TerminalLine } from "../ledger/fleet.ts";
import type { Overview } from "../ledger/trail.ts";
import { waitText, type Standstill } from "../hub/api/waits.ts";
import type { Restores } from "./commands/restores.ts";
import { count, duration, table, type Cell } from "./print.ts";
import { cut, sparkline, type Size } from "./screen.ts";

/** How things stand, as the operator API tells it. */
export type Standing = {
  readonly overview: Overview;
  readonly terminals: readonly TerminalLine[];
  readonly restores: Restores;
  readonly standstill: Standstill;
};

/** What needs attention, worst first, in words; one calm line when nothing does. */
export function attention({
  overview,
  restores: { missing, asks, restored },
  standstill: { pauses, breaker },
}: Pick<Standing, "overview" | "restores" | "standstill">): string[] {
  const lines: string[] = [];
  if (breaker && breaker.kind !== "closed") {
    const { since, fault } = breaker;
    lines.push(pc.red(waitText({ kind: "breaker", target: "central", since, fault })));
  }
  for (const { kind, name, since, by, reason, fault } of pauses)
    lines.push(pc.yellow(waitText({ kind: "paused", scope: { kind, name }, since, by, reason, fault })));
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
  return lines.length === 0 ? [pc.green("Nothing needs attention.")] : lines;
}

export function counts(overview: Overview, now: number): string {
  const { terminals, received, loaded, backlog, oldestReceivedAt } = overview;
  const oldest = oldestReceivedAt === null ? "" : `, the oldest since ${duration(now - oldestReceivedAt)}`;
  return `${count(terminals)} terminals · ${count(received)} messages received · ${count(loaded)} loaded · ${count(backlog)} waiting${oldest}`;
}

type Column = { readonly title: string; readonly of: (line: TerminalLine, standing: Standing, now: number) => Cell };
/** In the order they stand in. */
const COLUMNS = {
  terminal: { title: "terminal", of: (line) => line.terminal },
  received: { title: "received", of: (line) => line.received },
  loaded: { title: "loaded", of: (line) => line.loaded },
  waiting: { title: "waiting", of: (line) => line.waiting },
  retrying: { title: "retrying", of: (line) => line.retrying },
  held: { title: "held", of: (line) => line.held },
  dead: { title: "dead", of: (line) => line.dead },
  lag: { title: "lag", of: (line) => (line.lagMs === null ? null : duration(line.lagMs)) },
  behind: {
    title: "updates behind",
    of: (line, { overview }) => Math.max(0, overview.updatesHead - line.appliedThrough),
  },
  seen: {
    title: "last seen",
    of: (line, _, now) => (line.lastSeenAt === null ? "never" : `${duration(now - line.lastSeenAt)} ago`),
  },
} as const satisfies Record<string, Column>;
type ColumnName = keyof typeof COLUMNS;
/** What a narrow screen does without, first to last. */
const SPARED: readonly ColumnName[] = ["received", "loaded", "behind", "retrying", "held", "lag", "seen", "dead"];

export function terminalsText(standing: Standing, now: number, names = Object.keys(COLUMNS) as ColumnName[]): string {
  return table(
    names.map((name) => COLUMNS[name].title),
    standing.terminals.map((line) => names.map((name) => (COLUMNS[name] as Column).of(line, standing, now))),
  );
}

/** The rate of a figure in the last minutes, oldest first, each from two looks. */
export type Rates = { readonly received: readonly number[]; readonly loaded: readonly number[] };
export type Watched = Standing & {
  readonly address: string;
  readonly rates: Rates;
  /** Why the figures are old, and since when; null while the hub answers. */
  readonly silent: { readonly since: number; readonly why: string } | null;
};

/** Terminals in trouble first, then those that wait, then those not heard of for longest. */
const trouble = (line: TerminalLine): readonly number[] => [
  line.dead,
  line.held + line.retrying,
  line.waiting,
  0 - (line.lastSeenAt ?? 0),
];
function worstFirst(a: TerminalLine, b: TerminalLine): number {
  const [left, right] = [trouble(a), trouble(b)];
  const at = left.findIndex((value, i) => value !== right[i]);
  return at < 0 ? 0 : (right[at] ?? 0) - (left[at] ?? 0);
}

/** The whole screen: what needs a person at the top, how fast it goes, and as many terminals as there is room for. */
export function picture(watched: Watched, now: number, size: Size): string[] {
  const { columns, rows } = size;
  const { overview, rates, silent } = watched;
  const lines = [`${pc.bold("Waybill")}  ${pc.dim(watched.address)}`];
  if (silent)
    lines.push(
      pc.red(`The hub does not answer since ${duration(now - silent.since)}: these figures are old. ${silent.why}`),
    );
  lines.push("", ...attention(watched), "");
  const bars = Math.max(0, Math.min(60, columns - 34));
  const rate = (title: string, values: readonly number[]): string =>
    `  ${title.padEnd(9)}${(values.at(-1) ?? 0).toFixed(1).padStart(9)} a second  ${pc.cyan(sparkline(values, bars))}`.trimEnd();
  lines.push(rate("received", rates.received), rate("loaded", rates.loaded));
  const oldest =
    overview.oldestReceivedAt === null ? "" : `  the oldest since ${duration(now - overview.oldestReceivedAt)}`;
  lines.push(`  ${"waiting".padEnd(9)}${count(overview.backlog).padStart(9)}${oldest}`, "");
  const sorted = { ...watched, terminals: watched.terminals.toSorted(worstFirst) };
  const room = rows - lines.length - 3; // the table's head, what is left out, and how to end
  const shown = { ...sorted, terminals: sorted.terminals.slice(0, Math.max(0, room)) };
  if (shown.terminals.length > 0) lines.push(...fittingTable(shown, now, columns));
  const left = overview.terminals - shown.terminals.length;
  if (left > 0) lines.push(pc.dim(`… and ${count(left)} terminals more`));
  lines.push(pc.dim("q or Ctrl-C ends"));
  return lines.slice(0, rows).map((line) => cut(line, columns));
}

function fittingTable(standing: Standing, now: number, columns: number): string[] {
  let names = Object.keys(COLUMNS) as ColumnName[];
  for (const spared of [null, ...SPARED]) {
    names = names.filter((name) => name !== spared);
    const lines = terminalsText(standing, now, names).split("\n");
    if (lines.every((line) => cut(line, columns) === line))
      return lines.map((line, i) => toned(line, standing.terminals[i - 1]));
  }
  return terminalsText(standing, now, ["terminal", "waiting"]).split("\n");
}

const toned = (line: string, terminal: TerminalLine | undefined): string =>
  terminal === undefined
    ? line
    : terminal.dead > 0
      ? pc.red(line)
      : terminal.held + terminal.retrying > 0
        ? pc.yellow(line)
        : line;
