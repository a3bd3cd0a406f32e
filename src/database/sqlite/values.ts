import { Buffer } from "node:buffer";
import { isMarked, type Marked, type WireValue } from "../../message/change.ts";
import { compareDecimals, plainDecimal, shortDigits } from "../../message/decimal.ts";
import type { ColumnKind } from "../../message/shape.ts";
import { isTemporal } from "../../message/temporal.ts";
import { floatOf, floatToWire, isInt64, isUuid, wholeNumber, wholeToWire } from "../../message/value.ts";

/**
 * Between SQLite's five storage classes and the wire. SQLite keeps any class in any column, so each value is carried with
 * its class: what has the column's kind goes in the kind's form, everything else is marked. Bound again on a column of the
 * same declared type, every value comes back in the class and value it had. Known limits, SQLite's or JavaScript's own:
 * NaN cannot be stored (it would become NULL, so it is refused), −0.0 is stored as 0.0, and TEXT that is not valid
 * UTF-8 is read with U+FFFD in place of the broken bytes.
 *
 * A value as a statement made by `Connection.exact` gives and takes it: INTEGER is a bigint, REAL a number.
 */
export type SqlValue = null | bigint | number | string | Uint8Array;

/** What a column's declared type does to a value that is stored: https://www.sqlite.org/datatype3.html#determination_of_column_affinity */
export type Affinity = "integer" | "real" | "numeric" | "text" | "blob";

/** Why a value cannot be stored as the kind; the loader reports it as TYPE_REFUSED. */
export class Unfit {
  readonly why: string;
  constructor(why: string) {
    this.why = why;
  }
}

/** The value as it goes over the wire. */
export function toWire(kind: ColumnKind, value: SqlValue): WireValue {
  if (value === null) return null;
  if (typeof value === "string") return textToWire(kind, value);
  if (typeof value === "bigint") return integerToWire(kind, value);
  if (typeof value === "number") return realToWire(kind, value);
  const base64 = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  return kind === "binary" ? base64 : { $binary: base64 };
}

function textToWire(kind: ColumnKind, text: string): WireValue {
  switch (kind) {
    case "text":
      return text;
    case "date":
    case "time":
    case "timestamp":
      return isTemporal(kind, text) ? text : { $text: text };
    case "uuid":
      return isUuid(text) && text === text.toLowerCase() ? text : { $text: text };
    case "json":
      return jsonToWire(text);
    default:
      return { $text: text };
  }
}

function integerToWire(kind: ColumnKind, integer: bigint): WireValue {
  switch (kind) {
    case "integer":
      return wholeToWire(integer);
    case "decimal":
      return integer.toString();
    case "boolean":
      if (integer === 0n || integer === 1n) return integer === 1n;
      break;
    case "json":
    case "date":
    case "time":
    case "timestamp": {
      const number = wholeToWire(integer); // a date kept as seconds since 1970, a JSON text that NUMERIC affinity made a number
      if (typeof number === "number") return number;
      break;
    }
    default:
  }
  return { $number: integer.toString() };
}

function realToWire(kind: ColumnKind, real: number): WireValue {
  if (kind === "float") return floatToWire(real);
  if (kind === "decimal" && Number.isFinite(real)) return plainDecimal(String(real)) ?? { $number: realText(real) };
  return { $number: realText(real) };
}

/** Shortest text that reads back as the same double, and cannot be taken for an integer. */
const realText = (real: number): string =>
  Number.isInteger(real) && Math.abs(real) < 1e21 ? `${real}.0` : String(real);

/** JSON is sent as its value only when that value gives back these very letters, and cannot be mistaken for NULL or a mark. */
function jsonToWire(text: string): WireValue {
  let value: unknown;
  try {
    value = JSON.parse(text);
    if (value === null || JSON.stringify(value) !== text) return { $text: text };
  } catch {
    return { $text: text }; // no JSON, or nested beyond what the stack holds: the letters say it all
  }
  const looksMarked = typeof value === "object" && !Array.isArray(value) && text.startsWith('{"$');
  return looksMarked ? { $text: text } : (value as WireValue);
}

/**
 * The value as it is bound, or why it cannot be of this kind. `affinity` is that of the column it is bound to; without it,
 * that of the usual declaration of the kind.
 */
export function toSql(
  kind: ColumnKind,
  value: WireValue,
  affinity: Affinity = AFFINITY_OF_KIND[kind],
): SqlValue | Unfit {
  if (value === null) return null;
  if (kind === "text" && typeof value === "string") return textToSql(value, affinity); // by far the most
  if (typeof value === "object" && isMarked(value)) return markedToSql(value, affinity);
  switch (kind) {
    case "integer": {
      const whole = wholeNumber(value);
      if (whole === null) return unfit(value, "no whole number");
      return isInt64(whole) ? whole : unfit(value, "beyond 64 bits");
    }
    case "decimal":
      return decimalToSql(value, affinity);
    case "float": {
      const number = floatOf(value);
      if (number === null) return unfit(value, "no number");
      return Number.isNaN(number) ? unfit(value, "not storable: SQLite keeps NaN as NULL") : number;
    }
    case "boolean":
      return typeof value === "boolean" ? (value ? 1n : 0n) : unfit(value, "neither true nor false");
    case "text":
      return unfit(value, "no text");
    case "date":
    case "time":
    case "timestamp":
      if (typeof value === "number" && Number.isSafeInteger(value)) return BigInt(value);
      return typeof value === "string" && isTemporal(kind, value) ? value : unfit(value, `no ${kind} in ISO 8601`);
    case "uuid":
      return typeof value === "string" && isUuid(value) ? value.toLowerCase() : unfit(value, "no UUID");
    case "binary":
      return typeof value === "string" ? (bytesOf(value) ?? unfit(value, "no base64")) : unfit(value, "no base64");
    case "json":
      if (typeof value === "number" && affinity !== "text") return Number.isSafeInteger(value) ? BigInt(value) : value;
      return JSON.stringify(value); // escapes lone surrogates, so it is always well-formed
  }
}

/** The affinity of the declarations that *describe* reads as this kind. */
const AFFINITY_OF_KIND: Readonly<Record<ColumnKind, Affinity>> = {
  integer: "integer",
  decimal: "numeric",
  float: "real",
  text: "text",
  boolean: "numeric",
  date: "numeric",
  time: "numeric",
  timestamp: "numeric",
  binary: "blob",
  uuid: "numeric",
  json: "numeric",
};

/** A numeric column makes an int64 or a double of a decimal. What neither holds exactly is refused, never rounded. */
function decimalToSql(value: WireValue, affinity: Affinity): SqlValue | Unfit {
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text !== "string") return unfit(value, "no decimal");
  const keepsText = affinity === "text" || affinity === "blob";
  const short = keepsText ? null : shortDigits(text);
  if (short) return short.fraction === 0 ? BigInt(Number(text)) : Number(text);
  const plain = plainDecimal(text);
  if (plain === null) return unfit(value, "no decimal");
  if (keepsText) return plain;
  const whole = wholeNumber(plain.includes(".") ? plain.replace(/\.0*$/, "") : plain);
  if (whole !== null && isInt64(whole)) return whole;
  const double = Number(plain);
  if (Number.isFinite(double) && compareDecimals(String(double), plain) === 0) return double;
  return unfit(value, "more digits than SQLite's numeric columns hold exactly; declare the column TEXT");
}

function markedToSql(marked: Marked, affinity: Affinity): SqlValue | Unfit {
  if ("$text" in marked)
    return typeof marked.$text === "string" ? textToSql(marked.$text, affinity) : unfit(marked, "no text");
  if ("$binary" in marked) {
    return (typeof marked.$binary === "string" ? bytesOf(marked.$binary) : null) ?? unfit(marked, "no base64");
  }
  const text = marked.$number;
  if (typeof text !== "string") return unfit(marked, "no number");
  const whole = wholeNumber(text);
  if (whole !== null) return isInt64(whole) ? whole : unfit(marked, "beyond 64 bits");
  const double = text === "" || text.trim() !== text ? Number.NaN : Number(text);
  return Number.isNaN(double) ? unfit(marked, "no number") : double;
}

/** A text that would not be stored as it is, is refused: the driver puts U+FFFD for half a surrogate pair, and a numeric column makes a number of "007". */
function textToSql(text: string, affinity: Affinity): string | Unfit {
  if (!text.isWellFormed()) return unfit(text, "no valid Unicode");
  if (affinity === "text" || affinity === "blob" || !LOOKS_NUMERIC.test(text)) return text;
  return unfit(text, "a text that this column would turn into a number; declare the column TEXT");
}
const LOOKS_NUMERIC = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i;

/** Null unless the text is base64 as we write it: padded, without other characters. */
function bytesOf(base64: string): Uint8Array | null {
  const bytes = Buffer.from(base64, "base64");
  return bytes.toString("base64") === base64 ? bytes : null;
}

/** A refused value as people see it: JSON, cut to a readable length. */
export function shownValue(value: WireValue | undefined): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
const unfit = (value: WireValue, why: string): Unfit => new Unfit(`${shownValue(value)} is ${why}`);
