import { instant, instantOf, isoOf } from "../../base/clock.ts";
import { isTemporal } from "../../message/temporal.ts";

/** xs:dateTime as .NET writes it; WCF itself takes no lower-case `t`, no blank for the `T`, and no `+0100`. */
const DATE_TIME = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})?$/;
const DAY_MS = 24 * 60 * 60 * 1_000;

/**
 * An xs:dateTime with a zone, letter by letter as it came when it had one. One without is a clock on a wall: it is read as
 * UTC, or in `zone` (IANA name) where the site's is configured. A time that the wall clock skipped (the hour lost in spring)
 * is read with the offset before the change, so 02:30 becomes 03:30 summer time; a time it showed twice is the first of both.
 * Null when it is none, or lies outside of the years 0000 to 9999 in UTC.
 */
export function zonedDateTime(text: string, zone: string | null): string | null {
  const match = DATE_TIME.exec(text);
  if (!match || !isTemporal("timestamp", text) || /T(24|\d\d:\d\d:60)/.test(text)) return null;
  const [, wall = "", fraction, offset] = match;
  if (offset !== undefined) return text;
  if (zone === null) return `${text}Z`;
  const showing: number | null = instantOf(`${wall}Z`);
  if (showing === null) return null;
  const [before, after] = [offsetOf(zone, showing - DAY_MS), offsetOf(zone, showing + DAY_MS)];
  // The moments at which the clock showed this: none in the hour that is skipped, two in the one that comes twice.
  const moments = [showing - before, showing - after].filter((at) => at + offsetOf(zone, at) === showing);
  const utc = isoSeconds(moments.length === 0 ? showing - before : Math.min(...moments));
  return utc === null ? null : `${utc}${fraction === undefined ? "" : `.${fraction}`}Z`;
}

/** An ISO 8601 time with zone as a clock on a wall in `zone` showed it, without an offset: for replies of old contracts. */
export function wallClock(iso: string, zone: string | null): string {
  const at = instantOf(iso.replace(/\.\d+/, "")) ?? 0;
  const fraction = (/\.(\d+)/.exec(iso)?.[1] ?? "").replace(/0+$/, "");
  const shown = isoSeconds(at + (zone === null ? 0 : offsetOf(zone, at))) ?? isoSeconds(at) ?? "";
  return fraction === "" ? shown : `${shown}.${fraction}`;
}

/** Whether the time zone is known here. */
export function isTimeZone(zone: string): boolean {
  try {
    return offsetOf(zone, 0) !== null;
  } catch {
    return false;
  }
}

/** To the second, without a zone; null outside of four-digit years. Fractions are carried as text: none of their digits is dropped. */
function isoSeconds(at: number): string | null {
  const iso = isoOf(instant(at));
  return iso.length === 24 ? iso.slice(0, 19) : null;
}

const zones = new Map<string, Intl.DateTimeFormat>();

/** Milliseconds that clocks of the zone are ahead of UTC at this moment. @throws RangeError for a zone that is not known here */
function offsetOf(zone: string, at: number): number {
  let format = zones.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
    zones.set(zone, format); // as many as the config names
  }
  const name = format.formatToParts(at).find(({ type }) => type === "timeZoneName")?.value ?? "GMT";
  const [, sign, hours = "0", minutes = "0", seconds = "0"] = /([+-])(\d{2}):(\d{2})(?::(\d{2}))?/.exec(name) ?? [];
  const ahead = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000;
  return sign === "-" ? -ahead : ahead;
}
