import fc from "fast-check";
import { expect, test } from "vitest";
import { seq } from "../base/ids.ts";
import type { Change, Row } from "../message/change.ts";
import type { Column, ColumnKind, TableShape } from "../message/shape.ts";
import { lane, rules } from "./load.test-kit.ts";
import { Loading } from "./message.ts";
import { OpenIndex } from "./open-index.ts";
import { compileTargets } from "./target.ts";
import { ValuePool } from "./value-pool.ts";

const column = (name: string, kind: ColumnKind): Column => ({
  name,
  kind,
  declared: kind,
  nullable: true,
  hasDefault: false,
  generated: false,
});
const table = (name: string, more: Pick<TableShape, "uniques" | "foreignKeys">): [string, TableShape] => [
  name,
  {
    name,
    columns: [column("a", "text"), column("n", "integer"), column("d", "decimal"), column("p", "text")],
    key: ["a", "n"],
    foreignTriggers: false,
    ...more,
  },
];
const shapes = new Map([
  table("parent", { uniques: [["p"]], foreignKeys: [] }),
  table("child", {
    uniques: [["d", "p"]],
    foreignKeys: [{ columns: ["p"], parent: "parent", parentColumns: ["p"] }],
  }),
]);
/** What came as one row may become different ones, so that it is met under the sender's key alone. */
const recoded = (change: Change): Change => {
  const key = { ...change.key, a: `${String(change.key["a"])}${String(change.row?.["p"])}` };
  return { ...change, table: "child", key, ...(change.row && { row: { ...change.row, ...key } }) };
};
const targets = compileTargets(
  rules({
    parent: {},
    child: { rename: new Map([["q", "p"]]) },
    coded: { target: "child", transform: recoded },
  }),
  shapes,
);
const sender = { lane: lane("t1"), terminal: "t1", tags: {} };
const loading = (number: number, changes: readonly Change[]): Loading =>
  new Loading(sender, { seq: seq(number), at: null, trace: null, changes, fault: null }, targets);

/** Few values, so that messages often meet; written in several ways, some of which are no value of the column's kind. */
const row = fc.record({
  a: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom("x", "y", "z", "1", "é", "A-7") },
    fc.constantFrom("y z", 'x" n=1', ""),
  ),
  n: fc.constantFrom<Row[string]>(1, "1", "01", 2, { $text: "x" }, null),
  d: fc.constantFrom<Row[string]>("1", "1.0", 1, "x", null),
  p: fc.constantFrom<Row[string]>("x", "1", "p-2", "p-3", null),
});
const change = fc
  .record({
    table: fc.constantFrom("parent", "child", "coded", "unknown"),
    op: fc.constantFrom("insert", "insert", "insert", "update", "upsert", "delete"),
    row,
    before: fc.option(row, { nil: undefined }),
  })
  .map(({ table: name, op, row: { a, n, ...rest }, before }): Change => {
    const key = { a, n };
    return op === "delete"
      ? { table: name, op, key }
      : { table: name, op, key, row: { ...key, ...rest }, ...(before && { before }) };
  });

const made = (name: string, key: Row, more: Row = {}): Change => ({
  table: name,
  op: "insert",
  key,
  row: { ...key, ...more },
});

test("whatever meets an open exception is among its values", () => {
  let met = 0;
  let free = 0;
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 3 }),
      fc.array(change, { minLength: 1, maxLength: 2 }),
      (x, m) => {
        const open = new OpenIndex();
        open.open(sender.lane, seq(1), loading(1, x).sets.sets());
        const message = loading(2, m);
        const values = new ValuePool();
        loading(1, x).addTo(values);
        const mayBe = open.pools.some((pool) => message.mayBeIn(pool));
        if (open.mayMeet(message.sets.sets())) {
          met++;
          expect(mayBe).toBe(true);
          expect(message.mayBeIn(values)).toBe(true);
          // The same of what a transaction adds, before it is settled and after; its pool may have been asked, or not.
          for (const isAsked of [false, true]) {
            const under = new OpenIndex();
            const layer = new OpenIndex(under);
            layer.open(sender.lane, seq(1), loading(1, x).sets.sets());
            if (isAsked) expect(message.mayMeet(layer)).toBe(true);
            expect(message.mayMeet(layer.settle())).toBe(true);
          }
        }
        if (!mayBe) free++;
        // Asked the other way round: who makes rows is before the message when it meets what that writes or names.
        if (open.follows(sender.lane, seq(2), message.sets)) expect(loading(1, x).mayBeIn(message.pool())).toBe(true);
        // What is created is written, too: no index of its own is kept of it.
        const { writes, creates } = message.sets.sets();
        expect(writes).toEqual(expect.arrayContaining([...creates]));
      },
    ),
    {
      numRuns: 2_000,
      // One key, and one unique value, written in two ways.
      examples: [
        [[made("parent", { a: "x", n: 1 })], [made("parent", { a: "x", n: "01" })]],
        [
          [made("child", { a: "x", n: 1 }, { d: "7.50", p: "p-2" })],
          [made("child", { a: "y", n: 2 }, { d: 7.5, p: "p-2" })],
        ],
        [[made("coded", { a: "x", n: 1 }, { p: "1" })], [made("coded", { a: "x", n: 1 }, { p: "p-2" })]],
        // The child's own id is nobody else's, but the parent that it names is made before it.
        [[made("parent", { a: "x", n: 1 }, { p: "p-2" })], [made("child", { a: "y", n: 2 }, { p: "p-2" })]],
        [
          [made("child", { a: "y", n: 2 }, { p: "p-2" })],
          [{ table: "parent", op: "delete", key: { a: "x", n: 1 }, before: { p: "p-2" } }],
        ],
      ],
    },
  );
  // Neither is the rare case here.
  expect(met).toBeGreaterThan(200);
  expect(free).toBeGreaterThan(200);
});

test("what is not known may be anything", () => {
  const open = new OpenIndex();
  const message = loading(2, [made("parent", { a: "x", n: 1 })]);
  expect(open.pools.some((pool) => message.mayBeIn(pool))).toBe(false);
  open.open(sender.lane, seq(1), null);
  expect(open.pools.some((pool) => message.mayBeIn(pool))).toBe(true);
});
