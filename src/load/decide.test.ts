import { describe, expect, test } from "vitest";
import type { Change, Row } from "../message/change.ts";
import type { ColumnKind, TableShape } from "../message/shape.ts";
import { added, isLater } from "./arithmetic.ts";
import { decide } from "./decide.ts";
import { rules } from "./load.test-kit.ts";
import { planChanges } from "./plan.ts";
import type { TableRule } from "./rules.ts";
import { compileTargets } from "./target.ts";

const kinds: Record<string, ColumnKind> = {
  sku: "text",
  price: "decimal",
  qty: "integer",
  till: "text",
  at: "timestamp",
};
const ITEM: TableShape = {
  name: "item",
  columns: Object.entries(kinds).map(([name, kind]) => ({
    name,
    kind,
    declared: kind,
    nullable: true,
    generated: false,
    hasDefault: false,
  })),
  key: ["sku"],
  uniques: [["sku"]],
  foreignKeys: [],
  foreignTriggers: false,
};
const centre: Row = { sku: "a", price: "2.00", qty: 10, till: "t1", at: "2026-11-23T10:00:00Z" };
const full = (more: Row): Row => ({ ...centre, ...more });

/** The decision in few words: `update {"price":"3"} for t1`, `refuse ROW_EXISTS`, `nothing`, with the note behind it. */
function outcome(
  rule: Partial<TableRule>,
  change: Omit<Change, "table" | "key">,
  current: Row | null,
  late = false,
): string {
  const targets = compileTargets(rules({ item: rule }), new Map([["item", ITEM]]));
  const { acts, fault } = planChanges(targets, {
    terminal: "t1",
    tags: {},
    seq: 1,
    at: "",
    changes: [{ table: "item", key: { sku: "a" }, ...change }],
  });
  if (fault || !acts[0]) return `fault ${fault?.code}`;
  const decision = decide(acts[0], current, late);
  if (decision.kind === "refuse") return `refuse ${decision.fault.code}`;
  const note = decision.note ? `; ${decision.note.kind}` : "";
  if (decision.kind === "nothing") return `nothing${note}`;
  const { kind, row, origin } = decision.effect;
  return `${kind} ${JSON.stringify(row)} for ${origin}${note}`;
}
const insert = (more: Row) => ({ op: "insert", row: full(more) }) as const;
const update = (before: Row, row: Row) =>
  ({ op: "update", before: full(before), row: full({ ...before, ...row }) }) as const;
const remove = (before: Row) => ({ op: "delete", before: full(before) }) as const;
const all = (more: Row): string => JSON.stringify(full(more));
const OWNED: Partial<TableRule> = { owner: { column: "till", is: "terminal" } };

describe("an insert that finds its key taken", () => {
  test("does nothing when the row is equal by value", () => {
    expect(outcome({}, insert({ price: "2.0", qty: "10" }), centre)).toBe("nothing");
  });
  test("is the owner's own word when the row is the same owner's", () => {
    expect(outcome(OWNED, insert({ qty: 11 }), centre)).toBe(`update ${all({ qty: 11 })} for t1`);
  });
  test("is refused, written over or left, as the table's rule says", () => {
    expect(outcome({}, insert({ qty: 11 }), centre)).toBe("refuse ROW_EXISTS");
    expect(outcome({ onExisting: "overwrite" }, insert({ qty: 11 }), centre)).toBe(`update ${all({ qty: 11 })} for t1`);
    expect(outcome({ onExisting: "keep" }, insert({ qty: 11 }), centre)).toBe("nothing");
    expect(outcome(OWNED, insert({ qty: 11 }), full({ till: "t2" }))).toBe("refuse ROW_EXISTS");
  });
  test("adds under add, keeps under central, compares under newest, is a conflict under detect", () => {
    expect(outcome({ conflict: { policy: "add", columns: ["qty"] } }, insert({ qty: 5 }), centre)).toContain(
      '"qty":15',
    );
    expect(outcome({ conflict: { policy: "central" } }, insert({ qty: 5 }), centre)).toBe("nothing; central row kept");
    expect(
      outcome({ conflict: { policy: "newest", column: "at" } }, insert({ at: "2026-11-23T10:00:01Z" }), centre),
    ).toContain("update");
    expect(outcome({ conflict: { policy: "detect" } }, insert({ qty: 5 }), centre)).toBe("refuse CONFLICT_DETECTED");
  });
});

describe("an update", () => {
  test("of a missing row makes it again when it is full, else is refused", () => {
    expect(outcome({}, update({}, { qty: 9 }), null)).toBe(`insert ${all({ qty: 9 })} for t1; row recreated`);
    expect(outcome({}, { op: "update", before: { qty: 1 }, row: { qty: 9 } }, null)).toBe("refuse ROW_MISSING");
    expect(outcome({ conflict: { policy: "detect" } }, update({}, { qty: 9 }), null)).toBe("refuse ROW_MISSING");
    expect(outcome({ conflict: { policy: "central" } }, update({}, { qty: 9 }), null)).toBe(
      "nothing; central row kept",
    );
    expect(outcome({}, update({}, { qty: 9 }), null, true)).toBe("refuse ROW_MISSING");
    expect(outcome(OWNED, update({}, { qty: 9 }), null, true)).toContain("row recreated");
  });
  test("of a row changed at the centre meanwhile follows the policy", () => {
    const stale = update({ price: "1.00" }, { price: "3.00" });
    expect(outcome({}, stale, centre)).toBe(`update ${all({ price: "3.00" })} for t1`);
    expect(outcome({ alsoDown: true }, stale, centre)).toBe(`update ${all({ price: "3.00" })} for null`);
    expect(outcome({ alsoDown: true }, update({}, { price: "3.00" }), centre)).toBe(
      `update ${all({ price: "3.00" })} for t1`,
    );
    expect(outcome({ conflict: { policy: "central" } }, stale, centre)).toBe("nothing; central row kept");
    expect(outcome({ conflict: { policy: "central" }, alsoDown: true }, stale, centre)).toBe(
      `update ${all({})} for null; central row kept`,
    );
    expect(outcome({ conflict: { policy: "detect" } }, stale, centre)).toBe("refuse CONFLICT_DETECTED");
    expect(outcome({ conflict: { policy: "detect" } }, update({ price: "2" }, { price: "3.00" }), centre)).toContain(
      "update",
    );
    expect(outcome({ conflict: { policy: "detect" } }, update({ price: "1.00" }, { price: "2.00" }), centre)).toContain(
      "update",
    );
  });
  test("wins under newest when it is not older, equal times included", () => {
    const newest: Partial<TableRule> = { conflict: { policy: "newest", column: "at" } };
    const at = (time: string) => update({ price: "1.00" }, { price: "3.00", at: time });
    expect(outcome(newest, at("2026-11-23T09:59:59.999999999Z"), centre)).toBe("nothing; central row kept");
    expect(outcome(newest, at("2026-11-23T11:00:00+01:00"), centre)).toContain("update");
    expect(outcome(newest, at("2026-11-23T10:00:00.0000001Z"), centre)).toContain("update");
  });
  test("as it is at a terminal leaves what the centre has, where the centre's rows go down and sums are added", () => {
    const rule: Partial<TableRule> = { conflict: { policy: "add", columns: ["qty"] }, alsoDown: true };
    const asItIs = { op: "upsert", row: full({ price: "1.00", qty: 3 }) } as const;
    expect(outcome(rule, asItIs, centre)).toBe(`update ${all({})} for null; central row kept`);
    expect(outcome(rule, { op: "upsert", row: centre }, centre)).toBe("nothing");
    expect(outcome({ ...rule, alsoDown: false }, asItIs, centre)).toBe('update {"price":"1.00"} for t1');
  });
  test("under add applies the difference, exactly, and of the other columns only what it changed", () => {
    const add: Partial<TableRule> = { conflict: { policy: "add", columns: ["qty", "price"] } };
    expect(outcome(add, update({ qty: 7, price: "0.10" }, { qty: 5, price: "0.30" }), centre)).toBe(
      'update {"qty":8,"price":"2.20"} for t1',
    );
    expect(outcome(add, update({ qty: 7 }, { qty: 7, at: "2026-11-23T11:00:00Z" }), centre)).toContain(
      '"at":"2026-11-23T11:00:00Z"',
    );
    expect(
      outcome(
        add,
        update({ qty: 7, at: "1999-01-01T00:00:00Z" }, { qty: 6, at: "2026-11-23T11:00:00Z" }),
        centre,
        true,
      ),
    ).toBe('update {"qty":9,"price":"2.00"} for t1');
    expect(outcome(add, update({ qty: 0 }, { qty: "9223372036854775807" }), centre)).toBe("refuse TYPE_REFUSED");
    expect(outcome(add, { op: "update", row: full({ qty: 5 }) }, centre)).toBe("fault PAYLOAD_UNREADABLE");
    expect(outcome(add, { op: "upsert", row: full({ qty: 5, till: "t9" }) }, centre)).toBe(
      'update {"till":"t9"} for t1',
    );
  });
  test("of a row that is another owner's is refused, whatever the change itself says", () => {
    for (const change of [update({}, { qty: 9 }), { op: "upsert", row: full({ qty: 9 }) } as const, remove({})]) {
      expect(outcome(OWNED, change, full({ till: "t2" }))).toBe("refuse NOT_OWNER");
    }
  });
});

describe("a late change", () => {
  test("writes only what it changes, where nobody else has written since", () => {
    const mended = full({ price: "9.99" });
    expect(outcome({}, update({}, { qty: 9 }), mended, true)).toBe('update {"qty":9} for t1');
    expect(outcome({}, update({}, { price: "3.00" }), mended, true)).toBe("refuse CONFLICT_DETECTED");
    expect(outcome({}, update({}, { price: "9.99" }), mended, true)).toContain("update");
    expect(outcome(OWNED, update({}, { price: "3.00" }), mended, true)).toBe('update {"price":"3.00"} for t1');
    expect(outcome({ conflict: { policy: "detect" } }, update({}, { qty: 9 }), mended, true)).toBe(
      "refuse CONFLICT_DETECTED",
    );
  });
  test("does not delete, or write over, what has changed since", () => {
    expect(outcome({}, remove({}), full({ qty: 1 }), true)).toBe("refuse CONFLICT_DETECTED");
    expect(outcome({}, remove({}), full({ qty: 1 }), false)).toBe("delete undefined for t1");
    expect(outcome(OWNED, remove({}), full({ qty: 1 }), true)).toBe("delete undefined for t1");
    expect(outcome({}, { op: "upsert", row: full({ qty: 1 }) }, centre, true)).toBe("refuse CONFLICT_DETECTED");
  });
});

test("a delete of a row that is gone is nothing, and one of a changed row follows the policy", () => {
  expect(outcome({}, remove({}), null)).toBe("nothing");
  expect(outcome({ conflict: { policy: "central" } }, remove({ qty: 1 }), centre)).toBe("nothing; central row kept");
  expect(outcome({ conflict: { policy: "detect" } }, remove({ qty: 1 }), centre)).toBe("refuse CONFLICT_DETECTED");
  expect(
    outcome({ conflict: { policy: "newest", column: "at" } }, remove({ at: "2026-11-23T09:00:00Z" }), centre),
  ).toBe("nothing; central row kept");
});

test("sums are exact in every kind, and null counts as 0", () => {
  expect(added("decimal", "99999999999999999999.99", "0.02", "0.01")).toBe("100000000000000000000.00");
  expect(added("integer", "9007199254740993", 3, 1)).toBe("9007199254740995");
  expect(added("text", "0.1", "0.2", null)).toBe("0.3");
  expect(added("integer", null, 3, null)).toBe(3);
  expect(added("float", 0.5, 0.25, 0)).toBe(0.75);
  expect(added("integer", 1, "x", 0)).toBeNull();
  expect(added("decimal", { $text: "many" }, "1", "0")).toBeNull();
});

test("later is decided by kind, never by a float or a Date", () => {
  expect(isLater("integer", "9007199254740993", "9007199254740992")).toBe(true);
  expect(isLater("decimal", "10", "9.5")).toBe(true);
  expect(isLater("timestamp", "2026-11-23T10:00:00.000000002Z", "2026-11-23T10:00:00.000000001Z")).toBe(true);
  expect(isLater("text", "b", "a")).toBe(true);
  expect(isLater("integer", 1, null)).toBe(true);
  expect(isLater("integer", null, 1)).toBe(false);
});
