import { isMarked, type WireValue } from "../message/change.ts";
import { canonicalDecimal, shortDigits, type Digits } from "../message/decimal.ts";
import type { Column } from "../message/shape.ts";
import { floatOf, isInt64, wholeNumber } from "../message/value.ts";

/**
 * Why the column cannot hold the value, or null. Only what *describe* tells for certain: the database has the last word,
 * but a fault found here costs no refused statement and no second try of the batch. Values marked as not of their column's
 * kind pass: an engine that is loose about kinds takes them.
 */
export function misfit(column: Column, value: WireValue): string | null {
  if (value === null || isMarked(value)) return null;
  switch (column.kind) {
    case "integer": {
      const whole = wholeNumber(value);
      return whole !== null && isInt64(whole)
        ? null
        : "is no whole number of 64 bits (beyond ±2^53 it travels as a string)";
    }
    case "decimal":
      return decimalMisfit(column, value);
    case "float":
      return floatOf(value) === null ? "is no number" : null;
    case "boolean":
      return typeof value === "boolean" ? null : "is not true or false";
    case "text":
      if (typeof value !== "string") return "is no text";
      return isLonger(value, column.maxLength) ? `is longer than ${column.maxLength} characters` : null;
    case "binary":
      if (typeof value !== "string") return "is no base64 text";
      return column.maxLength !== undefined && bytesIn(value) > column.maxLength
        ? `is longer than ${column.maxLength} bytes`
        : null;
    case "date":
    case "time":
    case "timestamp":
      // A whole number: a moment as SQLite's applications often keep it, in seconds since 1970.
      return typeof value === "string" || Number.isSafeInteger(value) ? null : "is neither text nor a whole number";
    case "uuid":
      return typeof value === "string" ? null : "is no text";
    case "json":
      return null;
  }
}

function decimalMisfit({ precision, scale }: Column, value: WireValue): string | null {
  const digits = digitsOf(value);
  if (digits === null) return "is no decimal (one of more than 15 digits travels as a string)";
  // Most engines round such a value without a word; ours refuse it (I13).
  if (scale !== undefined && digits.fraction > scale) return `has more than ${scale} digits after the point`;
  if (precision !== undefined && digits.whole > precision - (scale ?? 0))
    return `has more than ${precision - (scale ?? 0)} digits before the point`;
  return null;
}

function digitsOf(value: WireValue): Digits | null {
  if (typeof value !== "number" && typeof value !== "string") return null;
  const short = shortDigits(String(value));
  if (short) return short;
  const text = typeof value === "number" ? decimalOfNumber(value) : canonicalDecimal(value);
  if (text === null) return null;
  const [whole = "", fraction = ""] = text.replace("-", "").split(".");
  return { whole: whole.replace(/^0$/, "").length, fraction: fraction.length };
}

/** A JSON number as a decimal. Up to 15 significant digits every decimal survives a binary double; beyond, digits were lost. */
function decimalOfNumber(value: number): string | null {
  const text = canonicalDecimal(String(value));
  return text !== null && text.replace(/^-?0?\.?0*|\./g, "").length <= 15 ? text : null;
}

/** By code points, as databases count; the units of the string are at least as many, so short strings need no count. */
const isLonger = (text: string, limit: number | undefined): boolean =>
  limit !== undefined && text.length > limit && [...text].length > limit;

const bytesIn = (base64: string): number => Math.floor((base64.replace(/=+$/, "").length * 3) / 4);
