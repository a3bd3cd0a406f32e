import type { Command } from "commander";
import pc from "picocolors";
import { WaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import type { RepairPreview } from "../../hub/api/operator/reconciles.ts";
import type { Difference, Reconcile, TableReport } from "../../ledger/reconciles.ts";
import { keyForPeople, valueForPeople } from "../../message/key.ts";
import { operatorOf, type Operator } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { count, duration, table, type Output } from "../print.ts";

/** What `GET /api/reconciles/{id}` answers. */
export type ReconcileAnswer = Reconcile & {
  readonly differences: readonly Difference[];
  readonly next: number | null;
};
type OrderOptions = GlobalOptions & {
  readonly table?: readonly string[];
  readonly reason?: string;
  readonly mend?: boolean;
  readonly detach?: boolean;
};
type RepairOptions = GlobalOptions & {
  readonly reason?: string;
  readonly only?: readonly string[];
  readonly removals?: boolean;
  readonly preview?: boolean;
};

const LOOK_MS = 500;
const PAGE = 1_000;

export function addReconcile(program: Command, output: Output): void {
  const reconcile = program
    .command("reconcile")
    .description("compare a terminal with the centre row by row, and send again what differs")
    .argument("[terminal]", "without it: the reconciliations there were")
    .option("--table <name...>", "these tables only, by their names at the terminal")
    .option("--mend", "send again at once what differs")
    .option("--detach", "do not wait for the result")
    .option("--reason <text>", "why; kept in the audit trail under your name")
    .addHelpText(
      "after",
      [
        "\nExamples:",
        "  waybill reconcile",
        "  waybill reconcile till-014-1 --table sale sale_line",
        "  waybill reconcile show 01M8C1RXS44YW1FKK9H039WW7V",
        '  waybill reconcile repair 01M8C1RXS44YW1FKK9H039WW7V --reason "rows deleted by hand at the centre"',
      ].join("\n"),
    )
    .action(async (terminal: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<OrderOptions>();
      const operator = await operatorOf(options, systemRuntime);
      if (terminal === undefined) {
        const found = await operator.get<{ reconciles: readonly Reconcile[] }>("/api/reconciles", { limit: 50 });
        output.out(options.json ? JSON.stringify(found) : listText(found.reconciles, systemRuntime.clock.now()));
        return;
      }
      const { table: tables, reason = "compared by an operator", mend = false } = options;
      const order = { reason, mend, ...(tables === undefined ? {} : { tables }) };
      const path = `/api/terminals/${encodeURIComponent(terminal)}/reconcile`;
      const ordered = await operator.post<Reconcile>(path, order);
      if (options.detach) {
        output.out(options.json ? JSON.stringify(ordered) : `Ordered. waybill reconcile show ${ordered.id}`);
        return;
      }
      await showEnd(operator, ordered.id, options, output);
    });
  reconcile
    .command("show")
    .description("how far one is, and what it found: each key, with both values")
    .argument("<id>")
    .action(async (id: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const answer = await whole(operator, id);
      output.out(options.json ? JSON.stringify(answer) : reconcileText(answer));
    });
  reconcile
    .command("repair")
    .description("send the rows that differ again, each by the direction of its table")
    .argument("<id>", "of the comparison that found them")
    .option("--only <number...>", "these differences only, by their numbers")
    .option("--removals", "also take rows away at the terminal that the centre does not give it")
    .option("--preview", "only tell what would be done")
    .option("--reason <text>", "why; kept in the audit trail under your name")
    .action(async (id: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RepairOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const { only, removals = false } = options;
      const reason = reasonOf(options);
      const call = { reason, removals, ...(only === undefined ? {} : { numbers: only.map(Number) }) };
      const path = `/api/reconciles/${encodeURIComponent(id)}/repair`;
      const preview = await operator.post<RepairPreview>(path, { ...call, preview: true });
      if (options.preview || preview.up + preview.down + preview.removal === 0) {
        output.out(options.json ? JSON.stringify(preview) : previewText(preview, removals));
        return;
      }
      if (!options.json) output.out(previewText(preview, removals));
      const ordered = await operator.post<Reconcile>(path, call);
      await showEnd(operator, ordered.id, options, output);
    });
  reconcile
    .command("cancel")
    .description("end one before its time")
    .argument("<id>")
    .option("--reason <text>", "why; kept in the audit trail under your name")
    .action(async (id: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly reason?: string }>();
      const reason = reasonOf(options);
      const operator = await operatorOf(options, systemRuntime);
      const path = `/api/reconciles/${encodeURIComponent(id)}/cancel`;
      const ended = await operator.post<Reconcile>(path, { reason });
      output.out(options.json ? JSON.stringify(ended) : `${id} is cancelled.`);
    });
}

/** It stands on `reconcile` too, which is given its value, so commander cannot ask for it here. */
function reasonOf({ reason }: { readonly reason?: string }): string {
  if (reason === undefined) throw new WaybillError("USAGE", "--reason says why, for the audit trail");
  return reason;
}

/** Tells how far it is until it is over, then what came of it. */
async function showEnd(operator: Operator, id: string, options: GlobalOptions, output: Output): Promise<void> {
  for (let told = ""; ;) {
    const { endedAt, report } = await operator.get<ReconcileAnswer>(`/api/reconciles/${id}`, { limit: 1 });
    if (endedAt !== null) break;
    if (report.doing !== null && report.doing !== told && !options.json) output.err(pc.dim(`${report.doing} …`));
    told = report.doing ?? told;
    await systemRuntime.timers.sleep(LOOK_MS);
  }
  const answer = await whole(operator, id);
  output.out(options.json ? JSON.stringify(answer) : reconcileText(answer));
  if (answer.state !== "done" || answer.differences.length > 0) process.exitCode = 1;
}

async function whole(operator: Operator, id: string): Promise<ReconcileAnswer> {
  const path = `/api/reconciles/${encodeURIComponent(id)}`;
  const first = await operator.get<ReconcileAnswer>(path, { limit: PAGE });
  const differences = [...first.differences];
  for (let { next } = first; next !== null;) {
    const page: ReconcileAnswer = await operator.get<ReconcileAnswer>(path, { limit: PAGE, after: next });
    differences.push(...page.differences);
    next = page.next;
  }
  return { ...first, differences, next: null };
}

function listText(all: readonly Reconcile[], now: number): string {
  if (all.length === 0) return "Nothing was compared yet: waybill reconcile <terminal>";
  return table(
    ["id", "terminal", "what", "state", "differences", "ordered", "by"],
    all.map(({ id, terminal, work, state, report, orderedAt, by }) => [
      id,
      terminal,
      work.kind === "compare" ? (work.tables?.join(", ") ?? "all tables") : `repair of ${work.of}`,
      report.doing ?? state,
      work.kind === "compare" ? report.tables.reduce((sum, each) => sum + differencesOf(each), 0) : null,
      `${duration(now - orderedAt)} ago`,
      by,
    ]),
  );
}

const differencesOf = ({ missingAtCentre, missingAtTerminal, different }: TableReport): number =>
  missingAtCentre + missingAtTerminal + different;

export function reconcileText({ id, terminal, state, work, report, differences }: ReconcileAnswer): string {
  const blocks: string[] = [];
  if (report.fault !== null) blocks.push(`${pc.red(report.fault.code)}: ${report.fault.what}`);
  if (state === "waiting" || state === "running")
    blocks.push(`${id} is ${state}: ${report.doing ?? "its turn has not come"}`);
  if (state === "cancelled") blocks.push(`${id} was cancelled.`);
  if (work.kind === "repair" || work.mend) blocks.push(sentText(report.sent, terminal));
  if (report.tables.length > 0) blocks.push(tablesText(report.tables));
  if (differences.length > 0) {
    blocks.push(differencesText(differences));
    const mendable = differences.filter(({ repair, repaired }) => repair !== null && repaired !== "healed").length;
    if (mendable > 0)
      blocks.push(`${count(mendable)} of them can be sent again: waybill reconcile repair ${id} --reason "…"`);
  } else if (state === "done" && work.kind === "compare")
    blocks.push(
      report.tables.every(({ skipped, unsettled }) => skipped === null && unsettled === 0)
        ? pc.green(`Both sides of ${terminal} are equal.`)
        : `What was compared of ${terminal} is equal.`,
    );
  return blocks.join("\n");
}

const sentText = ({ up, down, healed }: Reconcile["report"]["sent"], terminal: string): string =>
  `${count(up)} rows sent again by ${terminal}, ${count(down)} by the centre; ${count(healed)} are equal now.`;

function tablesText(tables: readonly TableReport[]): string {
  const compared = tables.filter(({ skipped }) => skipped === null);
  const notes = tables.flatMap((each) => [
    ...(each.skipped === null ? [] : [`${each.table} was not compared: ${each.skipped}`]),
    ...(each.leftOut.length === 0 ? [] : [`${each.table}: not compared: ${each.leftOut.join(", ")}`]),
    ...(each.unsettled === 0
      ? []
      : [`${each.table}: ${each.unsettled} rows changed all the time; compare again when it is quiet`]),
    ...(each.complete ? [] : [`${each.table}: there are more differences than are listed`]),
  ]);
  const rows = compared.map((each) => [
    each.table,
    each.direction,
    each.rowsAtTerminal,
    each.rowsAtCentre,
    each.missingAtCentre,
    each.missingAtTerminal,
    each.different,
  ]);
  const head = ["table", "goes", "at terminal", "at centre", "not at centre", "not at terminal", "different"];
  return [...(rows.length > 0 ? [table(head, rows)] : []), ...notes.map((note) => pc.dim(note))].join("\n");
}

function differencesText(differences: readonly Difference[]): string {
  return table(
    ["no", "row", "what", "terminal | centre", "repair"],
    differences.map((one) => [
      one.n,
      `${one.table} ${keyForPeople(one.key)}`,
      one.kind,
      one.columns
        .map(({ name, terminal, centre }) => `${name}: ${valueForPeople(terminal)} | ${valueForPeople(centre)}`)
        .join(", "),
      repairText(one),
    ]),
  );
}

function repairText({ repair, repaired, because }: Difference): string {
  if (repaired !== null) return repaired;
  if (because) return `waits for ${because.lane}/${because.seq} (${because.state})`;
  if (repair === "removal") return "take away at the terminal (--removals)";
  return repair ?? "by a person: only the centre has it";
}

function previewText(preview: RepairPreview, removals: boolean): string {
  const { up, down, removal, waits, nobody, healed, terminal } = preview;
  const lines = [
    [up, `rows are sent again by ${terminal} and take effect at the centre`],
    [down, `rows are sent again by the centre to ${terminal}`],
    [
      removal,
      removals ? `rows are taken away at ${terminal}` : `rows would be taken away at ${terminal} with --removals`,
    ],
    [waits, "rows are left alone: a message that writes them waits (waybill dead list)"],
    [nobody, `rows are left alone: only the centre has them, and ${terminal} does not take this table`],
    [healed, "rows are equal by now"],
  ] as const;
  const told = lines.flatMap(([rows, what]) => (rows === 0 ? [] : [`${count(rows)} ${what}`]));
  return told.length === 0 ? "There is nothing to repair." : told.join("\n");
}
