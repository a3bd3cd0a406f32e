import { describe, expect, test } from "vitest";
import { epoch, laneName, seq, splitLane, termOf, terminalId, updateId, updateIdOf } from "./ids.ts";

describe("names", () => {
  test.each(["t1", "store-014.till_2", "9", "a".repeat(64)])("%j names a terminal", (text) => {
    expect(terminalId(text)).toBe(text);
  });
  test.each(["", "-t1", ".t1", "t/1", "t 1", "t\n", "till é", "a".repeat(65)])(
    "%j names no terminal and no epoch",
    (text) => {
      expect(() => terminalId(text)).toThrow("REQUEST_INVALID");
      expect(() => epoch(text)).toThrow("REQUEST_INVALID");
    },
  );
  test("a refused name is shown cut, so that the error stays readable", () => {
    expect(() => terminalId("x".repeat(10_000))).toThrow(/^.{0,250}$/s);
  });
  test("a lane's name is read back as its parts", () => {
    const [terminal, incarnation] = [terminalId("t1"), epoch("01JD")];
    expect(splitLane(laneName(terminal, incarnation))).toEqual({ terminal, epoch: incarnation });
  });
});

describe("numbers", () => {
  test.each([0, 1, Number.MAX_SAFE_INTEGER])("%d is a message's number", (n) => {
    expect(seq(n)).toBe(n);
  });
  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])("%d is not", (n) => {
    expect(() => seq(n)).toThrow("REQUEST_INVALID");
  });
  test("an update's id is read from the wire's text", () => {
    expect(updateId("17")).toBe(17);
    for (const text of ["", " 17", "17 ", "-1", "1e3", "0x1", "1.5", "9".repeat(17)]) {
      expect(() => updateId(text), text).toThrow("REQUEST_INVALID");
    }
  });
  test("ids of a later term are above all of an earlier one", () => {
    expect(updateIdOf(2, 1)).toBeGreaterThan(updateIdOf(1, 999_999_999_999));
    expect(termOf(updateIdOf(2, 1))).toBe(2);
    expect(termOf(updateId("0"))).toBe(0);
  });
});
