import fc from "fast-check";
import { expect, test } from "vitest";
import { seq } from "../base/ids.ts";
import { discreet, HIDDEN, personalValues } from "./discreet.ts";
import { readLine } from "./reading.ts";

const PERSONAL = new Map([["customer", new Set(["name", "age"])]]);
const valuesOf = (...rows: readonly Record<string, string | number | null>[]): readonly string[] =>
  personalValues(
    PERSONAL,
    rows.map((row) => ({ table: "customer", row })),
  );

test("personal values are taken out of words in whatever way these quote them", () => {
  const values = valuesOf(
    { id: "C1", name: 'Anna "Ann" O\'Neil', age: 41 },
    { name: "a very long name that goes on and on" },
  );
  expect(discreet(`customer id=C1: name="Anna \\"Ann\\" O'Neil", age 41`, values)).toBe(
    `customer id=C1: name=${HIDDEN}, age ${HIDDEN}`,
  );
  expect(discreet('no shop for ANNA "ANN" O\'NEIL (41)', values)).toBe(`no shop for ${HIDDEN} (${HIDDEN})`);
  expect(discreet("value a very long name that goes...", values)).not.toMatch(/very long/);
});

test("short values are not found within other words and numbers", () => {
  expect(discreet("number=141 of 41 on till-a at 3.41", valuesOf({ age: 41, name: "a" }))).toBe(
    `number=141 of ${HIDDEN} on till-${HIDDEN} at 3.${HIDDEN}`,
  );
});

test("columns and tables that are not personal stay as they are, and nulls hide nothing", () => {
  expect(valuesOf({ id: "C1", name: null })).toEqual([]);
  expect(personalValues(PERSONAL, [{ table: "sale", row: { name: "Anna" } }])).toEqual([]);
});

test("no value survives whole, whatever signs are in it", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }), (name) => {
      const said = discreet(`(${name}) {${JSON.stringify(name)}}`, valuesOf({ name }));
      expect(said.replaceAll(HIDDEN, "")).not.toContain(`(${name})`);
    }),
  );
});

test("a line that is no JSON is told of by the place where it ends to be, not by what stands there", () => {
  const { fault } = readLine(seq(1), '{"changes":[{"row":{"name":"Anna O\'Neil","age":41,}}]}');
  expect(fault?.detail).toMatch(/^the line is no JSON( at position \d+)?$/);
});
