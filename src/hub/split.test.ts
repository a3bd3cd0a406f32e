import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { epoch, laneName, seq, terminalId } from "../base/ids.ts";
import type { Change, Row } from "../message/change.ts";
import type { AudienceOf, DownTable } from "./settings.ts";
import { TransactionSplit, type Aims, type CapturedChange } from "./split.ts";

const SOURCE = laneName(terminalId("central"), epoch("E1"));
const down = (target: string, audience: AudienceOf, more: Partial<DownTable> = {}): DownTable => ({
  target,
  source: target,
  rename: new Map(),
  ignore: new Set(),
  audience,
  onLeave: "delete",
  ...more,
});
const byStore: AudienceOf = (row) => `store:${String(row["store"])}`;

type Entry = { readonly audience: string; readonly origin: string | null; readonly changes: readonly Change[] };
function split(
  changes: readonly CapturedChange[],
  tables: readonly DownTable[],
  options: { aims?: Aims; partBytes?: number } = {},
): Entry[] {
  const made = new TransactionSplit(
    { source: SOURCE, seq: seq(7), at: "2026-11-23T09:00:00.000Z", trace: null },
    new Map(tables.map((table) => [table.target, table])),
    options.aims ?? new Map(),
    options.partBytes ?? 1_000_000,
  );
  for (const change of changes) made.add(change);
  return made.entries().map(({ audience, origin, changes: bytes, count, tx }) => {
    const read = JSON.parse(Buffer.from(bytes).toString("utf8")) as Change[];
    expect(count).toBe(read.length);
    expect(tx).toBe(`${SOURCE}/7`);
    return { audience, origin, changes: read };
  });
}
const insert = (table: string, id: number, row: Row, origin: string | null = null): CapturedChange => ({
  table,
  op: "insert",
  key: { id },
  row: { id, ...row },
  origin,
});
const update = (table: string, id: number, before: Row, row: Row): CapturedChange => ({
  table,
  op: "update",
  key: { id },
  row: { id, ...row },
  before: { id, ...before },
});

describe("who is told what of a change at the centre", () => {
  test("a changed row goes to its audience as it is, without what it was", () => {
    expect(
      split([update("price", 1, { store: "1", p: "2.00" }, { store: "1", p: "3.00" })], [down("price", byStore)]),
    ).toEqual([
      {
        audience: "store:1",
        origin: null,
        changes: [{ table: "price", op: "upsert", key: { id: 1 }, row: { id: 1, store: "1", p: "3.00" } }],
      },
    ]);
  });
  test("a row that leaves an audience is deleted there and new in the one it joins", () => {
    const [left, joined, ...rest] = split([update("item", 1, { store: "1" }, { store: "2" })], [down("item", byStore)]);
    expect(left).toEqual({
      audience: "store:1",
      origin: null,
      changes: [{ table: "item", op: "delete", key: { id: 1 } }],
    });
    expect(joined).toEqual({
      audience: "store:2",
      origin: null,
      changes: [{ table: "item", op: "upsert", key: { id: 1 }, row: { id: 1, store: "2" } }],
    });
    expect(rest).toEqual([]);
  });
  test("a table that keeps what left its audience sends no delete", () => {
    const entries = split(
      [update("item", 1, { store: "1" }, { store: "2" })],
      [down("item", byStore, { onLeave: "keep" })],
    );
    expect(entries.map(({ audience }) => audience)).toEqual(["store:2"]);
  });
  test("a deleted row is deleted where it was; everywhere when nobody knows what it was", () => {
    const gone = (before?: Row): CapturedChange => ({
      table: "item",
      op: "delete",
      key: { id: 1 },
      ...(before ? { before } : {}),
    });
    expect(split([gone({ id: 1, store: "3" })], [down("item", byStore)]).map(({ audience }) => audience)).toEqual([
      "store:3",
    ]);
    expect(split([gone()], [down("item", byStore)]).map(({ audience }) => audience)).toEqual(["all"]);
  });
  test("a moved key stays one update where the row stays, and is a delete and a new row where it does not", () => {
    const moved: CapturedChange = {
      table: "item",
      op: "update",
      key: { id: 1 },
      before: { id: 1, store: "1" },
      row: { id: 2, store: "1" },
    };
    expect(split([moved], [down("item", byStore)])[0]?.changes).toEqual([
      { table: "item", op: "update", key: { id: 1 }, row: { id: 2, store: "1" } },
    ]);
    const away = { ...moved, row: { id: 2, store: "9" } };
    expect(
      split([away], [down("item", byStore)]).map(({ audience, changes }) => [
        audience,
        changes[0]?.op,
        changes[0]?.key,
      ]),
    ).toEqual([
      ["store:1", "delete", { id: 1 }],
      ["store:9", "upsert", { id: 2 }],
    ]);
  });
  test("columns get the terminals' names, and those not carried are left out", () => {
    const table = down("items", () => "all", {
      source: "item",
      rename: new Map([["id", "item_id"]]),
      ignore: new Set(["cost"]),
    });
    expect(split([insert("items", 1, { cost: "9", name: "tea" })], [table])[0]?.changes).toEqual([
      { table: "item", op: "upsert", key: { item_id: 1 }, row: { item_id: 1, name: "tea" } },
    ]);
  });
  test("a snapshot's row goes to the terminal it is aimed at, if its audience is one of the terminal's", () => {
    const aims = new Map([["terminal:t1", new Set(["all", "terminal:t1", "store:1"])]]);
    const page = [1, 2].map((id): CapturedChange => ({
      ...insert("item", id, { store: String(id) }),
      op: "upsert",
      aim: "terminal:t1",
    }));
    const entries = split(page, [down("item", byStore)], { aims });
    expect(entries.map(({ audience, changes }) => [audience, changes.map(({ key }) => key["id"])])).toEqual([
      ["terminal:t1", [1]],
    ]);
  });
  test("an audience that is no name stops publishing and says where", () => {
    const wrong = (audience: AudienceOf) => () => split([insert("item", 1, {})], [down("item", audience)]);
    expect(wrong(() => [""])).toThrow(/TRANSFORM_FAILED: the audience of item {"id":1}/);
    expect(wrong(() => undefined as never)).toThrow(/TRANSFORM_FAILED/);
    expect(
      wrong(() => {
        throw new Error("no such column");
      }),
    ).toThrow(/no such column/);
  });
});

describe("how changes share entries", () => {
  test("changes of one origin share an entry, however they are mixed with others of the table", () => {
    const changes = [1, 2, 3, 4].map((id) => insert("item", id, {}, id % 2 ? "t1" : "t2"));
    expect(split(changes, [down("item", () => "all")]).map(({ origin, changes: c }) => [origin, c.length])).toEqual([
      ["t1", 2],
      ["t2", 2],
    ]);
  });
  test("an entry is cut at the size of a part", () => {
    const changes = Array.from({ length: 10 }, (_, id) => insert("item", id, { text: "x".repeat(100) }));
    const entries = split(changes, [down("item", () => "all")], { partBytes: 300 });
    expect(entries.length).toBeGreaterThan(2);
    expect(entries.flatMap(({ changes: c }) => c.map(({ key }) => key["id"]))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  const TABLES = ["a", "b"] as const;
  const STORES = ["1", "2"] as const;
  const step = fc.record({
    table: fc.constantFrom(...TABLES),
    id: fc.integer({ min: 1, max: 3 }),
    store: fc.constantFrom(...STORES, null),
    origin: fc.constantFrom("t1", "t2", null),
  });
  test("whoever belongs to every audience and applies the entries in order has the centre's rows, parents first", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), fc.constantFrom(60, 150, 100_000), (steps, partBytes) => {
        const centre = new Map<string, Row>();
        const changes = steps.flatMap(({ table, id, store, origin }, n): CapturedChange[] => {
          const name = `${table}/${id}`;
          const before = centre.get(name);
          if (store === null) {
            if (!before) return [];
            centre.delete(name);
            return [{ table, op: "delete", key: { id }, before, origin }];
          }
          const row = { id, store, n };
          centre.set(name, row);
          return [{ table, op: before ? "update" : "insert", key: { id }, row, ...(before ? { before } : {}), origin }];
        });
        const terminal = new Map<string, Row>();
        const seen: number[] = [];
        for (const { changes: applied } of split(
          changes,
          TABLES.map((table) => down(table, byStore)),
          { partBytes },
        )) {
          for (const { table, op, key, row } of applied) {
            if (op === "delete") terminal.delete(`${table}/${String(key["id"])}`);
            else if (row) terminal.set(`${table}/${String(key["id"])}`, row);
            if (row) seen.push(row["n"] as number);
          }
        }
        expect(terminal).toEqual(centre);
        // Across tables nothing is overtaken: a child never comes before a parent that was written before it.
        const tableOf = (n: number): string => steps[n]?.table ?? "";
        for (const [i, n] of seen.entries()) {
          for (const later of seen.slice(i + 1)) if (later < n) expect(tableOf(later)).toBe(tableOf(n));
        }
      }),
      { numRuns: 300 },
    );
  });
});
