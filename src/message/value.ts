import { isMarked, type WireValue } from "./change.ts";
import { canonicalDecimal } from "./decimal.ts";
import type { Collation, ColumnKind } from "./shape.ts";
import { canonicalTemporal } from "./temporal.ts";

/**
 * When are two wire values the same value? One canonical text per value and kind answers for comparison, for row keys and
 * for hashes: values are the same exactly when their texts are. Numbers never pass through a float, times never through a Date.
 */

/**
 * The value's canonical text: `n` for null, else a letter for its class and then the value. A value that does not have its
 * column's kind (a marked one, or one that came wrong) keeps a text of its own, so that it equals only itself.
 * @param collation that of the key's column: texts it takes for the same get the same text here
 */
export function keyText(kind: ColumnKind, value: WireValue, collation?: Collation): string {
  if (value === null) return "n";
  if (isMarked(value)) return markedText(value);
  const text = collation !== undefined && typeof value === "string" ? collated(value, collation) : value;
  return ofKind(kind, text) ?? `?${typeof value}:${stable(value)}`;
}

function collated(text: string, collation: Collation): string {
  if (collation === "rtrim") return text.replace(/ +$/, "");
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Equal as values of this kind: 12.50 and 12.5, 3 and "3", a fraction with more zeros, JSON with its members in another order. */
export function sameValue(kind: ColumnKind, a: WireValue, b: WireValue): boolean {
  return a === b || keyText(kind, a) === keyText(kind, b);
}

/** The text of a value that has its kind; null when it has not. */
function ofKind(kind: ColumnKind, value: Exclude<WireValue, null>): string | null {
  switch (kind) {
    case "integer": {
      const whole = wholeNumber(value);
      return whole === null ? null : `i${whole}`;
    }
    case "decimal": {
      const exact =
        typeof value === "string"
          ? canonicalDecimal(value)
          : typeof value === "number"
            ? canonicalDecimal(String(value))
            : null;
      return exact === null ? null : `d${exact}`;
    }
    case "float": {
      const number = floatOf(value);
      return number === null ? null : `f${Object.is(number, -0) ? 0 : number}`;
    }
    case "text":
      return typeof value === "string" ? `t${value}` : null;
    case "boolean":
      if (typeof value === "boolean") return value ? "b1" : "b0";
      return null;
    case "date":
    case "time":
    case "timestamp": {
      const moment = typeof value === "string" ? canonicalTemporal(kind, value) : null;
      return moment === null ? null : `m${moment}`;
    }
    case "binary":
      return typeof value === "string" ? `x${value}` : null;
    case "uuid":
      return typeof value === "string" && isUuid(value) ? `u${value.toLowerCase()}` : null;
    case "json":
      return `j${stable(value)}`;
  }
}

const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;
/** Does the whole number fit a 64-bit column? */
export const isInt64 = (whole: bigint): boolean => whole >= MIN_INT64 && whole <= MAX_INT64;

/**
 * The value as a whole number of any size; null when it is none. A JSON number beyond ±2^53 is none: its last digits
 * were lost when it was parsed, so its sender had to write it as a string.
 */
export function wholeNumber(value: WireValue): bigint | null {
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : null;
  if (typeof value !== "string" || !/^[+-]?\d{1,4000}$/.test(value)) return null;
  return BigInt(value.startsWith("+") ? value.slice(1) : value);
}

/** A whole number in wire form: a number as far as one is exact, else a string. */
export function wholeToWire(whole: bigint): number | string {
  const number = Number(whole);
  return Number.isSafeInteger(number) ? number : whole.toString();
}

/** The value as a binary double: a number, or one of the three that JSON has no number for; null when it is neither. */
export function floatOf(value: WireValue): number | null {
  if (typeof value === "number") return value;
  if (value === "NaN") return Number.NaN;
  if (value === "Infinity") return Number.POSITIVE_INFINITY;
  if (value === "-Infinity") return Number.NEGATIVE_INFINITY;
  return null;
}
export const floatToWire = (number: number): number | string => (Number.isFinite(number) ? number : String(number));

export const isUuid = (text: string): boolean =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text);

function markedText(value: object): string {
  if ("$text" in value) return `$t${String(value.$text)}`;
  if ("$binary" in value) return `$x${String(value.$binary)}`;
  return `$n${"$number" in value ? String(value.$number) : ""}`;
}

/** JSON with the members of each object in the order of their names; numbers as JavaScript prints them. */
function stable(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    const sorted: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const name of Object.keys(inner).toSorted()) sorted[name] = (inner as Record<string, unknown>)[name];
    return sorted;
  });
}
