import { WaybillError } from "../../base/errors.ts";
import { SYSTEM, type TerminalId } from "../../base/ids.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { ExceptionRow } from "../../ledger/exceptions.ts";
import type { Difference, Reconcile, ReconcileReport, TableReport } from "../../ledger/reconciles.ts";
import { field, type Row } from "../../message/change.ts";
import { rowForms, textOf } from "../../message/key.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { TableShape } from "../../message/shape.ts";
import type { Central } from "../central.ts";
import type { HubSettings } from "../settings.ts";
import { candidates } from "./candidates.ts";
import { centreKey, planTable, reconcilable, type ComparedTerminal, type ReadyPlan, type TablePlan } from "./plan.ts";
import { settle, type Settled, type SettleParts } from "./settle.ts";
import { TerminalLine } from "./terminal-line.ts";

/** What reconciliation needs of the hub. */
export type ReconcileParts = {
  readonly ledger: Pick<Ledger, "reconciles" | "terminals" | "lanes" | "updates" | "exceptions" | "restores">;
  readonly central: Central;
  readonly settings: Pick<HubSettings, "rules" | "down" | "reconcile">;
  readonly runtime: Pick<Runtime, "clock" | "timers" | "random">;
  /** Wakes the terminal's long poll, wherever it waits. */
  readonly ring: (terminal: TerminalId) => void;
};
export type TaskParts = ReconcileParts & {
  readonly order: Reconcile;
  readonly stop: AbortSignal;
  readonly patienceMs: number;
  /** Keeps the lease; throws when it is lost. */
  readonly alive: () => Promise<void>;
  readonly report: (change: Partial<ReconcileReport>) => void;
};

const EXCEPTIONS_SEEN = 500;
const SENT_AT_ONCE = 200;
const PAGE = 1_000;

/** One order worked off: a comparison, or a repair of what one found. */
export class Task {
  readonly #parts: TaskParts;
  readonly #line: TerminalLine;
  #terminal: ComparedTerminal;
  #sent = { up: 0, down: 0, healed: 0 };

  constructor(parts: TaskParts) {
    const { order, ledger, runtime, ring, alive, patienceMs, stop } = parts;
    this.#parts = parts;
    this.#line = new TerminalLine(order.terminal, {
      reconciles: ledger.reconciles,
      runtime,
      ring,
      alive,
      patienceMs,
      stop,
    });
    this.#terminal = { id: order.terminal, tags: {} };
  }

  /** @returns what came of it, for the trail */
  async run(): Promise<string> {
    const { ledger, order } = this.#parts;
    const terminal = await ledger.terminals.get(order.terminal);
    if (terminal?.state !== "enrolled")
      throw new WaybillError("NOT_FOUND", `terminal ${order.terminal} is not enrolled`);
    this.#terminal = { id: terminal.id, tags: terminal.tags };
    const { work } = order;
    if (work.kind === "repair") return this.#repair(work.of, work.numbers, work.removals);
    const { told, differences, whole } = await this.#compare(work.tables);
    const mended = work.mend && differences > 0 ? `; ${await this.#repair(order.id, null, false)}` : "";
    // Both sides of a restored terminal are equal: it is restored no longer.
    if (whole && this.#sent.healed === differences)
      await ledger.restores.settled(order.terminal, SYSTEM, `both sides are equal (${order.id})`);
    return told + mended;
  }

  // ── compare ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `whole`: all of it was compared, and nothing moved all the time. */
  async #compare(only: readonly string[] | null): Promise<{ told: string; differences: number; whole: boolean }> {
    const { report, alive, ledger, order } = this.#parts;
    const plans = await this.#plans(only ?? reconcilable(this.#parts.settings));
    const tables: TableReport[] = [];
    let n = 0;
    for (const plan of plans) {
      report({ doing: `comparing ${plan.table}`, tables });
      await alive();
      if (plan.skipped !== null) {
        tables.push({ ...UNCOMPARED, table: plan.table, direction: plan.direction, skipped: plan.skipped });
        continue;
      }
      const found = await candidates({
        plan,
        line: this.#line,
        central: this.#parts.central,
        terminal: this.#terminal,
      });
      report({ doing: `looking again at ${found.keys.length} rows of ${plan.table}` });
      const settled = await settle(this.#settling(), plan, found.keys);
      const differences = await this.#explained(plan, settled, n);
      n += differences.length;
      for (let from = 0; from < differences.length; from += PAGE)
        await ledger.reconciles.found(order.id, differences.slice(from, from + PAGE));
      const { rowsAtCentre, rowsAtTerminal, complete } = found;
      tables.push({ ...tableReport(plan, settled), rowsAtCentre, rowsAtTerminal, complete });
    }
    report({ doing: null, tables });
    const whole =
      only === null &&
      tables.every(({ skipped, complete, unsettled }) => skipped === null && complete && unsettled === 0);
    return { told: toldOf(tables, n), differences: n, whole };
  }

  async #plans(tables: readonly string[]): Promise<readonly TablePlan[]> {
    const { central, settings } = this.#parts;
    const [there, here] = await Promise.all([
      this.#line.ask({ ask: "shapes", tables: [...tables] }),
      central.shapes(tables.map((table) => settings.rules.tables.get(table)?.target ?? downTarget(settings, table))),
    ]);
    return tables.map((table) => {
      const target = settings.rules.tables.get(table)?.target ?? downTarget(settings, table);
      return planTable(settings, table, here.get(target), there.tables[table]);
    });
  }

  #settling(): SettleParts {
    const { central, ledger, runtime, alive, patienceMs, stop } = this.#parts;
    return { line: this.#line, central, ledger, terminal: this.#terminal, runtime, alive, patienceMs, stop };
  }

  /** With the message off the happy path that explains a difference, and how it can be repaired. */
  async #explained(plan: ReadyPlan, { differences }: Settled, after: number): Promise<readonly Difference[]> {
    const open = differences.length === 0 ? [] : await this.#openWrites(plan);
    const { settings } = this.#parts;
    const form = rowForms(keyShape(settings, plan), new Map()).key;
    return differences.map((difference, i) => {
      const text = textOf(form, centreKey(settings, plan.table, difference.key));
      const because = open.find(({ writes }) => writes === null || (text !== null && writes.has(text)));
      return {
        n: after + i + 1,
        table: plan.table,
        key: difference.key,
        kind: difference.kind,
        columns: difference.columns.map((name) => ({
          name,
          terminal: valueOf(difference.terminal, name),
          centre: valueOf(difference.centre, name),
        })),
        because: because ? { lane: because.row.lane, seq: because.row.seq, state: because.row.state } : null,
        repair: because ? null : repairOf(plan, difference.kind),
        repaired: null,
      };
    });
  }

  async #openWrites(plan: ReadyPlan): Promise<readonly { row: ExceptionRow; writes: ReadonlySet<string> | null }[]> {
    const { exceptions } = this.#parts.ledger;
    const filter = { terminal: this.#terminal.id as TerminalId, states: OPEN };
    const { rows } = await exceptions.list(filter, EXCEPTIONS_SEEN, null);
    const open: { row: ExceptionRow; writes: ReadonlySet<string> | null }[] = [];
    for (const row of rows) {
      if (row.tables.length > 0 && !row.tables.includes(plan.target) && !row.tables.includes(plan.table)) continue;
      const sets = await exceptions.touched(row.lane, row.seq);
      open.push({ row, writes: sets && new Set([...sets.writes, ...sets.adds]) });
    }
    // One whose rows nobody knows explains what no other does.
    return open.toSorted((a, b) => Number(a.writes === null) - Number(b.writes === null));
  }

  // ── repair ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #repair(of: string, numbers: readonly number[] | null, removals: boolean): Promise<string> {
    const { report, alive, ledger } = this.#parts;
    const chosen = (await this.#all(of)).filter(
      ({ n, repair, repaired }) =>
        repair !== null &&
        repaired !== "healed" &&
        (numbers === null ? repair !== "removal" || removals : numbers.includes(n)),
    );
    const plans = new Map(
      (await this.#plans([...new Set(chosen.map(({ table }) => table))])).map((plan) => [plan.table, plan]),
    );
    for (const [table, rows] of Map.groupBy(chosen, (difference) => difference.table)) {
      const plan = plans.get(table);
      if (!plan || plan.skipped !== null) continue;
      for (let from = 0; from < rows.length; from += SENT_AT_ONCE) {
        const some = rows.slice(from, from + SENT_AT_ONCE);
        report({ doing: `sending ${table} again, row ${from + 1} of ${rows.length}`, sent: this.#sent });
        await alive();
        await this.#send(table, some);
        await ledger.reconciles.found(of, await this.#checked(plan, some));
      }
    }
    report({ doing: null, sent: this.#sent });
    const { up, down, healed } = this.#sent;
    return `${up} rows were sent again by the terminal and ${down} by the centre, ${healed} of them are equal now`;
  }

  async #all(of: string): Promise<readonly Difference[]> {
    const all: Difference[] = [];
    for (let after = 0; ;) {
      const page = await this.#parts.ledger.reconciles.differences(of, after, PAGE);
      all.push(...page);
      const last = page.at(-1);
      if (page.length < PAGE || last === undefined) return all;
      after = last.n;
    }
  }

  async #send(table: string, differences: readonly Difference[]): Promise<void> {
    const keysOf = (up: boolean): Row[] =>
      differences.filter(({ repair }) => (repair === "up") === up).map(({ key }) => key);
    const [up, down] = [keysOf(true), keysOf(false)];
    let { up: sentUp, down: sentDown } = this.#sent;
    if (up.length > 0) sentUp += (await this.#line.ask({ ask: "resend", table, keys: up })).sent;
    if (down.length > 0) sentDown += await this.#parts.central.resend(table, this.#parts.order.terminal, down);
    this.#sent = { ...this.#sent, up: sentUp, down: sentDown };
  }

  /** Looks at the rows again when what was sent has arrived. */
  async #checked(plan: ReadyPlan, rows: readonly Difference[]): Promise<readonly Difference[]> {
    const { differences } = await settle(
      this.#settling(),
      plan,
      rows.map(({ key }) => key),
    );
    const still = new Set(differences.map(({ key }) => JSON.stringify(key)));
    return rows.map((row) => {
      const healed = !still.has(JSON.stringify(row.key));
      if (healed) this.#sent = { ...this.#sent, healed: this.#sent.healed + 1 };
      return { ...row, repaired: healed ? "healed" : "still different" };
    });
  }
}

const OPEN = ["received", "retrying", "held", "dead"] as const;
const UNCOMPARED = {
  rowsAtCentre: 0,
  rowsAtTerminal: 0,
  missingAtCentre: 0,
  missingAtTerminal: 0,
  different: 0,
  underWay: 0,
  unsettled: 0,
  leftOut: [],
  complete: true,
} as const;

const valueOf = (row: Row | null, name: string): Row[string] => (row === null ? null : (field(row, name) ?? null));
const downTarget = ({ down }: TaskParts["settings"], table: string): string =>
  down.find(({ source }) => source === table)?.target ?? table;

function tableReport(plan: ReadyPlan, { differences, underWay, unsettled }: Settled): TableReport {
  const of = (kind: Difference["kind"]): number => differences.filter((each) => each.kind === kind).length;
  return {
    ...UNCOMPARED,
    table: plan.table,
    direction: plan.direction,
    skipped: null,
    missingAtCentre: of("missing at centre"),
    missingAtTerminal: of("missing at terminal"),
    different: of("different"),
    underWay,
    unsettled,
    leftOut: plan.leftOut,
  };
}

/**
 * The side whose row counts sends it. A row that is only on the other side is never taken away by itself: at the centre it is
 * all that is left of what the terminal lost; at the terminal a person may order its removal.
 */
function repairOf(plan: ReadyPlan, kind: Difference["kind"]): Difference["repair"] {
  if (kind === "different") return plan.wins === "terminal" ? "up" : "down";
  if (kind === "missing at centre") return plan.direction === "down" ? "removal" : "up";
  return plan.direction === "up" ? null : "down";
}

/** As much of the centre's table as the text of a key needs. */
function keyShape(settings: TaskParts["settings"], { table, target, compared }: ReadyPlan): TableShape {
  const columns = compared.key.map(({ name, kind }) => ({
    name: Object.keys(centreKey(settings, table, { [name]: null }))[0] ?? name,
    kind,
    declared: kind,
    nullable: false,
    generated: false,
    hasDefault: false,
  }));
  const key = columns.map(({ name }) => name);
  return { name: target, columns, key, uniques: [], foreignKeys: [], foreignTriggers: false };
}

export function toldOf(tables: readonly TableReport[], differences: number): string {
  const compared = tables.filter(({ skipped }) => skipped === null);
  const rows = compared.reduce((sum, { rowsAtTerminal }) => sum + rowsAtTerminal, 0);
  const left = tables.length - compared.length;
  const unsettled = compared.reduce((sum, table) => sum + table.unsettled, 0);
  return [
    differences === 0 ? "both sides are equal" : `${differences} differences`,
    `${rows} rows of ${compared.length} tables compared`,
    ...(left > 0 ? [`${left} tables not compared`] : []),
    ...(unsettled > 0 ? [`${unsettled} rows changed all the time`] : []),
    ...(compared.some(({ complete }) => !complete) ? ["there are more than are listed"] : []),
  ].join(", ");
}
