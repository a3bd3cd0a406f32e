import { instantOf, type Instant } from "../base/clock.ts";
import { OPS, type Change, type Op } from "../message/change.ts";
import { lineInvalid, parseLine } from "./ndjson.ts";

/** One line of a submission: a message, a part of one, or the note that a value was too large to be carried. */
export type MessageLine = {
  readonly seq: number;
  /** 0: the whole message; else the part's number from 1. */
  readonly part: number;
  readonly more: boolean;
  /** Null where a part or a refused line does not say it. */
  readonly at: Instant | null;
  readonly trace: string | null;
  readonly changes: readonly Change[];
  /** Why the sender could not carry the message: `VALUE_TOO_LARGE`. */
  readonly refused: string | null;
};

/** As deep as SQLite lets JSON be; deeper input could only be meant to exhaust somebody's stack. */
export const MAX_DEPTH = 1_000;
/** A value stands in a row, that in a change, that in the list of changes, that in the message. */
const ROW_DEPTH = 4;
const ISO_WITH_ZONE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;
const KNOWN_OPS: ReadonlySet<unknown> = new Set(OPS);

type Members = { readonly [name: string]: unknown };
/** Where in the body a check stands; the path is put together only when a check fails. */
type Place = { readonly line: number; suspicious: boolean };

/**
 * Reads one message line. This is the hot path of ingest: JSON.parse and a walk over what came of it, no schema library
 * (zod took 9 times as long as the parse itself). Whatever passes here is stored; whether it can be loaded is judged later.
 * @throws LINE_INVALID with `line` and `path`
 */
export function readMessageLine(text: string, line: number): MessageLine {
  const value = parseLine(text, line);
  const place: Place = { line, suspicious: text.includes("\\u") };
  if (!isMembers(value)) throw lineInvalid(line, "", "must be an object");
  const seq = value["seq"];
  if (!Number.isSafeInteger(seq) || (seq as number) < 1)
    throw lineInvalid(line, "seq", "must be a whole number from 1");
  const part = value["part"] ?? 0;
  if (!Number.isSafeInteger(part) || (part as number) < 0 || (part === 0 && value["part"] !== undefined)) {
    throw lineInvalid(line, "part", "must be a whole number from 1, or absent");
  }
  const more = value["more"] ?? false;
  if (typeof more !== "boolean" || (more && part === 0))
    throw lineInvalid(line, "more", "must be true or false, and needs `part`");
  const trace = value["trace"] ?? null;
  if (trace !== null && typeof trace !== "string") throw lineInvalid(line, "trace", "must be text");
  const refused = value["refused"] ?? null;
  if (refused !== null && typeof refused !== "string") throw lineInvalid(line, "refused", "must be a code");
  const at = readAt(value["at"], line);
  if (at === null && part === 0 && refused === null) throw lineInvalid(line, "at", "is missing");
  const changes = refused === null ? checkChanges(value["changes"], place) : [];
  if (place.suspicious) checkLetterByLetter(text, line);
  return { seq: seq as number, part: part as number, more, at, trace, changes, refused };
}

/** @throws LINE_INVALID unless the value is a list of changes (contracts: "Messages up") */
export function readChanges(value: unknown, line: number, text: string): readonly Change[] {
  const place: Place = { line, suspicious: text.includes("\\u") };
  const changes = checkChanges(value, place);
  if (place.suspicious) checkLetterByLetter(text, line);
  return changes;
}

/** An ISO 8601 time with zone; null when it is left out. @throws LINE_INVALID */
export function readAt(value: unknown, line: number): Instant | null {
  if (value === undefined) return null;
  const at = typeof value === "string" && ISO_WITH_ZONE.test(value) ? instantOf(value) : null;
  if (at === null) throw lineInvalid(line, "at", "must be an ISO 8601 time with zone");
  return at;
}

function checkChanges(value: unknown, place: Place): readonly Change[] {
  if (!Array.isArray(value)) throw lineInvalid(place.line, "changes", "must be a list");
  for (let index = 0; index < value.length; index++) checkChange(value[index], index, place);
  return value as readonly Change[];
}

function checkChange(change: unknown, index: number, place: Place): void {
  if (!isMembers(change)) throw lineInvalid(place.line, `changes[${index}]`, "must be an object");
  const table = change["table"];
  if (typeof table !== "string" || table === "")
    throw lineInvalid(place.line, `changes[${index}].table`, "must be a table's name");
  const op = change["op"];
  if (!KNOWN_OPS.has(op)) throw lineInvalid(place.line, `changes[${index}].op`, `must be one of ${OPS.join(", ")}`);
  checkRow(change["key"], index, "key", place);
  const row = change["row"];
  if ((op as Op) === "delete") {
    if (row !== undefined) throw lineInvalid(place.line, `changes[${index}].row`, "must be absent for a delete");
  } else {
    checkRow(row, index, "row", place);
  }
  const before = change["before"];
  if (before !== undefined) checkRow(before, index, "before", place);
}

function checkRow(row: unknown, index: number, member: string, place: Place): void {
  if (!isMembers(row)) throw lineInvalid(place.line, `changes[${index}].${member}`, "must be an object of columns");
  for (const column in row) {
    const value = row[column];
    if (typeof value === "number") place.suspicious ||= isDoubtful(value);
    else if (typeof value === "object" && value !== null && !checkNested(value, 1, place)) {
      throw lineInvalid(place.line, `changes[${index}].${member}.${column}`, `is nested deeper than ${MAX_DEPTH}`);
    }
  }
}

/** False when it is nested too deep. */
function checkNested(value: object, depth: number, place: Place): boolean {
  if (depth > MAX_DEPTH) return false;
  for (const inner of Object.values(value) as readonly unknown[]) {
    if (typeof inner === "number") place.suspicious ||= isDoubtful(inner);
    else if (typeof inner === "object" && inner !== null && !checkNested(inner, depth + 1, place)) return false;
  }
  return true;
}

/** A number that may have been something else before it was read: an integer beyond ±2^53, or too large for any double. */
const isDoubtful = (value: number): boolean =>
  !Number.isSafeInteger(value) && (Number.isInteger(value) || !Number.isFinite(value));

/**
 * The slow second look, only at lines with a doubtful number or an escape: what JSON.parse would change in silence is refused
 * (I13): an integer that a double cannot hold, a number too large, half of a surrogate pair (it has no UTF-8 form).
 */
export function checkLetterByLetter(text: string, line: number): void {
  // The second look descends into members that nobody asked for, too.
  if (!isNestedWithin(parseLine(text, line), MAX_DEPTH + ROW_DEPTH))
    throw lineInvalid(line, "", `is nested deeper than ${MAX_DEPTH}`);
  JSON.parse(text, (name: string, value: unknown, context?: { readonly source?: string }) => {
    if (!name.isWellFormed() || (typeof value === "string" && !value.isWellFormed())) {
      throw lineInvalid(line, name.toWellFormed(), "holds half of a surrogate pair, which is not a character");
    }
    if (typeof value === "number" && context?.source !== undefined && !holds(value, context.source)) {
      throw lineInvalid(line, name, "is a number that does not fit a double; send it as a string");
    }
    return value;
  });
}

function holds(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return false;
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(source) || String(value) === source;
}

/** False for a value that whoever walks over it by recursion could not survive. */
export function isNestedWithin(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isNestedWithin(inner, levels - 1));
}

const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);
