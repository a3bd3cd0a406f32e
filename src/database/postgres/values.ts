import { Buffer } from "node:buffer";
import { isMarked, type Marked, type WireValue } from "../../message/change.ts";
import { plainDecimal } from "../../message/decimal.ts";
import { isTemporal } from "../../message/temporal.ts";
import { floatOf, floatToWire, isUuid, wholeNumber, wholeToWire } from "../../message/value.ts";
import type { PostgresColumn } from "./describe.ts";

/**
 * Between PostgreSQL's own text of a value (under the settings of `Connection`) and the wire. What the wire's kind has no
 * form for is marked `$text` and goes back letter by letter: infinite and far dates, a decimal that is no number, JSON whose
 * letters a parser would not give back. What the column would cut, round or read in another zone is refused, never let pass.
 */

/** Why a value cannot be stored in the column; the loader reports it as TYPE_REFUSED. */
export class Unfit {
  readonly why: string;
  constructor(why: string) {
    this.why = why;
  }
}
type Kept = Pick<PostgresColumn, "kind" | "zoned" | "binaryJson" | "maxLength" | "precision" | "scale" | "fraction">;

/** The value as it goes over the wire. */
export function toWire(column: Pick<PostgresColumn, "kind" | "binaryJson">, text: string | null): WireValue {
  if (text === null) return null;
  switch (column.kind) {
    case "text":
    case "uuid":
      return text;
    case "integer":
      return wholeToWire(BigInt(text));
    case "decimal":
      return NOT_FINITE.test(text) ? { $text: text } : text;
    case "float":
      return floatToWire(Number(text));
    case "boolean":
      return text === "t" || text === "true";
    case "date":
    case "time":
    case "timestamp": {
      const iso = isoOf(text);
      return isTemporal(column.kind, iso) ? iso : { $text: text };
    }
    case "binary":
      return Buffer.from(text.slice(2), "hex").toString("base64");
    case "json":
      return jsonToWire(text, column.binaryJson);
  }
}

/** Whole numbers of so many characters are numbers on the wire, in the same letters. */
const SAFE_LENGTH = 15;

/** The same as JSON, of the server's own text: most values need not be made for that. */
export function toWireJson(column: Pick<PostgresColumn, "kind" | "binaryJson">, text: string | null): string {
  if (text === null) return "null";
  if (column.kind === "integer" && text.length <= SAFE_LENGTH) return text;
  return JSON.stringify(toWire(column, text));
}

/** A moment of our own tables (timestamptz), in ISO 8601. */
export const momentOf = (text: string): string => isoOf(text);

const NOT_FINITE = /^(?:NaN|-?Infinity)$/;

/** "2026-11-23 22:05:01.5+00" → "2026-11-23T22:05:01.5Z". A time with zone keeps its own offset. */
function isoOf(text: string): string {
  const iso = text.length > 10 && text[10] === " " ? `${text.slice(0, 10)}T${text.slice(11)}` : text;
  return iso.endsWith("+00") ? `${iso.slice(0, -3)}Z` : iso;
}

/** JSON is sent as its value only when that value gives back these letters, and cannot be mistaken for NULL or a mark. */
function jsonToWire(text: string, binary: boolean): WireValue {
  let value: unknown;
  try {
    value = JSON.parse(text);
    // jsonb writes a space after each comma and colon; what else differs is a number that a double does not hold.
    if (value === null || JSON.stringify(value) !== (binary ? unspaced(text) : text)) return { $text: text };
  } catch {
    return { $text: text }; // nested beyond what the stack holds: the letters say it all
  }
  return isMarked(value as WireValue) ? { $text: text } : (value as WireValue);
}
const unspaced = (json: string): string =>
  json.replace(/("(?:[^"\\]|\\.)*")|\s+/gs, (_, string: string | undefined) => string ?? "");

/** The text that is bound, for a cast to the column's base type; or why it cannot be. */
export function toSql(column: Kept, value: WireValue): string | null | Unfit {
  if (value === null) return null;
  if (isMarked(value)) return column.kind === "json" && !isMark(value) ? jsonText(value) : markedToSql(column, value);
  switch (column.kind) {
    case "text":
      return typeof value === "string" ? textToSql(column, value) : unfit(value, "no text");
    case "integer":
      return wholeNumber(value)?.toString() ?? unfit(value, "no whole number");
    case "decimal":
      return decimalToSql(column, value);
    case "float": {
      const number = floatOf(value);
      return number === null ? unfit(value, "no number") : Object.is(number, -0) ? "-0" : String(number);
    }
    case "boolean":
      return typeof value === "boolean" ? String(value) : unfit(value, "neither true nor false");
    case "date":
    case "time":
    case "timestamp":
      return temporalToSql(column, column.kind, value);
    case "uuid":
      return typeof value === "string" && isUuid(value) ? value.toLowerCase() : unfit(value, "no UUID");
    case "binary":
      return typeof value === "string" ? bytesToSql(value) : unfit(value, "no base64");
    case "json":
      return jsonText(value);
  }
}

function textToSql(column: Kept, text: string): string | Unfit {
  if (!text.isWellFormed() || text.includes("\0")) return unfit(text, "not text that PostgreSQL can hold");
  // The server counts characters, not UTF-16 units; and it cuts spaces beyond the limit without a word.
  if (column.maxLength !== undefined && text.length > column.maxLength && [...text].length > column.maxLength)
    return unfit(text, `longer than ${column.maxLength} characters`);
  return text;
}

function decimalToSql(column: Kept, value: WireValue): string | Unfit {
  const text = typeof value === "number" ? String(value) : value;
  const plain = typeof text === "string" ? plainDecimal(text) : null;
  if (plain === null) return unfit(value, "no decimal");
  if (column.scale === undefined) return plain;
  const [whole = "", fraction = ""] = plain.split(".");
  const lost = column.scale >= 0 ? fraction.slice(column.scale) : `${whole.slice(column.scale)}${fraction}`;
  return /[1-9]/.test(lost) ? unfit(value, `finer than the column's ${column.scale} digits after the point`) : plain;
}

/** A fraction and a zone at the end of an ISO 8601 text. */
const CLOCK = /(?:\.(\d+))?(Z|[+-]\d{2}(?::?\d{2})?)?$/;

function temporalToSql(column: Kept, kind: "date" | "time" | "timestamp", value: WireValue): string | Unfit {
  if (typeof value !== "string" || !isTemporal(kind, value)) return unfit(value, `no ${kind} in ISO 8601`);
  if (kind === "date") return value;
  const [, fraction = "", zone] = CLOCK.exec(value.length === 10 ? "" : value.slice(kind === "time" ? 0 : 10)) ?? [];
  if (/[1-9]/.test(fraction.slice(column.fraction ?? 6)))
    return unfit(value, `finer than the column's ${column.fraction ?? 6} digits of a second`);
  if (column.zoned && zone === undefined) return unfit(value, "a local time, and the column's have a zone");
  if (!column.zoned && zone !== undefined) return unfit(value, "a time with zone, and the column's have none");
  return value;
}

/** Null unless the text is base64 as we write it: padded, without other characters. */
function bytesToSql(base64: string): string | Unfit {
  const bytes = Buffer.from(base64, "base64");
  return bytes.toString("base64") === base64 ? `\\x${bytes.toString("hex")}` : unfit(base64, "no base64");
}

/** PostgreSQL takes no character 0 in JSON either, nor half a surrogate pair in jsonb: it says so itself. */
const jsonText = (value: WireValue): string => JSON.stringify(value);

/** Only a mark alone is one: a JSON value may have a member of that name beside others. */
const isMark = (value: Marked): boolean => Object.keys(value).length === 1;

/** The few texts that a column takes beside its kind's own form. Else 'now' or 'today' would be given a meaning. */
const BESIDE: Partial<Record<PostgresColumn["kind"], RegExp>> = {
  decimal: NOT_FINITE,
  date: /^(?:-?infinity|\d{4,}-\d\d-\d\d(?: BC)?)$/,
  timestamp: /^(?:-?infinity|\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d)?(?: BC)?)$/,
};

function markedToSql(column: Kept, marked: Marked): string | Unfit {
  if ("$text" in marked && typeof marked.$text === "string") {
    const text = marked.$text;
    if (column.kind === "text") return textToSql(column, text);
    if (column.kind === "json" || BESIDE[column.kind]?.test(text)) return text;
  }
  if ("$binary" in marked && column.kind === "binary" && typeof marked.$binary === "string")
    return bytesToSql(marked.$binary);
  return unfit(marked, `no ${column.kind}`);
}

/** A refused value as people see it: JSON, cut to a readable length. */
export function shownValue(value: WireValue | undefined): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
const unfit = (value: WireValue, why: string): Unfit => new Unfit(`${shownValue(value)} is ${why}`);
