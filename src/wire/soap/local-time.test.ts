import { describe, expect, test } from "vitest";
import { isTimeZone, wallClock, zonedDateTime } from "./local-time.ts";

describe("a time without a zone", () => {
  test.each<[string, string | null, string | null]>([
    ["2026-03-04T05:06:07", null, "2026-03-04T05:06:07Z"],
    ["2026-03-04T05:06:07.1234567", "Europe/Berlin", "2026-03-04T04:06:07.1234567Z"],
    ["2026-07-04T05:06:07.10", "Europe/Berlin", "2026-07-04T03:06:07.10Z"],
    ["2026-03-29T01:59:59", "Europe/Berlin", "2026-03-29T00:59:59Z"],
    ["2026-03-29T02:00:00", "Europe/Berlin", "2026-03-29T01:00:00Z"], // skipped: read as 03:00 summer time
    ["2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T01:30:00Z"],
    ["2026-03-29T03:00:00", "Europe/Berlin", "2026-03-29T01:00:00Z"],
    ["2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T00:30:00Z"], // twice: the first
    ["2026-10-25T03:00:00", "Europe/Berlin", "2026-10-25T02:00:00Z"],
    ["2026-03-08T02:30:00", "America/New_York", "2026-03-08T07:30:00Z"],
    ["2026-11-01T01:30:00", "America/New_York", "2026-11-01T05:30:00Z"],
    ["2026-10-04T02:15:00", "Australia/Lord_Howe", "2026-10-03T15:45:00Z"], // half an hour is skipped there
    ["2026-01-01T00:00:00", "Asia/Kathmandu", "2025-12-31T18:15:00Z"],
    ["2011-12-30T12:00:00", "Pacific/Apia", "2011-12-30T22:00:00Z"], // a whole day is skipped
    ["0001-01-01T00:00:00", "Europe/Berlin", "0000-12-31T23:06:32Z"], // .NET's DateTime.MinValue
    ["9999-12-31T23:59:59.9999999", "Europe/Berlin", "9999-12-31T22:59:59.9999999Z"],
    ["9999-12-31T23:59:59.9999999", "America/New_York", null],
    ["2026-02-30T00:00:00", "Europe/Berlin", null],
    ["2026-03-04T24:00:00", null, null],
    ["2026-03-04 05:06:07", null, null],
  ])("%s in %s is %s", (text, zone, expected) => {
    expect(zonedDateTime(text, zone)).toBe(expected);
  });
});

test("one with an offset stays letter by letter as it is", () => {
  expect(zonedDateTime("2026-03-29T02:30:00.120+02:00", "America/New_York")).toBe("2026-03-29T02:30:00.120+02:00");
});

test("a moment as the clock on the wall showed it", () => {
  expect(wallClock("2026-06-01T10:00:00.1230000Z", "Europe/Berlin")).toBe("2026-06-01T12:00:00.123");
  expect(wallClock("2026-06-01T10:00:00+05:30", null)).toBe("2026-06-01T04:30:00");
});

test("zones are known by their IANA names", () => {
  expect(["Europe/Berlin", "UTC", "Mars/Olympus", ""].map(isTimeZone)).toEqual([true, true, false, false]);
});
