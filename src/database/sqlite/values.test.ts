import { DatabaseSync, type StatementSync } from "node:sqlite";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { WireValue } from "../../message/change.ts";
import type { ColumnKind } from "../../message/shape.ts";
import { affinityOf, kindOf } from "./describe.ts";
import { toSql, toWire, Unfit, type SqlValue } from "./values.ts";

/** Declarations as applications write them, each with its own affinity and kind. */
const DECLARED = [
  "INTEGER",
  "BIGINT",
  "TEXT",
  "VARCHAR(40)",
  "REAL",
  "DOUBLE PRECISION",
  "NUMERIC(12,2)",
  "DECIMAL(38,10)",
  "MONEY",
  "BOOLEAN",
  "DATE",
  "TIME",
  "DATETIME",
  "TIMESTAMP",
  "BLOB",
  "VARBINARY(8)",
  "UUID",
  "JSON",
  "",
  "STRING",
] as const;

const db = new DatabaseSync(":memory:");
afterAll(() => db.close());

const exact = (sql: string) => {
  const statement = db.prepare(sql);
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  return statement;
};
type Side = Readonly<Record<"put" | "get" | "carry" | "same", StatementSync>>;
/** For each declaration a table on either side, of one row. */
const sides = new Map<string, Side>(
  DECLARED.map((declared, at) => {
    db.exec(
      `create table source_${at} (v ${declared}); create table target_${at} (v ${declared}); insert into source_${at} values (null); insert into target_${at} values (null)`,
    );
    return [
      declared,
      {
        put: db.prepare(`update source_${at} set v = ?`),
        get: exact(`select v from source_${at}`),
        carry: db.prepare(`update target_${at} set v = ?`),
        same: exact(
          `select s.v is t.v and typeof(s.v) = typeof(t.v), t.v, typeof(t.v) from source_${at} s, target_${at} t`,
        ),
      },
    ];
  }),
);

/** Stores on one side, carries over the wire as JSON text, stores on the other; gives what went over. */
function roundTrip(declared: string, value: SqlValue): WireValue {
  const of = sides.get(declared);
  if (!of) throw new Error(declared);
  of.put.run(value);
  const [stored] = of.get.get() as unknown as [SqlValue];
  const kind = kindOf(declared);
  const wire = JSON.parse(JSON.stringify(toWire(kind, stored))) as WireValue;
  const bound = toSql(kind, wire, affinityOf(declared, false));
  if (bound instanceof Unfit)
    throw new Error(`${declared} ${kind}: ${String(value)} as ${JSON.stringify(wire)}: ${bound.why}`);
  of.carry.run(bound);
  const [same, now, type] = of.same.get() as unknown as [bigint, SqlValue, string];
  // Told only when needed: one of the values is a megabyte.
  if (same !== 1n)
    expect.fail(`${declared}: ${String(stored)} went as ${JSON.stringify(wire)} and came as ${type} ${String(now)}`);
  return wire;
}

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => (at * 31) % 256);
const EXTREMES: readonly SqlValue[] = [
  null,
  "",
  " ",
  "\0",
  "a\0b",
  "null",
  "true",
  "NaN",
  "🧾 Rechnung für Ünïcode",
  "\ufeff",
  "\uffff",
  "'; drop table sale; --",
  0n,
  1n,
  2n,
  -1n,
  2n ** 53n,
  2n ** 53n + 1n,
  -(2n ** 63n),
  2n ** 63n - 1n,
  0.5,
  -0,
  5,
  1e15,
  2 ** 53,
  1e18,
  1e19,
  1e300,
  5e-324,
  1.7976931348623157e308,
  0.1 + 0.2,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  "99999999999999999999999999999999999999",
  "-0.0000000000000000000000000000000000001",
  "12.50",
  "007",
  "+5",
  "1e5",
  " 7 ",
  "0x10",
  "2026-11-23",
  "2026-11-23T09:14:07.1234567Z",
  "2026-11-23 09:14:07.123456789+05:30",
  "09:14:07.123456789",
  "23/11/2026",
  "2026",
  "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
  "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
  '{"a":1}',
  '{ "a": 1 }',
  '{"b":1,"a":{"c":[]}}',
  '{"2":1,"1":2}',
  '{"a":1,"a":2}',
  '"text"',
  "[1.0]",
  "[1e400]",
  '{"$text":"x"}',
  '{"__proto__":1}',
  '"\\ud800"',
  "[".repeat(20_000),
  "false",
  "5",
  "5.0",
  new Uint8Array(),
  bytes(1),
  bytes(256),
  bytes(1_048_576),
];

describe("a round trip through the wire restores value and storage class", () => {
  test.each(DECLARED)("'%s': the extremes", (declared) => {
    for (const value of EXTREMES) roundTrip(declared, value);
  });
  test("of anything, in any column", () => {
    const value = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.json(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.double({ noNaN: true }),
      fc.uint8Array({ maxLength: 40 }),
      fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }).map((date) => date.toISOString()),
      fc.uuid(),
      fc.integer().map(String),
      fc.double({ noNaN: true }).map(String),
    );
    fc.assert(
      fc.property(fc.constantFrom(...DECLARED), value, (declared, given) => void roundTrip(declared, given)),
      { numRuns: 3_000 },
    );
  });
});

describe("the wire form is that of the column's kind", () => {
  test.each<[string, SqlValue, WireValue]>([
    ["INTEGER", 2n ** 53n, "9007199254740992"],
    ["INTEGER", 7n, 7],
    ["INTEGER", "seven", { $text: "seven" }],
    ["INTEGER", 0.5, { $number: "0.5" }],
    ["NUMERIC(12,2)", 12n, "12"],
    ["NUMERIC(12,2)", 12.5, "12.5"],
    ["NUMERIC(12,2)", 1e-7, "0.0000001"],
    ["NUMERIC(12,2)", "n/a", { $text: "n/a" }],
    ["REAL", 5, 5],
    ["REAL", Number.POSITIVE_INFINITY, "Infinity"],
    ["TEXT", "12.50", "12.50"],
    ["TEXT", "", ""],
    ["TEXT", null, null],
    ["TEXT", bytes(1), { $binary: "AA==" }],
    ["BLOB", bytes(1), "AA=="],
    ["BLOB", "AA==", { $text: "AA==" }],
    ["BLOB", 5, { $number: "5.0" }],
    ["BOOLEAN", 1n, true],
    ["BOOLEAN", 2n, { $number: "2" }],
    ["DATE", "2026-11-23", "2026-11-23"],
    ["DATE", 1_763_889_247n, 1_763_889_247],
    ["DATETIME", "soon", { $text: "soon" }],
    ["JSON", '{"a":[1,2]}', { a: [1, 2] }],
    ["JSON", '{"a": 1}', { $text: '{"a": 1}' }],
    ["JSON", "null", { $text: "null" }],
  ])("%s %s", (declared, stored, wire) => expect(roundTrip(declared, stored)).toEqual(wire));
});

describe("what cannot be of the kind is refused, never changed", () => {
  test.each<[ColumnKind, WireValue]>([
    ["integer", "9223372036854775808"],
    ["integer", "-9223372036854775809"],
    ["integer", 2 ** 53],
    ["integer", 1.5],
    ["integer", "1.0"],
    ["integer", true],
    ["integer", ""],
    ["decimal", "12,50"],
    ["decimal", "99999999999999999999.01"],
    ["decimal", "0.12345678901234567890"],
    ["decimal", ""],
    ["float", "1.5"],
    ["float", "NaN"],
    ["boolean", 1],
    ["boolean", "true"],
    ["text", 5],
    ["text", { a: 1 }],
    ["text", "\ud800"],
    ["date", "2026-02-30"],
    ["date", "23.11.2026"],
    ["timestamp", "2026"],
    ["time", 0.5],
    ["uuid", "1"],
    ["binary", "AA"],
    ["binary", "A A="],
    ["binary", [1]],
    ["text", { $binary: "?" }],
    ["text", { $text: 5 }],
    ["text", { $number: "five" }],
    ["text", { $number: "" }],
    ["text", { $number: " 1" }],
  ])("%s %j", (kind, wire) => expect(toSql(kind, wire)).toBeInstanceOf(Unfit));

  test("a decimal with more digits than a double goes into a text column as it is", () => {
    expect(toSql("decimal", "99999999999999999999999999999999999999.50", "text")).toBe(
      "99999999999999999999999999999999999999.50",
    );
  });
  test("a text that a numeric column would turn into a number", () => {
    expect(toSql("text", "007", "numeric")).toBeInstanceOf(Unfit);
    expect(toSql("text", "007", "text")).toBe("007");
    expect(toSql("text", { $text: "1e5" }, "integer")).toBeInstanceOf(Unfit);
  });
  test("the reason names the value, cut to a readable length", () => {
    const refused = toSql("integer", "x".repeat(500));
    expect(refused instanceof Unfit && refused.why.length).toBeLessThan(120);
  });
});
