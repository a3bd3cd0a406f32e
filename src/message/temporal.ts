import type { ColumnKind } from "./shape.ts";

/**
 * Dates and times as ISO 8601 text, with up to nine digits of fraction. A JavaScript Date is never made of one: it would
 * drop digits, and would give a local time a zone. Days are counted by the proleptic Gregorian calendar, leap seconds
 * (":60") are kept as they are written.
 */
export type TemporalKind = Extract<ColumnKind, "date" | "time" | "timestamp">;

type Moment = {
  /** Days since 0000-03-01; 0 for a time. */
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** Nine digits. */
  readonly nanos: string;
  /** Minutes east of UTC; null for a local time. */
  readonly offset: number | null;
};

const DATE = /^(\d{4})-(\d{2})-(\d{2})/;
const TIME = /^(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})?$/;

/**
 * The one text for this date, time or moment; null when it is none. Zoned moments are told in UTC, so that two spellings
 * of one instant are the same; a local time never equals a zoned one. A timestamp may be a date alone: midnight.
 */
export function canonicalTemporal(kind: TemporalKind, text: string): string | null {
  const moment = parse(kind, text);
  if (!moment) return null;
  if (kind === "date") return String(moment.day).padStart(7, "0");
  const zone = moment.offset === null ? "" : "Z";
  const minutes = (moment.day * 24 + moment.hour) * 60 + moment.minute - (moment.offset ?? 0);
  const fraction = moment.nanos.replace(/0+$/, "");
  // 10^10 keeps minutes before the first day, and times moved below midnight by their zone, in order as text.
  return `${String(minutes + 10_000_000_000).padStart(11, "0")}:${moment.second.toString().padStart(2, "0")}.${fraction}${zone}`;
}

/** Before, the same, or after; null when one is none, or when only one of them has a zone and so cannot be compared. */
export function compareTemporals(kind: TemporalKind, a: string, b: string): -1 | 0 | 1 | null {
  const left = canonicalTemporal(kind, a);
  const right = canonicalTemporal(kind, b);
  if (left === null || right === null || left.endsWith("Z") !== right.endsWith("Z")) return null;
  const [x, y] = [left.replace("Z", ""), right.replace("Z", "")];
  return x < y ? -1 : x > y ? 1 : 0;
}

export const isTemporal = (kind: TemporalKind, text: string): boolean => parse(kind, text) !== null;

function parse(kind: TemporalKind, text: string): Moment | null {
  if (kind === "time") return parseTime(text, 0);
  const date = DATE.exec(text);
  if (!date) return null;
  const day = dayNumber(Number(date[1]), Number(date[2]), Number(date[3]));
  if (day === null) return null;
  if (text.length === 10) return { day, hour: 0, minute: 0, second: 0, nanos: "000000000", offset: null };
  if (kind === "date" || (text[10] !== "T" && text[10] !== " ")) return null;
  return parseTime(text.slice(11), day);
}

function parseTime(text: string, day: number): Moment | null {
  const match = TIME.exec(text);
  if (!match) return null;
  const [, hours = "", minutes = "", seconds = "0", fraction = "", zone] = match;
  const [hour, minute, second] = [Number(hours), Number(minutes), Number(seconds)];
  const endOfDay = hour === 24 && minute === 0 && second === 0 && /^0*$/.test(fraction);
  if ((hour > 23 && !endOfDay) || minute > 59 || second > 60) return null;
  const offset = zone === undefined ? null : offsetMinutes(zone);
  if (zone !== undefined && offset === null) return null;
  return { day, hour, minute, second, nanos: fraction.padEnd(9, "0"), offset };
}

function offsetMinutes(zone: string): number | null {
  if (zone === "Z") return 0;
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  if (minutes > 18 * 60 || Number(digits.slice(2)) > 59) return null;
  return zone.startsWith("-") ? -minutes : minutes;
}

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;
const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

/** Days since 0000-01-01; null for a day that the calendar does not have. */
function dayNumber(year: number, month: number, day: number): number | null {
  const days = MONTH_DAYS[month - 1];
  if (days === undefined || day < 1 || day > (month === 2 && isLeap(year) ? 29 : days)) return null;
  const before =
    MONTH_DAYS.slice(0, month - 1).reduce((sum, count) => sum + count, 0) + (month > 2 && isLeap(year) ? 1 : 0);
  const leapYears =
    year === 0 ? 0 : Math.floor((year - 1) / 4) - Math.floor((year - 1) / 100) + Math.floor((year - 1) / 400) + 1;
  return year * 365 + leapYears + before + day - 1;
}
