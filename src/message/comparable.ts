import { isMarked, type WireValue } from "./change.ts";
import { canonicalDecimal } from "./decimal.ts";
import type { ColumnKind } from "./shape.ts";
import { canonicalTemporal } from "./temporal.ts";
import { floatOf, isUuid, keyText } from "./value.ts";

/**
 * When do two databases say the same? Engines keep one value in columns of different kinds: a price as `numeric` here and as
 * TEXT there, a time as a text, true as 1. Both sides read their value as one agreed kind, and the value's canonical text
 * under that kind decides. What a value is not of that kind is compared by its own letters, so it equals only itself.
 */

/** The kinds from the loosest to the strictest reading; of two kinds the stricter one can read both. */
const READINGS: readonly ColumnKind[] = [
  "text",
  "json",
  "boolean",
  "integer",
  "decimal",
  "float",
  "date",
  "time",
  "timestamp",
  "binary",
  "uuid",
];

/** The kind by which a column of these two kinds is compared; the same whichever side is named first. */
export function agreedKind(one: ColumnKind, other: ColumnKind): ColumnKind {
  return READINGS.indexOf(one) > READINGS.indexOf(other) ? one : other;
}

/** The value's canonical text under the kind. Two texts are equal exactly when the values are, as far as the kind can tell. */
export function comparable(kind: ColumnKind, value: WireValue): string {
  if (value === null) return "n";
  if (kind === "json" && isMarked(value) && "$text" in value) return keyText("json", parsed(value.$text));
  const plain = unmarked(value);
  return readAs(kind, plain) ?? `?${typeof plain === "string" ? plain : keyText("json", plain)}`;
}

/** A mark says that a value has not its column's kind there; it may well have the agreed one. Binary keeps its mark: base64 is no text. */
function unmarked(value: Exclude<WireValue, null>): Exclude<WireValue, null> {
  if (!isMarked(value)) return value;
  if ("$text" in value) return value.$text;
  return "$number" in value ? value.$number : value;
}

function readAs(kind: ColumnKind, value: Exclude<WireValue, null>): string | null {
  switch (kind) {
    case "text":
      return typeof value === "object" ? null : `t${String(value)}`;
    case "boolean":
      return truth(value);
    case "integer":
    case "decimal": {
      const exact = canonicalDecimal(digitsOf(value));
      return exact === null ? null : `d${exact}`;
    }
    case "float":
      return float(value);
    case "date":
    case "time":
    case "timestamp": {
      const moment = typeof value === "string" ? canonicalTemporal(kind, value) : null;
      return moment === null ? null : `m${moment}`;
    }
    case "binary":
      if (typeof value === "string") return `x${value}`;
      return isMarked(value) && "$binary" in value ? `x${value.$binary}` : null;
    case "uuid":
      return typeof value === "string" && isUuid(value) ? `u${value.toLowerCase()}` : null;
    case "json":
      return keyText("json", value);
  }
}

function truth(value: Exclude<WireValue, null>): string | null {
  if (value === true || value === 1 || value === "1") return "b1";
  return value === false || value === 0 || value === "0" ? "b0" : null;
}

const digitsOf = (value: Exclude<WireValue, null>): string => {
  if (typeof value === "boolean") return value ? "1" : "0";
  return typeof value === "object" ? "" : String(value);
};

function float(value: Exclude<WireValue, null>): string | null {
  const digits = digitsOf(value);
  const number = floatOf(value) ?? (canonicalDecimal(digits) === null ? null : Number(digits));
  return number === null ? null : `f${Object.is(number, -0) ? 0 : number}`;
}

/** JSON that was carried letter by letter, perhaps on one side only. */
function parsed(text: string): WireValue {
  try {
    return JSON.parse(text) as WireValue;
  } catch {
    return text;
  }
}
