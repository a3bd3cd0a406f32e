/// <reference lib="esnext.temporal" />
import { isTemporal } from "../../message/temporal.ts";

/** xs:dateTime as .NET writes it; WCF itself takes no lower-case `t`, no blank for the `T`, and no `+0100`. */
const DATE_TIME = /^(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}:\d{2}(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})?$/;

/**
 * An xs:dateTime with a zone, letter by letter as it came when it had one. One without is a clock on a wall: it is read as
 * UTC, or in `zone` (IANA name) where the site's is configured. A time that the wall clock skipped (the hour lost in spring)
 * is read with the offset before the change, so 02:30 becomes 03:30 summer time; a time it showed twice is the first of both.
 * Null when it is none.
 */
export function zonedDateTime(text: string, zone: string | null): string | null {
  const match = DATE_TIME.exec(text);
  if (!match || !isTemporal("timestamp", text) || /T(24|\d\d:\d\d:60)/.test(text)) return null;
  const [, , fraction = "", offset] = match;
  if (offset !== undefined) return text;
  if (zone === null) return `${text}Z`;
  const local = Temporal.PlainDateTime.from(text).toZonedDateTime(zone, { disambiguation: "compatible" });
  return local.toInstant().toString({ fractionalSecondDigits: fraction.length as 0 });
}

/** An ISO 8601 time with zone as a clock on a wall in `zone` showed it, without an offset: for replies of old contracts. */
export function wallClock(iso: string, zone: string | null): string {
  return Temporal.Instant.from(iso)
    .toZonedDateTimeISO(zone ?? "UTC")
    .toPlainDateTime()
    .toString();
}

/** Whether the time zone is known here. */
export function isTimeZone(zone: string): boolean {
  try {
    return Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(zone).timeZoneId !== "";
  } catch {
    return false;
  }
}
