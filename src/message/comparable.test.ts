import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { WireValue } from "./change.ts";
import { agreedKind, comparable } from "./comparable.ts";
import { differing, NodeGatherer, placed, unequalNodes, type ComparedTable, type Placed } from "./digest.ts";
import { KINDS, type ColumnKind } from "./shape.ts";
import { keyText } from "./value.ts";

describe("what two engines write of one value", () => {
  test.each([
    ["decimal", "text", "12.50", "12.5"],
    ["decimal", "text", { $text: "12.5" }, "12.50"],
    ["decimal", "integer", 12, "12.00"],
    ["decimal", "decimal", "-0.0", 0],
    ["decimal", "decimal", { $number: "12.0" }, "12"],
    ["integer", "boolean", 1, true],
    ["boolean", "boolean", { $number: "0" }, { $text: "0" }],
    ["float", "decimal", 0.1, "0.1"],
    ["float", "float", -0, { $number: "0.0" }],
    ["float", "float", "-Infinity", "-Infinity"],
    ["text", "timestamp", "2026-11-23 22:05:01", "2026-11-23T22:05:01.000"],
    ["timestamp", "timestamp", "2026-11-23T23:05:01.5+01:00", "2026-11-23T22:05:01.500000Z"],
    ["uuid", "text", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    ["binary", "binary", "AP8Q", { $binary: "AP8Q" }],
    ["json", "json", { b: 1, a: [1.5, null] }, { $text: '{ "a": [1.50, null], "b": 1 }' }],
    ["text", "text", "é 🚚", "é 🚚"],
    ["date", "date", null, null],
  ] as const)("%s and %s: %j is %j", (one, other, a: WireValue, b: WireValue) => {
    const kind = agreedKind(one, other);
    expect(comparable(kind, a)).toBe(comparable(kind, b));
  });

  test.each([
    ["text", "", null],
    ["text", "a", "a "],
    ["text", "é", "e\u0301"],
    ["decimal", "0.1", "0.10000000000000001"],
    ["integer", "9223372036854775807", "9223372036854775806"],
    ["decimal", 0, null],
    ["boolean", false, null],
    ["float", 0.1, 0.10000000000000002],
    ["timestamp", "2026-11-23T09:14:07.1234567Z", "2026-11-23T09:14:07.1234568Z"],
    ["timestamp", "2026-11-23T09:14:07Z", "2026-11-23T09:14:07"],
    ["json", "1", 1],
    ["json", { a: null }, {}],
    ["binary", "AP8Q", "AP8R"],
    ["integer", { $text: "abc" }, 0],
  ] as const)("%s: %j is not %j", (kind, a: WireValue, b: WireValue) =>
    expect(comparable(kind, a)).not.toBe(comparable(kind, b)),
  );

  const value: fc.Arbitrary<WireValue> = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double(),
    fc.string({ unit: "grapheme" }),
    fc.bigInt(-(10n ** 30n), 10n ** 30n).map(String),
    fc.tuple(fc.integer(), fc.nat(1_000_000)).map(([whole, part]) => `${whole}.${part}`),
  );
  const kind = fc.constantFrom<ColumnKind>(...KINDS);

  test("values that are the same by their kind always compare the same, whichever side is asked", () => {
    fc.assert(
      fc.property(kind, kind, value, value, (one, other, a, b) => {
        expect(agreedKind(one, other)).toBe(agreedKind(other, one));
        if (keyText(one, a) === keyText(one, b)) expect(comparable(one, a)).toBe(comparable(one, b));
      }),
    );
  });
});

const TABLE: ComparedTable = {
  table: "sale",
  key: [
    { name: "shop", kind: "text" },
    { name: "no", kind: "integer" },
  ],
  columns: [{ name: "total", kind: "decimal" }],
};
const place = (shop: string | null, no: number | string, total: string | number): Placed | null =>
  placed(TABLE, { shop, no, total, extra: "not compared" });

describe("digests of rows", () => {
  test("a row has one place and one digest by what is compared, however its values are written", () => {
    expect(place("a", 1, "12.50")).toEqual(place("a", "1", 12.5));
    expect(place("a", 1, "12.50")?.place).toBe(place("a", 1, "9")?.place);
    expect(place("a", 1, "12.50")?.digest).not.toBe(place("a", 1, "9")?.digest);
    expect(place("a,1", 1, "1")?.place).not.toBe(place("a", 11, "1")?.place);
    expect(place(null, 1, "1"), "no identity").toBeNull();
    expect(differing(TABLE, { total: "1.0" }, { total: 2 })).toEqual(["total"]);
    expect(differing(TABLE, { total: "1.0" }, { total: 1 })).toEqual([]);
  });

  test("the nodes that differ are exactly those that hold a row which is not the same on both sides", () => {
    const rows = fc.uniqueArray(fc.tuple(fc.nat(300), fc.nat(3)), { selector: ([no]) => no, maxLength: 60 });
    fc.assert(
      fc.property(rows, rows, fc.integer({ min: 1, max: 3 }), (one, other, width) => {
        const gathered = (of: readonly (readonly [number, number])[]) => {
          const nodes = new NodeGatherer(width);
          for (const [no, total] of of) nodes.add(place("s", no, total) as Placed);
          return nodes.digests();
        };
        const known = new Map(other);
        const back = new Map(one);
        const wrong = [
          ...one.filter(([no, total]) => known.get(no) !== total),
          ...other.filter(([no]) => !back.has(no)),
        ].map(([no]) => place("s", no, 0)?.place.slice(0, width) ?? "");
        const found = unequalNodes(gathered(one), gathered(other.toReversed())).map(({ prefix }) => prefix);
        expect(found).toEqual([...new Set(wrong)].toSorted((a, b) => (a < b ? -1 : 1)));
      }),
    );
  });
});
