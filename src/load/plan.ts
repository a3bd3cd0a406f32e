import type { FaultCode } from "../base/errors.ts";
import { field, isMarked, OPS, type Change, type Op, type Row, type WireValue } from "../message/change.ts";
import { keyForPeople, textOf, valueForPeople } from "../message/key.ts";
import type { Column } from "../message/shape.ts";
import { sameValue } from "../message/value.ts";
import { misfit } from "./fit.ts";
import type { TableRule, TransformContext } from "./rules.ts";
import type { Target, Targets } from "./target.ts";

/** Why a message cannot be loaded, for people: table, key, column and value. */
export type Fault = {
  readonly code: FaultCode;
  readonly detail: string;
  /** The sender's table whose change was refused; absent when the message as a whole was. */
  readonly route?: string;
  /** What it has in common with the same fault of other rows: a column, a message of a transform. Absent: the code says all. */
  readonly cause?: string;
};

/** One change in the target's names and checked against its columns; what it does to the row is decided later (`decide.ts`). */
export type Act = {
  readonly target: Target;
  /** The sender's table: a transform may have made a change of another table of it. */
  readonly route: string;
  readonly op: Op;
  /** The target's key columns, complete. */
  readonly key: Row;
  /** Canonical text of `key`. */
  readonly text: string;
  /** Columns to write; with the key columns for insert and upsert. Absent for delete. */
  readonly row: Row | undefined;
  readonly before: Row | undefined;
  /** The update gives the row another key. */
  readonly moves: boolean;
  /** What the rule's owner column must hold; null when the table has no owner. */
  readonly owner: WireValue;
  readonly origin: string;
};

/** A message's changes as acts, in order. With a fault the list holds what could still be understood: its rows must be known. */
export type Plan = { readonly acts: readonly Act[]; readonly fault: Fault | null };

/** Turns changes as they came into acts on the target. Pure: the same changes, rules and shapes give the same acts. */
export function planChanges(targets: Targets, context: TransformContext): Plan {
  const acts: Act[] = [];
  let fault: Fault | null = null;
  for (const change of context.changes) {
    const found = planChange(targets, change, context, acts);
    if (found) fault ??= isRow(change) ? { ...found, route: change.table } : found;
  }
  return { acts, fault };
}

/** Adds the change's acts to `acts`. @returns what is wrong with it */
function planChange(targets: Targets, change: Change, context: TransformContext, acts: Act[]): Fault | null {
  const malformed = formFault(change);
  if (malformed) return malformed;
  const target = targets.bySource.get(change.table);
  if (!target) {
    const why = target === null ? "its target is not in the database" : "no such table is configured";
    return { code: "TABLE_UNKNOWN", detail: `${nameOf(change.table, change.key)}: ${why}` };
  }
  const { transform } = target.rule;
  if (!transform) return addAct(acts, target, change, context, change.table, true);
  let made: Change | readonly Change[] | null;
  try {
    made = transform(change, context);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const detail = `${nameOf(change.table, change.key)}: ${reason}`;
    return { code: "TRANSFORM_FAILED", detail, cause: reason };
  }
  // What a transform gives back is checked like what came over the wire: its types say nothing about plain JavaScript.
  let first: Fault | null = null;
  for (const one of (Array.isArray(made) ? made : made ? [made] : []) as readonly Change[]) {
    const found = planMade(targets, target, one, context, change.table, acts);
    first ??= found;
  }
  return first;
}

/** The same of a change that the transform of `source`, the sender's table `route`, made, in the target's names. */
function planMade(
  targets: Targets,
  source: Target,
  made: Change,
  context: TransformContext,
  route: string,
  acts: Act[],
): Fault | null {
  const wrong = formFault(made);
  if (wrong) return { code: "TRANSFORM_FAILED", detail: `its result is no change: ${wrong.detail}` };
  const into = source.rule.target === made.table ? source : targets.byTarget(made.table);
  if (into) return addAct(acts, into, made, context, route, false);
  const detail = `${nameOf(made.table, made.key)}: the transform names a table that is not there`;
  return { code: "TABLE_UNKNOWN", detail };
}

/** The hub checks a line's form before it stores it; an edited line or a transform's result comes past no such check. */
function formFault(change: Change): Fault | null {
  const unreadable = (detail: string): Fault => ({ code: "PAYLOAD_UNREADABLE", detail });
  if (!isRow(change)) return unreadable("a change that is no object");
  if (typeof change.table !== "string" || !OPS.includes(change.op))
    return unreadable(`a change without table or known op`);
  if (!isRow(change.key)) return { code: "KEY_INVALID", detail: `${change.table}: a change without a key` };
  if (change.op !== "delete" && !isRow(change.row))
    return unreadable(`${nameOf(change.table, change.key)}: ${change.op} without a row`);
  if (change.before !== undefined && !isRow(change.before))
    return unreadable(`${nameOf(change.table, change.key)}: before is no row`);
  return null;
}
const isRow = (value: unknown): value is Row => typeof value === "object" && value !== null && !Array.isArray(value);

function addAct(
  acts: Act[],
  target: Target,
  change: Change,
  context: TransformContext,
  route: string,
  rename: boolean,
): Fault | null {
  const { rule, shape } = target;
  const complaint = new Complaint(shape.name, change.key);
  const mapped = mapRow(target, change.key, rename, null);
  const before = change.before && mapRow(target, change.before, rename, null);
  let row = change.op === "delete" || !change.row ? undefined : mapRow(target, change.row, rename, complaint);

  const key = isWholeKey(shape.key, mapped) ? mapped : keyIn(shape.key, mapped, before, row);
  const text = key && textOf(target.forms.key, key);
  if (!key || !text) {
    const columns = shape.key.join(", ") || "none";
    complaint.hear("KEY_INVALID", `the key of ${shape.name} is (${columns}); the change has no complete one`);
    return complaint.first;
  }
  if (row && change.op !== "update") {
    // Their new row stands under its own key columns; a sender may leave them to `key` alone.
    if (shape.key.some((column) => field(row ?? {}, column) === undefined)) row = { ...key, ...row };
    checkComplete(target, change.op, row, complaint);
  }
  const moves =
    change.op === "update" &&
    shape.key.some((column) => {
      const after = row && field(row, column);
      return (
        after !== undefined && !sameValue(target.columns.get(column)?.kind ?? "text", after, field(key, column) ?? null)
      );
    });
  const owner = ownerOf(rule, context);
  if (rule.owner) checkOwner(target, owner, { op: change.op, key: mapped, row, before }, complaint);
  if (rule.conflict.policy === "add" && change.op === "update" && !before)
    complaint.hear("PAYLOAD_UNREADABLE", "an update under the policy add needs the row before");
  acts.push({ target, route, op: change.op, key, text, row, before, moves, owner, origin: context.terminal });
  return complaint.first;
}

/** Keeps the first thing that is found wrong with a change. */
class Complaint {
  first: Fault | null = null;
  readonly #table: string;
  readonly #key: Row;

  constructor(table: string, key: Row) {
    this.#table = table;
    this.#key = key;
  }
  hear(code: FaultCode, detail: string, cause = ""): void {
    this.first ??= { code, detail: `${nameOf(this.#table, this.#key)}: ${detail}`, cause };
  }
}

/** The row under the target's names. `complaint` hears of columns and values that do not fit; null: they are left out quietly. */
function mapRow(target: Target, row: Row, rename: boolean, complaint: Complaint | null): Row {
  const { rule, columns } = target;
  const isRenamed = rename && !target.plain;
  let same = true;
  for (const source of Object.keys(row)) {
    const name = isRenamed ? nameAtTarget(rule, source) : source;
    const column = name === null ? undefined : columns.get(name);
    if (name !== source || !column || column.generated) same = false;
    if (!complaint || name === null) continue;
    const value = row[source] ?? null;
    if (column) checkValue(target, column, value, complaint);
    else if (rule.unknownColumns === "refuse")
      complaint.hear("COLUMN_UNKNOWN", `the target has no column ${name} (value ${valueForPeople(value)})`, name);
  }
  if (same) return row;
  // Through entries: a column may have any name, `__proto__` too.
  return Object.fromEntries(
    Object.entries(row).flatMap(([source, value]): [string, WireValue][] => {
      const name = isRenamed ? nameAtTarget(rule, source) : source;
      return name !== null && columns.get(name)?.generated === false ? [[name, value]] : [];
    }),
  );
}

/** Null: the rule leaves the column out. */
const nameAtTarget = (rule: TableRule, source: string): string | null =>
  rule.ignore.has(source) ? null : (rule.rename.get(source) ?? source);

function checkValue({ shape }: Target, column: Column, value: WireValue, complaint: Complaint): void {
  if (column.generated) return;
  // Others' triggers may still fill in what is null here.
  if (value === null && !column.nullable && !shape.foreignTriggers)
    complaint.hear("NULL_REFUSED", `column ${column.name} must have a value`, column.name);
  const why = misfit(column, value);
  if (!why) return;
  const detail = `column ${column.name} (${column.declared}): ${valueForPeople(value)} ${why}`;
  complaint.hear("TYPE_REFUSED", detail, column.name);
}

/** Does the change's own key have the target's key columns and no others, as it nearly always does? */
function isWholeKey(columns: readonly string[], key: Row): boolean {
  for (const column of columns) if ((field(key, column) ?? null) === null) return false;
  return columns.length > 0 && Object.keys(key).length === columns.length;
}

/** The target's key columns; from the row before or after where the change's own key does not have them. Null: not complete. */
function keyIn(columns: readonly string[], key: Row, ...rows: readonly (Row | undefined)[]): Row | null {
  const parts: [string, WireValue][] = [];
  for (const column of columns) {
    const holder = [key, ...rows].find((row) => row && field(row, column) !== undefined);
    const value = holder && field(holder, column);
    if (value === undefined || value === null) return null;
    parts.push([column, value]);
  }
  return parts.length === 0 ? null : Object.fromEntries(parts);
}

/** An upsert may find the row there and then needs no more columns; only an insert can be judged here. */
function checkComplete({ shape }: Target, op: Op, row: Row, complaint: Complaint): void {
  if (op !== "insert" || shape.foreignTriggers) return;
  for (const column of shape.columns) {
    if (column.nullable || column.hasDefault || column.generated || field(row, column.name) !== undefined) continue;
    complaint.hear("NULL_REFUSED", `column ${column.name} must have a value; the row has no such column`, column.name);
  }
}

function ownerOf({ owner }: TableRule, context: TransformContext): WireValue {
  if (!owner) return null;
  if (owner.is === "terminal") return context.terminal;
  return Object.hasOwn(context.tags, owner.is.tag) ? (context.tags[owner.is.tag] ?? null) : null;
}

/** Everything the change says about its owner must name this terminal; what it does not say, the present row must (`decide.ts`). */
function checkOwner(
  target: Target,
  owner: WireValue,
  change: { readonly op: Op; readonly key: Row; readonly row: Row | undefined; readonly before: Row | undefined },
  complaint: Complaint,
): void {
  const { owner: rule } = target.rule;
  if (!rule) return;
  if (owner === null)
    return complaint.hear("NOT_OWNER", "the terminal has no tag that the table's owner is compared with");
  const claims = [change.row, change.before, change.key]
    .map((row) => row && field(row, rule.column))
    .filter((value) => value !== undefined);
  const foreign = claims.find((value) => !isOwner(target, owner, value));
  if (foreign !== undefined)
    return complaint.hear("NOT_OWNER", `${rule.column} is ${valueForPeople(foreign)}, not ${valueForPeople(owner)}`);
  if (claims.length === 0 && (change.op === "insert" || change.op === "upsert")) {
    complaint.hear("NOT_OWNER", `the row has no ${rule.column}, which must be ${valueForPeople(owner)}`);
  }
}

/** Does the owner column's value name this owner? Terminal ids and tags are texts, whatever kind the column has: "14" owns 14. */
export function isOwner({ columns, rule }: Target, owner: WireValue, value: WireValue): boolean {
  const kind = rule.owner ? columns.get(rule.owner.column)?.kind : undefined;
  return value !== null && !isMarked(value) && kind !== undefined && sameValue(kind, value, owner);
}

/** `sale sale_id=S-9`, for people. */
export const nameOf = (table: string, key: Row): string => `${table} ${keyForPeople(key)}`;
