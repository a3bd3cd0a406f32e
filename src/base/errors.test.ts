import { describe, expect, test } from "vitest";
import { asWaybillError, FAULTS, isFaultCode, WaybillError, type FaultCode } from "./errors.ts";

describe("the catalogue", () => {
  test.each(Object.entries(FAULTS))(
    "%s has a status of HTTP and a hint that is a sentence",
    (code, { status, hint }) => {
      expect(code).toMatch(/^[A-Z][A-Z_]*[A-Z]$/);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
      expect(hint).toMatch(/^[A-Z`/].*\.$/);
    },
  );
  test("whoever is asked to repeat later is told so by a status that says it", () => {
    const ill = (Object.keys(FAULTS) as FaultCode[]).filter((code) => FAULTS[code].blame === "target");
    expect(ill.filter((code) => ![429, 500, 503].includes(FAULTS[code].status))).toEqual([]);
  });
  test("a code is only what the catalogue itself has", () => {
    expect(isFaultCode("ROW_EXISTS")).toBe(true);
    expect(isFaultCode("toString")).toBe(false);
  });
});

describe("an error", () => {
  test("says its code and what is wrong, and carries facts and cause", () => {
    const cause = new Error("23505");
    const error = new WaybillError("ROW_EXISTS", "sale S-9", { cause, facts: { seq: 7 } });
    expect(error).toMatchObject({
      message: "ROW_EXISTS: sale S-9",
      what: "sale S-9",
      facts: { seq: 7 },
      blame: "either",
      cause,
    });
    expect(error.hint).toBe(FAULTS.ROW_EXISTS.hint);
  });
  test("is kept as it is when asked for as one of ours; all else becomes INTERNAL with its cause", () => {
    const ours = new WaybillError("DISK_FULL", "ledger.db");
    expect(asWaybillError(ours)).toBe(ours);
    const cause = new TypeError("x is not a function");
    expect(asWaybillError(cause)).toMatchObject({ code: "INTERNAL", what: "x is not a function", cause });
    expect(asWaybillError("thrown text")).toMatchObject({ code: "INTERNAL", what: "thrown text" });
  });
});
