import { expect, test } from "vitest";
import { tableOrder } from "./order.ts";
import type { TableShape } from "./shape.ts";

const tables = (parents: Record<string, string[]>): Map<string, TableShape> =>
  new Map(
    Object.entries(parents).map(([name, of]) => [
      name,
      {
        name,
        columns: [],
        key: ["id"],
        uniques: [["id"]],
        foreignKeys: of.map((parent) => ({ columns: ["p"], parent, parentColumns: ["id"] })),
        foreignTriggers: false,
      },
    ]),
  );
const rank = (order: ReturnType<typeof tableOrder>, name: string): number => order.ranks.get(name) ?? Number.NaN;

test("parents come before their children", () => {
  const order = tableOrder(tables({ line: ["sale", "item"], sale: ["store"], store: [], item: ["store"] }));
  expect(rank(order, "store")).toBeLessThan(rank(order, "sale"));
  expect(rank(order, "store")).toBeLessThan(rank(order, "item"));
  expect(rank(order, "sale")).toBeLessThan(rank(order, "line"));
  expect(rank(order, "item")).toBeLessThan(rank(order, "line"));
  expect(order.cyclic.size).toBe(0);
});

test("tables that name themselves or each other share a rank and keep the order of their changes", () => {
  const order = tableOrder(
    tables({ employee: ["employee", "shop"], shop: ["manager"], manager: ["shop"], till: ["shop"], town: [] }),
  );
  expect([...order.cyclic].toSorted()).toEqual(["employee", "manager", "shop"]);
  expect(rank(order, "shop")).toBe(rank(order, "manager"));
  expect(rank(order, "shop")).toBeLessThan(rank(order, "employee"));
  expect(rank(order, "shop")).toBeLessThan(rank(order, "till"));
});

test("a parent that is not known is left out, and the order does not hang on how tables are listed", () => {
  const one = tableOrder(tables({ a: ["gone"], b: ["a"], c: [] }));
  const two = tableOrder(tables({ c: [], b: ["a"], a: ["gone"] }));
  expect(Object.fromEntries(one.ranks)).toEqual(Object.fromEntries(two.ranks));
  expect(rank(one, "a")).toBeLessThan(rank(one, "b"));
});
