import { isMarked, type WireValue } from "../message/change.ts";
import { addDecimals, compareDecimals, subtractDecimals } from "../message/decimal.ts";
import type { ColumnKind } from "../message/shape.ts";
import { compareTemporals } from "../message/temporal.ts";
import { floatOf, floatToWire, isInt64, wholeNumber, wholeToWire } from "../message/value.ts";

/**
 * `current + (after − before)` in the column's own arithmetic, never through a float unless the column is one. Null counts
 * as 0. Null is returned when a value is no number of this kind, or when the sum does not fit 64 bits.
 */
export function added(kind: ColumnKind, current: WireValue, after: WireValue, before: WireValue): WireValue {
  const [a, b, c] = [current ?? 0, after ?? 0, before ?? 0];
  if (kind === "integer") {
    const [x, y, z] = [wholeNumber(a), wholeNumber(b), wholeNumber(c)];
    if (x === null || y === null || z === null) return null;
    const sum = x + y - z;
    return isInt64(sum) ? wholeToWire(sum) : null;
  }
  if (kind === "float") {
    const [x, y, z] = [floatOf(a), floatOf(b), floatOf(c)];
    return x === null || y === null || z === null ? null : floatToWire(x + (y - z));
  }
  const [x, y, z] = [decimalText(a), decimalText(b), decimalText(c)];
  if (x === null || y === null || z === null) return null;
  const difference = subtractDecimals(y, z);
  return difference === null ? null : addDecimals(x, difference);
}

/** Is `a` later (or greater) than `b`? Nothing is earlier than anything; values that cannot be compared are not later. */
export function isLater(kind: ColumnKind, a: WireValue | undefined, b: WireValue | undefined): boolean {
  if (a === undefined || a === null) return false;
  if (b === undefined || b === null) return true;
  if (isMarked(a) || isMarked(b)) return false;
  if (kind === "date" || kind === "time" || kind === "timestamp") {
    return typeof a === "string" && typeof b === "string" && compareTemporals(kind, a, b) === 1;
  }
  if (kind === "integer" || kind === "decimal") {
    const [x, y] = [decimalText(a), decimalText(b)];
    return x !== null && y !== null && compareDecimals(x, y) === 1;
  }
  if (kind === "float") {
    const [x, y] = [floatOf(a), floatOf(b)];
    return x !== null && y !== null && x > y;
  }
  return typeof a === "string" && typeof b === "string" && a > b;
}

const decimalText = (value: WireValue): string | null =>
  typeof value === "number" ? String(value) : typeof value === "string" ? value : null;
