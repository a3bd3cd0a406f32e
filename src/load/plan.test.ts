import { describe, expect, test } from "vitest";
import type { Change, Row } from "../message/change.ts";
import type { Column, TableShape } from "../message/shape.ts";
import { rules } from "./load.test-kit.ts";
import { planChanges, type Plan } from "./plan.ts";
import type { TableRule } from "./rules.ts";
import { compileTargets } from "./target.ts";

const column = (name: string, kind: Column["kind"], more: Partial<Column> = {}): Column => ({
  name,
  kind,
  declared: kind,
  nullable: true,
  generated: false,
  hasDefault: false,
  ...more,
});
const SALE: TableShape = {
  name: "shop.sale",
  columns: [
    column("id", "text", { nullable: false }),
    column("till", "text"),
    column("pieces", "integer"),
    column("total", "decimal", { nullable: false, precision: 6, scale: 2, declared: "numeric(6,2)" }),
    column("note", "text", { maxLength: 5 }),
    column("made", "timestamp", { nullable: false, hasDefault: true }),
    column("tax", "decimal", { generated: true }),
  ],
  key: ["id"],
  uniques: [["id"]],
  foreignKeys: [],
  foreignTriggers: false,
};
const shapes = (shape: Partial<TableShape> = {}) =>
  new Map([
    ["shop.sale", { ...SALE, ...shape }],
    ["audit", { ...SALE, name: "audit" }],
  ]);
function plan(rule: Partial<TableRule>, changes: readonly Change[], shape: Partial<TableShape> = {}): Plan {
  const targets = compileTargets(rules({ sale: { target: "shop.sale", ...rule } }), shapes(shape));
  return planChanges(targets, { terminal: "t1", tags: { store: "14" }, seq: 7, at: "2026-11-23T12:00:00Z", changes });
}
const insert = (row: Row, key: Row = { id: "S-1" }): Change => ({
  table: "sale",
  op: "insert",
  key,
  row: { ...key, total: "1.00", ...row },
});
const fault = (rule: Partial<TableRule>, change: Change, shape: Partial<TableShape> = {}): string => {
  const { fault: found } = plan(rule, [change], shape);
  return found ? `${found.code} ${found.detail}` : "none";
};

describe("planning", () => {
  test("gives acts in the target's names, with the canonical key", () => {
    const { acts, fault: none } = plan({ rename: new Map([["sum", "total"]]), ignore: new Set(["memo"]) }, [
      {
        table: "sale",
        op: "update",
        key: { id: "S-1" },
        before: { id: "S-1", sum: "1", memo: "x" },
        row: { id: "S-2", sum: "2", memo: "y", tax: "9" },
      },
    ]);
    expect(none).toBeNull();
    expect(acts).toMatchObject([
      {
        op: "update",
        text: "shop.sale id=S-1",
        moves: true,
        before: { id: "S-1", total: "1" },
        row: { id: "S-2", total: "2" },
        origin: "t1",
      },
    ]);
    expect(Object.keys(acts[0]?.row ?? {})).toEqual(["id", "total"]);
  });

  test("an insert whose row leaves the key out gets it from the key", () => {
    expect(plan({}, [{ table: "sale", op: "insert", key: { id: "S-1" }, row: { total: "1" } }]).acts[0]?.row).toEqual({
      id: "S-1",
      total: "1",
    });
  });

  test("names table, key, column and value of what does not fit", () => {
    expect(fault({}, { table: "bill", op: "delete", key: { id: 1 } })).toBe(
      "TABLE_UNKNOWN bill id=1: no such table is configured",
    );
    expect(fault({ target: "gone" }, insert({}))).toBe("TABLE_UNKNOWN sale id=S-1: its target is not in the database");
    expect(fault({}, insert({ colour: "red" }))).toBe(
      "COLUMN_UNKNOWN shop.sale id=S-1: the target has no column colour (value red)",
    );
    expect(fault({ unknownColumns: "ignore" }, insert({ colour: "red" }))).toBe("none");
    expect(fault({}, insert({ total: null }))).toBe("NULL_REFUSED shop.sale id=S-1: column total must have a value");
    expect(fault({ unknownColumns: "ignore" }, insert({}, { nr: 1 }))).toContain(
      "KEY_INVALID shop.sale nr=1: the key of shop.sale is (id)",
    );
    expect(fault({}, insert({}, { id: null }))).toContain("must have a value");
    expect(fault({}, { table: "sale", op: "insert", key: { id: "S-1" }, row: {} })).toContain(
      "column total must have a value; the row has no such column",
    );
    expect(fault({}, { table: "sale", op: "update", key: { id: "S-1" }, row: { note: "hi" } })).toBe("none");
  });

  test("knows what a column cannot hold without asking the database", () => {
    const wrong: [string, Row[string]][] = [
      ["pieces", "3.5"],
      ["pieces", 2 ** 53],
      ["pieces", "9223372036854775808"],
      ["pieces", true],
      ["total", "1.234"],
      ["total", "12345.00"],
      ["total", 0.1234567890123456],
      ["total", "1e3x"],
      ["note", "longer"],
      ["note", 5],
      ["made", 5.5],
      ["made", true],
    ];
    for (const [name, value] of wrong)
      expect(fault({}, insert({ [name]: value })), `${name} ${String(value)}`).toContain("TYPE_REFUSED");
    const right: [string, Row[string]][] = [
      ["pieces", 3],
      ["pieces", "-9223372036854775808"],
      ["pieces", { $text: "many" }],
      ["total", "1234.50"],
      ["total", "1.2300"],
      ["total", 12.5],
      ["total", "-0.01"],
      ["note", "😀😀😀😀😀"],
      ["note", ""],
      ["made", "yesterday"],
      ["made", 1_764_000_000],
    ];
    for (const [name, value] of right)
      expect(fault({}, insert({ [name]: value })), `${name} ${String(value)}`).toBe("none");
  });

  test("leaves null to a database whose own triggers may fill it", () => {
    expect(fault({}, insert({ total: null }), { foreignTriggers: true })).toBe("none");
  });

  test("a message with a fault still says which rows it touches", () => {
    const { acts, fault: found } = plan({}, [insert({ colour: "red" }), insert({}, { id: "S-2" })]);
    expect(found?.code).toBe("COLUMN_UNKNOWN");
    expect(acts.map(({ text }) => text)).toEqual(["shop.sale id=S-1", "shop.sale id=S-2"]);
  });

  test("every word a change says about its owner must name this terminal", () => {
    const own: Partial<TableRule> = { owner: { column: "till", is: "terminal" } };
    expect(fault(own, insert({ till: "t1" }))).toBe("none");
    expect(fault(own, insert({ till: "t2" }))).toBe("NOT_OWNER shop.sale id=S-1: till is t2, not t1");
    expect(fault(own, insert({}))).toContain("the row has no till, which must be t1");
    expect(
      fault(own, { table: "sale", op: "update", key: { id: "S-1" }, before: { till: "t2" }, row: { till: "t1" } }),
    ).toContain("NOT_OWNER");
    expect(
      fault(own, { table: "sale", op: "update", key: { id: "S-1" }, before: { till: "t1" }, row: { note: "hi" } }),
    ).toBe("none");
    expect(fault(own, { table: "sale", op: "delete", key: { id: "S-1" }, before: { till: "t2" } })).toContain(
      "NOT_OWNER",
    );
    expect(fault({ owner: { column: "pieces", is: { tag: "store" } } }, insert({ pieces: 14 }))).toBe("none");
    expect(fault({ owner: { column: "till", is: { tag: "region" } } }, insert({ till: "t1" }))).toContain("no tag");
  });

  test("a transform makes several changes, one, or none, in the target's names", () => {
    const made = plan(
      {
        transform: (change) => [
          { ...change, table: "shop.sale" },
          { ...change, table: "audit" },
        ],
      },
      [insert({})],
    );
    expect(made.acts.map(({ text }) => text)).toEqual(["shop.sale id=S-1", "audit id=S-1"]);
    expect(plan({ transform: () => null }, [insert({})])).toEqual({ acts: [], fault: null });
    expect(
      fault(
        {
          transform: (_, { tags, changes }) => {
            throw new Error(`no price for ${tags["store"]}, ${changes.length}`);
          },
        },
        insert({}),
      ),
    ).toBe("TRANSFORM_FAILED sale id=S-1: no price for 14, 1");
    expect(fault({ transform: (change) => ({ ...change, table: "elsewhere" }) }, insert({}))).toContain(
      "TABLE_UNKNOWN",
    );
    expect(fault({ transform: (() => ({ hello: 1 })) as never }, insert({}))).toContain("TRANSFORM_FAILED");
  });

  test("what is no change is unreadable, and nothing that objects inherit is taken for a column", () => {
    for (const odd of [
      null,
      5,
      "x",
      {},
      { table: "sale", op: "drop", key: {} },
      { table: "sale", op: "insert", key: { id: 1 } },
    ]) {
      expect(fault({}, odd as never)).toContain("PAYLOAD_UNREADABLE");
    }
    expect(fault({}, { table: "sale", op: "delete", key: [] as never })).toContain("KEY_INVALID");
    expect(fault({}, { table: "constructor", op: "delete", key: { id: 1 } })).toContain("TABLE_UNKNOWN");
    expect(
      fault(
        {},
        JSON.parse(
          '{"table":"sale","op":"insert","key":{"id":"S-1"},"row":{"id":"S-1","total":"1","__proto__":"x"}}',
        ) as Change,
      ),
    ).toContain("COLUMN_UNKNOWN");
  });

  test("a rule that names a column the target does not have is refused at once", () => {
    expect(() => plan({ owner: { column: "shop", is: "terminal" } }, [])).toThrow(
      "CONFIG_INVALID: tables.sale: shop.sale has no column shop",
    );
  });
});
