import { expect, test } from "vitest";
import { instant, instantOf, isoOf, later, systemClock } from "./clock.ts";

test("an instant is read from ISO 8601 with a zone, and written in UTC", () => {
  expect(isoOf(instant(0))).toBe("1970-01-01T00:00:00.000Z");
  expect(instantOf("2026-11-23T09:14:07.1234567Z")).toBe(Date.UTC(2026, 10, 23, 9, 14, 7, 123));
  expect(instantOf("2026-11-23T10:14:07+01:00")).toBe(Date.UTC(2026, 10, 23, 9, 14, 7));
  expect(isoOf(later(instant(0), 1_500))).toBe("1970-01-01T00:00:01.500Z");
});

test.each([
  "2026-11-23T09:14:07",
  "2026-11-23",
  "2026",
  "1",
  "",
  "2026-13-01T00:00:00Z",
  "Mon, 23 Nov 2026 09:14:07 GMT",
])("%j is no text with a zone: it would mean another time on another machine", (text) => {
  expect(instantOf(text)).toBeNull();
});

test("elapsed time only grows", () => {
  const before = systemClock.elapsed();
  expect(systemClock.elapsed()).toBeGreaterThanOrEqual(before);
});
