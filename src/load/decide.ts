import type { Effect } from "../database/port.ts";
import { field, type Row, type WireValue } from "../message/change.ts";
import { valueForPeople } from "../message/key.ts";
import { sameValue } from "../message/value.ts";
import { added, isLater } from "./arithmetic.ts";
import { HIDDEN } from "./discreet.ts";
import { isOwner, nameOf, type Act, type Fault } from "./plan.ts";

/** Something worth an event although the change was loaded. */
export type Note = { readonly kind: "row recreated" | "central row kept" | "rows left out"; readonly detail: string };

/** What becomes of one change, given the row as it is now. `after`: the row as it will then be, as far as it is known here. */
export type Decision =
  | { readonly kind: "write"; readonly effect: Effect; readonly after: Row | null; readonly note: Note | null }
  | { readonly kind: "nothing"; readonly note: Note | null }
  | { readonly kind: "refuse"; readonly fault: Fault };

const NOTHING: Decision = { kind: "nothing", note: null };

/** The change as it is, for tables where the present row decides nothing: the database refuses what does not fit. */
export function effectOf({ target, op, key, row, origin }: Act): Effect {
  const table = target.shape.name;
  if (op === "delete") return { table, kind: op, key, origin };
  const keeps = op !== "update" && target.rule.owner === null && target.rule.onExisting === "keep";
  return { table, kind: keeps ? "keep" : op, key, row: row ?? {}, origin };
}

/**
 * Decides one change by its table's policy.
 * @param current the row as it is now, null when there is none
 * @param late the message was passed over before, so that others may have written the row since: its before-image counts
 */
export function decide(act: Act, current: Row | null, late: boolean): Decision {
  if (current && act.op !== "insert" && isForeign(act, current)) {
    const column = act.target.rule.owner?.column ?? "";
    return refuse(
      act,
      "NOT_OWNER",
      `the row there has ${column} ${act.target.personal.has(column) ? HIDDEN : valueForPeople(field(current, column))}, not ${valueForPeople(act.owner)}`,
    );
  }
  switch (act.op) {
    case "insert":
      return current ? decidePresent(act, current) : write(act, "insert", act.row ?? {}, act.origin);
    case "upsert":
      return current ? decideState(act, current, late) : write(act, "insert", act.row ?? {}, act.origin);
    case "update":
      return current ? decideUpdate(act, current, late) : decideMissing(act, late);
    case "delete":
      return current ? decideDelete(act, current, late) : NOTHING;
  }
}

/** An insert that finds its key taken. */
function decidePresent(act: Act, current: Row): Decision {
  const { rule } = act.target;
  const row = act.row ?? {};
  const different = differing(act, row, current);
  // Adding comes first: the same quantity twice is twice the quantity.
  if (rule.conflict.policy === "add") return addTo(act, current, rule.conflict.columns, null, false);
  if (different.length === 0) return NOTHING;
  if (rule.owner && !isForeign(act, current)) return overwrite(act, row, current);
  if (rule.conflict.policy === "newest") return newest(act, current, rule.conflict.column, row);
  if (rule.conflict.policy === "central") return keepCentral(act, current, different);
  if (rule.conflict.policy === "detect") return refuse(act, "CONFLICT_DETECTED", bothValues(act, different, current));
  if (rule.onExisting === "overwrite") return overwrite(act, row, current);
  if (rule.onExisting === "keep") return NOTHING;
  return refuse(act, "ROW_EXISTS", bothValues(act, different, current));
}

/** A row as it is at the sender (a resync): there is no before-image to compare. */
function decideState(act: Act, current: Row, late: boolean): Decision {
  const { rule } = act.target;
  const row = act.row ?? {};
  const different = differing(act, row, current);
  if (different.length === 0) return NOTHING;
  switch (rule.conflict.policy) {
    case "add": {
      // Where the table goes down as well, what the sender has came from here and may be old by now: the centre's stands,
      // or a price would go back to what it was when the sender last heard of it.
      if (rule.alsoDown) return keepCentral(act, current, different);
      // The sums belong to all tills together; one till's own count must not replace them.
      const summed = new Set(rule.conflict.columns);
      return overwrite(
        act,
        picked(
          row,
          different.filter((column) => !summed.has(column)),
        ),
        current,
      );
    }
    case "newest":
      return newest(act, current, rule.conflict.column, row);
    case "central":
      return keepCentral(act, current, different);
    case "detect":
      return refuse(act, "CONFLICT_DETECTED", bothValues(act, different, current));
    case "terminal":
      // Rows that many terminals have, such as articles: the table's own rule for a present row holds here too.
      if (!rule.owner && rule.onExisting === "keep") return NOTHING;
      if (late && !rule.owner && rule.onExisting === "refuse")
        return refuse(act, "CONFLICT_DETECTED", bothValues(act, different, current));
      return overwrite(act, row, current);
  }
}

function decideUpdate(act: Act, current: Row, late: boolean): Decision {
  const { rule } = act.target;
  const row = act.row ?? {};
  if (rule.conflict.policy === "add") return addTo(act, current, rule.conflict.columns, act.before ?? null, late);
  const stale = act.before ? differing(act, act.before, current) : differing(act, row, current);
  if (stale.length === 0 || (differing(act, row, current).length === 0 && !act.moves))
    return write(act, "update", row, act.origin, current);
  switch (rule.conflict.policy) {
    case "newest":
      return newest(act, current, rule.conflict.column, row);
    case "central":
      return keepCentral(act, current, stale);
    case "detect":
      return refuse(act, "CONFLICT_DETECTED", bothValues(act, stale, current));
    case "terminal":
      return late ? decideLateUpdate(act, current, stale) : write(act, "update", row, mixedOrigin(act), current);
  }
}

/**
 * A late update writes only what it changes, and only where nobody else has: an operator may have mended the row before it,
 * or another lane may have written other columns, and neither may be undone. Rows of one owner have one writer.
 */
function decideLateUpdate(act: Act, current: Row, stale: readonly string[]): Decision {
  const { before, row = {} } = act;
  if (!before)
    return act.target.rule.owner
      ? write(act, "update", row, mixedOrigin(act), current)
      : refuse(act, "CONFLICT_DETECTED", bothValues(act, stale, current));
  const changed = changedColumns(act, before, row);
  const contested = act.target.rule.owner
    ? []
    : changed.filter((column) => stale.includes(column) && !same(act, column, row, current));
  if (contested.length > 0) return refuse(act, "CONFLICT_DETECTED", bothValues(act, contested, current));
  return write(act, "update", picked(row, changed), mixedOrigin(act), current);
}

/** An update whose row is gone. */
function decideMissing(act: Act, late: boolean): Decision {
  const { rule } = act.target;
  if (rule.conflict.policy === "central") {
    return {
      kind: "nothing",
      note: { kind: "central row kept", detail: `${nameOf(act.target.shape.name, act.key)}: deleted at the centre` },
    };
  }
  // Late, somebody may have deleted it on purpose in between; only of a row with one writer is that known not to be so.
  // Sums begin with the sender's own count: its later resync leaves them alone, its later changes add to them.
  const mayRecreate = rule.conflict.policy === "terminal" || rule.conflict.policy === "add";
  if (!mayRecreate || (late && !rule.owner) || !isFull(act)) {
    return refuse(act, "ROW_MISSING", "no such row to update");
  }
  const row = { ...act.key, ...act.row };
  const decision = write(act, "insert", row, mixedOrigin(act));
  return { ...decision, note: { kind: "row recreated", detail: nameOf(act.target.shape.name, act.key) } };
}

function decideDelete(act: Act, current: Row, late: boolean): Decision {
  const { rule } = act.target;
  const stale = act.before ? differing(act, act.before, current) : [];
  const remove: Decision = {
    kind: "write",
    effect: { table: act.target.shape.name, kind: "delete", key: act.key, origin: act.origin },
    after: null,
    note: null,
  };
  if (stale.length === 0 || rule.conflict.policy === "add") return remove;
  switch (rule.conflict.policy) {
    case "newest": {
      const { column } = rule.conflict;
      return isLater(kindOf(act, column), field(current, column), field(act.before ?? {}, column))
        ? keepCentral(act, current, stale)
        : remove;
    }
    case "central":
      return keepCentral(act, current, stale);
    case "detect":
      return refuse(act, "CONFLICT_DETECTED", bothValues(act, stale, current));
    case "terminal":
      return late && !rule.owner ? refuse(act, "CONFLICT_DETECTED", bothValues(act, stale, current)) : remove;
  }
}

/** The later value of the column wins; equal values: the sender's. */
function newest(act: Act, current: Row, column: string, row: Row): Decision {
  const kind = kindOf(act, column);
  if (isLater(kind, field(current, column), field(row, column))) return keepCentral(act, current, [column]);
  return overwrite(act, row, current);
}

/**
 * Applies the summed columns as differences. Columns that are not sums are written where this change changed them; late,
 * only where they still are as the sender saw them.
 */
function addTo(act: Act, current: Row, summed: readonly string[], before: Row | null, late: boolean): Decision {
  const row = act.row ?? {};
  const result: [string, WireValue][] = [];
  for (const column of summed) {
    const after = field(row, column);
    if (after === undefined) continue;
    const sum = added(
      kindOf(act, column),
      field(current, column) ?? null,
      after,
      before ? (field(before, column) ?? null) : null,
    );
    if (sum === null) {
      return refuse(
        act,
        "TYPE_REFUSED",
        act.target.personal.has(column)
          ? `column ${column}: the values cannot be added within its type`
          : `column ${column}: ${valueForPeople(field(current, column))} and ${valueForPeople(after)} cannot be added within its type`,
      );
    }
    result.push([column, sum]);
  }
  const others = (before ? changedColumns(act, before, row) : Object.keys(row))
    .filter((column) => !summed.includes(column))
    .filter(
      (column) => !(late && before) || same(act, column, before, current) || act.target.shape.key.includes(column),
    );
  const written = { ...picked(row, others), ...Object.fromEntries(result) };
  return write(act, "update", written, mixedOrigin(act), current);
}

const overwrite = (act: Act, row: Row, current: Row): Decision =>
  Object.keys(row).length === 0 ? NOTHING : write(act, "update", row, mixedOrigin(act), current);

/** The centre's row stays. Where the table also goes down it is written onto itself, so that the sender hears how it is. */
function keepCentral(act: Act, current: Row, columns: readonly string[]): Decision {
  const note: Note = {
    kind: "central row kept",
    detail: `${nameOf(act.target.shape.name, act.key)}: ${bothValues(act, columns, current)}`,
  };
  if (!act.target.rule.alsoDown) return { kind: "nothing", note };
  const effect: Effect = { table: act.target.shape.name, kind: "update", key: act.key, row: current, origin: null };
  return { kind: "write", effect, after: current, note };
}

function write(
  act: Act,
  kind: Effect["kind"],
  row: Row,
  origin: string | null,
  current: Row = {},
): Decision & { kind: "write" } {
  const effect: Effect = { table: act.target.shape.name, kind, key: act.key, row, origin };
  return { kind: "write", effect, after: { ...current, ...row }, note: null };
}

/** The result is not what the sender has, so where the table goes down the sender must hear of it too (DESIGN §5). */
const mixedOrigin = (act: Act): string | null => (act.target.rule.alsoDown ? null : act.origin);

const refuse = (act: Act, code: Fault["code"], why: string): Decision => ({
  kind: "refuse",
  fault: { code, detail: `${nameOf(act.target.shape.name, act.key)}: ${why}` },
});

function isForeign(act: Act, current: Row): boolean {
  const { owner } = act.target.rule;
  const value = owner ? field(current, owner.column) : undefined;
  return value !== undefined && !isOwner(act.target, act.owner, value);
}

/** Columns of `row` that the current row has with another value. What the current row is not known to hold counts as equal. */
function differing(act: Act, row: Row, current: Row): string[] {
  return Object.keys(row).filter((column) => field(current, column) !== undefined && !same(act, column, row, current));
}
const changedColumns = (act: Act, before: Row, row: Row): string[] =>
  Object.keys(row).filter((column) => field(before, column) === undefined || !same(act, column, before, row));
const same = (act: Act, column: string, a: Row, b: Row): boolean =>
  sameValue(kindOf(act, column), field(a, column) ?? null, field(b, column) ?? null);
const kindOf = (act: Act, column: string) => act.target.columns.get(column)?.kind ?? "text";
const picked = (row: Row, columns: readonly string[]): Row =>
  Object.fromEntries(columns.map((column) => [column, field(row, column) ?? null]));

/** Both values, column by column, for the person who must choose. */
function bothValues(act: Act, columns: readonly string[], current: Row): string {
  return columns
    .map((column) => {
      if (act.target.personal.has(column)) return `${column}: ${HIDDEN}`;
      const told = [`centre ${valueForPeople(field(current, column))}`];
      const [before, row] = [act.before && field(act.before, column), act.row && field(act.row, column)];
      if (before !== undefined) told.push(`before ${valueForPeople(before)}`);
      if (row !== undefined) told.push(`after ${valueForPeople(row)}`);
      return `${column}: ${told.join(", ")}`;
    })
    .join("; ");
}

/** Does the update carry all that a new row needs: every column the sender has, and every one the database would not fill? */
function isFull({ target, row = {}, before = {}, key }: Act): boolean {
  const has = (column: string): boolean => field(row, column) !== undefined || field(key, column) !== undefined;
  return (
    Object.keys(before).every(has) &&
    target.shape.columns.every((column) => column.generated || column.hasDefault || has(column.name))
  );
}
