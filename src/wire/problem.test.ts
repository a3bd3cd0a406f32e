import { expect, test } from "vitest";
import { FAULTS, WaybillError, type FaultCode } from "../base/errors.ts";
import { errorOf, problem, problemOf } from "./problem.ts";

const wire = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const CODES = Object.keys(FAULTS) as FaultCode[];

test.each(CODES.filter((code) => code !== "INTERNAL"))("%s crosses the wire with its words and facts", (code) => {
  const error = new WaybillError(code, "what happened", { facts: { expected: 42, epoch: "E1", none: null } });
  const document = problemOf(error, "a".repeat(32));
  expect(problem.parse(document)).toMatchObject({ status: FAULTS[code].status, code, expected: 42 });
  const back = errorOf(document.status, {}, wire(document));
  expect(back).toMatchObject({ code, what: "what happened", facts: { expected: 42, epoch: "E1", none: null } });
});

test("INTERNAL tells a caller nothing but the trace id", () => {
  const document = problemOf(
    new WaybillError("INTERNAL", "password is hunter2", { facts: { secret: "x" }, cause: new Error("y") }),
    "trace",
  );
  expect(JSON.stringify(document)).not.toMatch(/hunter2|secret|"x"|at .*\.ts/);
  expect(document.trace).toBe("trace");
});

test("facts never overwrite the members of the document", () => {
  const document = problemOf(new WaybillError("TOO_LARGE", "w", { facts: { status: 200, code: "OK", limit: 5 } }));
  expect(document).toMatchObject({ status: 413, code: "TOO_LARGE", limit: 5 });
});

test.each<[number, FaultCode]>([
  [401, "UNAUTHENTICATED"],
  [429, "OVERLOADED"],
  [503, "UNAVAILABLE"],
  [502, "HUB_UNREACHABLE"],
  [404, "HUB_UNREACHABLE"],
  [200, "HUB_UNREACHABLE"],
])("an answer of something in between with status %d is %s", (status, code) => {
  expect(errorOf(status, {}, Buffer.from("<html>proxy</html>")).code).toBe(code);
});

test("Retry-After is told in milliseconds; a date or nonsense is left out", () => {
  expect(errorOf(503, { "retry-after": "7" }, wire({})).facts["retryAfterMs"]).toBe(7_000);
  expect(errorOf(503, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }, wire({})).facts).toEqual({});
});
