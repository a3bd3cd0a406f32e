import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addDecimals,
  canonicalDecimal,
  compareDecimals,
  plainDecimal,
  shortDigits,
  subtractDecimals,
} from "./decimal.ts";
import { canonicalTemporal, compareTemporals } from "./temporal.ts";
import { floatOf, keyText, sameValue, wholeNumber, wholeToWire } from "./value.ts";

describe("same value", () => {
  test.each([
    ["integer", 3, "3"],
    ["integer", "-007", -7],
    ["integer", "9223372036854775807", "9223372036854775807"],
    ["decimal", "12.50", "12.5"],
    ["decimal", "-0.00", "0"],
    ["decimal", 12.5, "12.500"],
    ["decimal", "1e3", "1000"],
    ["float", 0, -0],
    ["float", "NaN", "NaN"],
    ["float", 1e21, 1e21],
    ["timestamp", "2026-11-23T09:14:07.1234500Z", "2026-11-23T09:14:07.12345Z"],
    ["timestamp", "2026-11-23T10:14:07+01:00", "2026-11-23T09:14:07Z"],
    ["timestamp", "2026-11-23 09:14:07", "2026-11-23T09:14:07.000"],
    ["timestamp", "2026-12-31T24:00:00Z", "2027-01-01T00:00:00Z"],
    ["timestamp", "2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00Z"],
    ["time", "09:14", "09:14:00.000000000"],
    ["uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    ["json", { a: 1, b: [{ d: 2, c: 3 }] }, { b: [{ c: 3, d: 2 }], a: 1 }],
    ["text", null, null],
    ["integer", { $text: "x" }, { $text: "x" }],
  ] as const)("%s: %j is %j", (kind, a, b) => expect(sameValue(kind, a, b)).toBe(true));

  test.each([
    ["text", "", null],
    ["text", "a", "a "],
    ["text", "a", "A"],
    ["text", "é", "e\u0301"],
    ["integer", 3, { $text: "3" }],
    ["integer", "9223372036854775807", "9223372036854775806"],
    ["decimal", "0.1", "0.10000000000000001"],
    ["decimal", "12.50", "125.0"],
    ["boolean", false, null],
    ["boolean", true, 1],
    ["float", 0, null],
    ["timestamp", "2026-11-23T09:14:07.123456789Z", "2026-11-23T09:14:07.123456788Z"],
    ["timestamp", "2026-11-23T09:14:07Z", "2026-11-23T09:14:07"], // a local time is at no known instant
    ["date", "2026-11-23", "2026-11-24"],
    ["timestamp", "yesterday", "2026-11-22"],
    ["json", [1, 2], [2, 1]],
    ["json", { a: null }, {}],
    ["binary", "AA==", { $text: "AA==" }],
  ] as const)("%s: %j is not %j", (kind, a, b) => expect(sameValue(kind, a, b)).toBe(false));

  test("texts that a collation takes for the same have one key text", () => {
    expect(keyText("text", "Tea", "nocase")).toBe(keyText("text", "TEA", "nocase"));
    expect(keyText("text", "É", "nocase")).not.toBe(keyText("text", "é", "nocase")); // SQLite folds ASCII only
    expect(keyText("text", "tea  ", "rtrim")).toBe(keyText("text", "tea", "rtrim"));
    expect(keyText("text", "Tea")).not.toBe(keyText("text", "TEA"));
  });
  test("texts of different values differ, whatever they hold", () => {
    const values = ["", "n", null, "null", true, "b1", 1, "1", { $text: "" }, { $binary: "" }, { $number: "1" }, "$t"];
    expect(new Set(values.map((value) => keyText("text", value))).size).toBe(values.length);
  });
});

const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.integer({ min: 0, max: 30 }))
  .map(([units, scale]) => {
    const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
    const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
    return { text: units < 0n ? `-${text}` : text, units, scale };
  });

describe("decimals", () => {
  test("sums are exact, with the larger scale", () => {
    expect(addDecimals("0.1", "0.2")).toBe("0.3");
    expect(addDecimals("12.50", "-2.5")).toBe("10.00");
    expect(subtractDecimals("99999999999999999999999999999999999999", "-0.01")).toBe(
      "99999999999999999999999999999999999999.01",
    );
    expect(addDecimals("twelve", "1")).toBeNull();
  });
  test("what was added can be taken away again", () =>
    fc.assert(
      fc.property(
        decimal,
        decimal,
        (a, b) => compareDecimals(subtractDecimals(addDecimals(a.text, b.text) ?? "", b.text) ?? "", a.text) === 0,
      ),
    ));
  test("order is that of the numbers, whatever their scale", () =>
    fc.assert(
      fc.property(decimal, decimal, (a, b) => {
        const [x, y] = [a.units * 10n ** BigInt(b.scale), b.units * 10n ** BigInt(a.scale)];
        return compareDecimals(a.text, b.text) === (x < y ? -1 : x > y ? 1 : 0);
      }),
    ));
  test("equal decimals have one canonical text, and it is a decimal of the same value", () =>
    fc.assert(
      fc.property(decimal, fc.integer({ min: 0, max: 8 }), ({ text, scale }, zeros) => {
        const wider =
          scale === 0 && zeros > 0 ? `${text}.${"0".repeat(zeros)}` : scale === 0 ? text : text + "0".repeat(zeros);
        const canonical = canonicalDecimal(text);
        return canonical !== null && canonicalDecimal(wider) === canonical && compareDecimals(canonical, text) === 0;
      }),
    ));
  test("the shortest text of any double is the double, written without exponent", () =>
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (double) => {
        const plain = plainDecimal(String(double));
        return plain !== null && !/e/i.test(plain) && Number(plain) === double;
      }),
    ));
  test("the digits of a short one are those of its canonical text, and a double holds it", () => {
    const near = fc.stringMatching(/^-?\d{0,9}\.?\d{0,9}$/);
    const any = fc.oneof(near, fc.stringMatching(/^[-+]?\d{0,4}[.e]?\d{0,3}[.eE x]?$/), fc.string());
    fc.assert(
      fc.property(any, (text) => {
        const digits = shortDigits(text);
        if (!digits) return true;
        const canonical = canonicalDecimal(text);
        const [whole = "", fraction = ""] = canonical?.replace("-", "").split(".") ?? [];
        return (
          digits.whole === whole.replace(/^0$/, "").length &&
          digits.fraction === fraction.length &&
          compareDecimals(String(Number(text)), text) === 0
        );
      }),
      { numRuns: 5_000 },
    );
    expect(["12.50", "-0.05", ".5", "7.", "-0", "123456789012345"].map(shortDigits)).toEqual([
      { whole: 2, fraction: 1 },
      { whole: 0, fraction: 2 },
      { whole: 0, fraction: 1 },
      { whole: 1, fraction: 0 },
      { whole: 0, fraction: 0 },
      { whole: 15, fraction: 0 },
    ]);
    expect(["1234567890123456", "+1", "1e2", "", "-", ".", "1.2.3", "١"].map(shortDigits)).toEqual(Array(8).fill(null));
  });
  test("a plain text is the number without its exponent already", () =>
    fc.assert(
      fc.property(decimal, ({ text }) => plainDecimal(text) === plainDecimal(`${text}e0`)),
      {
        examples: [{ text: "-0" }, { text: "-0.00" }, { text: "007" }, { text: "5." }].map((one) => [
          { ...one, units: 0n, scale: 0 },
        ]),
      },
    ));
  test.each(["", ".", "-", "1.2.3", "0x10", "1_000", "１", " 1", "1 ", "NaN", "1e99999", "9".repeat(5_000)])(
    "%j is no decimal",
    (text) => expect(canonicalDecimal(text)).toBeNull(),
  );
});

describe("whole numbers", () => {
  test("a JSON number whose last digits may be lost is none", () => {
    expect(wholeNumber(9_007_199_254_740_991)).toBe(9_007_199_254_740_991n);
    expect(wholeNumber(9_007_199_254_740_992)).toBeNull();
    expect(wholeNumber("9007199254740993")).toBe(9_007_199_254_740_993n);
    expect(wholeNumber(1.5)).toBeNull();
    expect(wholeNumber("1.0")).toBeNull();
    expect(wholeNumber("")).toBeNull();
  });
  test("come back from the wire as they were", () =>
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        (whole) => wholeNumber(JSON.parse(JSON.stringify(wholeToWire(whole)))) === whole,
      ),
    ));
  test("floats have texts where JSON has no number", () => {
    expect([floatOf("NaN"), floatOf("Infinity"), floatOf("-Infinity"), floatOf("1.5"), floatOf(true)]).toEqual([
      NaN,
      Infinity,
      -Infinity,
      null,
      null,
    ]);
  });
});

describe("dates and times", () => {
  const pad = (n: number, digits: number): string => String(n).padStart(digits, "0");
  const moment = fc.record({
    ms: fc.integer({ min: Date.UTC(100, 0, 1), max: Date.UTC(9899, 0, 1) }),
    nanos: fc.integer({ min: 0, max: 999_999 }),
    offset: fc.integer({ min: -14 * 60, max: 14 * 60 }),
  });
  /** Date does the calendar, in the test alone: whole milliseconds it can hold. */
  const written = (ms: number, nanos: number, offset: number): string => {
    const local = new Date(ms + offset * 60_000).toISOString().replace("Z", "");
    const sign = offset < 0 ? "-" : "+";
    return `${local}${pad(nanos, 6)}${sign}${pad(Math.floor(Math.abs(offset) / 60), 2)}:${pad(Math.abs(offset) % 60, 2)}`;
  };
  test("one instant is the same in every zone", () =>
    fc.assert(
      fc.property(
        moment,
        fc.integer({ min: -840, max: 840 }),
        ({ ms, nanos, offset }, other) =>
          canonicalTemporal("timestamp", written(ms, nanos, offset)) ===
          canonicalTemporal("timestamp", written(ms, nanos, other)),
      ),
    ));
  test("order is that of time, to the nanosecond", () =>
    fc.assert(
      fc.property(moment, moment, (a, b) => {
        const expected = Math.sign(a.ms - b.ms || a.nanos - b.nanos);
        return (
          compareTemporals("timestamp", written(a.ms, a.nanos, a.offset), written(b.ms, b.nanos, b.offset)) === expected
        );
      }),
    ));
  test("a local time cannot be compared with a zoned one", () => {
    expect(compareTemporals("timestamp", "2026-11-23T09:00:00", "2026-11-23T10:00:00Z")).toBeNull();
    expect(compareTemporals("timestamp", "2026-11-23T09:00:00.9", "2026-11-23T09:00:00.10")).toBe(1);
    expect(compareTemporals("time", "09:00", "10:00")).toBe(-1);
    expect(compareTemporals("date", "2026-02-28", "2026-03-01")).toBe(-1);
  });
  test.each([
    ["date", "2026-02-29"],
    ["date", "2026-13-01"],
    ["date", "2026-1-1"],
    ["date", "2026-01-01T00:00"],
    ["date", ""],
    ["time", "24:01"],
    ["time", "9:00"],
    ["time", "10:00:61"],
    ["time", "10:00+25:00"],
    ["time", "10:00:00.1234567890"],
    ["timestamp", "2026-01-01X10:00"],
    ["timestamp", "2026-01-01T"],
    ["timestamp", "20260101T100000"],
    ["timestamp", "now"],
  ] as const)("%s: %j is none", (kind, text) => expect(canonicalTemporal(kind, text)).toBeNull());
});
