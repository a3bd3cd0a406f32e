import type { FaultCode } from "../base/errors.ts";
import type { Effect } from "../database/port.ts";
import { field, type Change, type Row } from "../message/change.ts";
import { columnOf, type Shapes, type TableShape } from "../message/shape.ts";
import { sameValue } from "../message/value.ts";

/** What one change of an update becomes here, or why it cannot. */
export type PlannedUpdate = { readonly effect: Effect } | { readonly code: FaultCode; readonly detail: string };

/**
 * Updates carry state and the centre's row wins: whatever the row is here, afterwards it is the centre's. So an insert and
 * an update are both written as "insert or overwrite"; only a change that moves the key needs the row under its old one.
 * @param allowed tables that may be written here: the terminal's own list, which no hub can widen
 */
export function planUpdate(change: Change, allowed: ReadonlySet<string>, shapes: Shapes): PlannedUpdate {
  const shape = allowed.has(change.table) ? shapes.get(change.table) : undefined;
  if (shape === undefined)
    return {
      code: "TABLE_UNKNOWN",
      detail: `table ${change.table} may not be written at this terminal, or is not there`,
    };
  const key = keyOf(change.key, shape);
  if (key === null)
    return { code: "KEY_INVALID", detail: `${change.table}: the change has no complete key (${shape.key.join(", ")})` };
  if (change.op === "delete") return { effect: { table: shape.name, kind: "delete", key, origin: null } };
  if (change.row === undefined)
    return { code: "PAYLOAD_UNREADABLE", detail: `${change.table}: ${change.op} without a row` };
  const row: Record<string, Row[string]> = Object.create(null) as Record<string, Row[string]>;
  for (const [name, value] of Object.entries(change.row)) {
    const column = columnOf(shape, name);
    if (column === undefined)
      return { code: "COLUMN_UNKNOWN", detail: `${change.table} has no column ${name} at this terminal` };
    if (!column.generated) row[name] = value;
  }
  // A row without its key columns (they did not change) still has the key it had.
  for (const name of shape.key) row[name] ??= field(key, name) ?? null;
  const moves = shape.key.some(
    (name) => !sameValue(columnOf(shape, name)?.kind ?? "text", row[name] ?? null, field(key, name) ?? null),
  );
  return { effect: { table: shape.name, kind: moves ? "update" : "upsert", key, row, origin: null } };
}

/** For a moved row that was not here under its old key, or is here under its new one already: it simply is at its new key. */
export function asUpsert(effect: Effect, shape: TableShape): Effect | null {
  const key = keyOf(effect.row ?? {}, shape);
  return key === null ? null : { ...effect, kind: "upsert", key };
}

/** The key columns of a row, in the table's order; null when one is missing or null. */
function keyOf(row: Row, shape: TableShape): Row | null {
  const key: Record<string, Row[string]> = Object.create(null) as Record<string, Row[string]>;
  for (const name of shape.key) {
    const value = field(row, name);
    if (value === undefined || value === null) return null;
    key[name] = value;
  }
  return shape.key.length === 0 ? null : key;
}

/** A row's name for the list of stale rows: table and key columns in the table's order. */
export const rowName = (table: string, key: Row): string =>
  JSON.stringify([
    table,
    ...Object.keys(key)
      .toSorted()
      .map((name) => [name, key[name]]),
  ]);
