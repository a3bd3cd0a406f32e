import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Round, type Write } from "./net.ts";

const ORDER = {
  ranks: new Map([
    ["store", 0],
    ["sale", 1],
    ["line", 2],
  ]),
  cyclic: new Set<string>(),
};
const never = (): boolean => false;
const write = (
  kind: Write["kind"],
  table: string,
  id: string,
  row: Write["row"] = {},
  origin: string | null = "t1",
): Write =>
  kind === "delete" ? { table, kind, key: { id }, origin } : { table, kind, key: { id }, row: { id, ...row }, origin };
const fill = (round: Round, ...writes: Write[]): boolean[] =>
  writes.map((one, at) => round.add(`${one.table} ${String(one.key["id"])}`, one, [at]));
const told = (round: Round): string[] =>
  round
    .writes()
    .map(
      ({ write: of, sources }) =>
        `${of.kind} ${of.table} ${String(of.key["id"])} ${JSON.stringify(of.row ?? null)} from ${sources.join()}`,
    );

describe("a round", () => {
  test("has one write for each row: the columns add up, and it is refused exactly when the first would be", () => {
    const round = new Round(ORDER, never);
    expect(
      fill(
        round,
        write("insert", "sale", "1", { a: 1 }),
        write("update", "sale", "1", { b: 2 }),
        write("upsert", "sale", "1", { a: 3 }),
        write("update", "sale", "2", { a: 1 }),
        write("upsert", "sale", "2", { a: 2 }),
      ),
    ).not.toContain(false);
    expect(told(round)).toEqual([
      'insert sale 1 {"id":"1","a":3,"b":2} from 0,1,2',
      'update sale 2 {"id":"2","a":2} from 3,4',
    ]);
  });

  test("writes parents first and by key, then deletes children first", () => {
    const round = new Round(ORDER, never);
    fill(
      round,
      write("delete", "store", "9"),
      write("insert", "line", "b"),
      write("insert", "sale", "2"),
      write("insert", "line", "a"),
      write("delete", "line", "z"),
      write("insert", "store", "1"),
      write("delete", "sale", "8"),
    );
    expect(told(round).map((line) => line.split(" ").slice(0, 3).join(" "))).toEqual([
      "insert store 1",
      "insert sale 2",
      "insert line a",
      "insert line b",
      "delete line z",
      "delete sale 8",
      "delete store 9",
    ]);
  });

  test("keeps a write and the delete that follows it, so that neither's refusal is lost", () => {
    const round = new Round(ORDER, never);
    fill(round, write("insert", "sale", "1"), write("delete", "sale", "1"), write("delete", "sale", "1"));
    expect(told(round)).toEqual(['insert sale 1 {"id":"1"} from 0', "delete sale 1 null from 1,2"]);
  });

  test("does not take what one write cannot tell: a row made again after its end, or twice", () => {
    for (const [first, next] of [
      ["delete", "insert"],
      ["delete", "update"],
      ["delete", "upsert"],
      ["insert", "insert"],
      ["update", "insert"],
      ["upsert", "insert"],
      ["keep", "update"],
    ] as const) {
      const round = new Round(ORDER, never);
      expect(fill(round, write(first, "sale", "1"), write(next, "sale", "1")), `${first}, ${next}`).toEqual([
        true,
        false,
      ]);
      expect(told(round)).toHaveLength(1);
    }
  });

  test("has no origin for a row written on behalf of two", () => {
    const round = new Round(ORDER, never);
    fill(
      round,
      write("update", "sale", "1", {}, "t1"),
      write("update", "sale", "1", {}, "t2"),
      write("update", "sale", "2", {}, "t1"),
      write("update", "sale", "2", {}, "t1"),
    );
    expect(round.writes().map(({ write: { origin } }) => origin)).toEqual([null, "t1"]);
  });

  test("keeps the changes of a table in order as they are, and takes no write after a delete", () => {
    const round = new Round(ORDER, (table) => table === "sale");
    expect(
      fill(
        round,
        write("insert", "sale", "b"),
        write("update", "sale", "b"),
        write("insert", "sale", "a"),
        write("delete", "sale", "b"),
        write("insert", "sale", "b"),
        write("delete", "sale", "a"),
      ),
    ).toEqual([true, true, true, true, false, true]);
    expect(told(round).map((line) => line.split(" ").slice(0, 3).join(" "))).toEqual([
      "insert sale b",
      "update sale b",
      "insert sale a",
      "delete sale b",
      "delete sale a",
    ]);
  });

  test("leaves the table that the writes would leave one by one", () => {
    const step = fc.record({
      kind: fc.constantFrom("insert", "update", "upsert", "delete"),
      id: fc.constantFrom("1", "2"),
      column: fc.constantFrom("a", "b"),
      value: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), fc.boolean(), (steps, present) => {
        const [netted, single] = [new Map<string, object>(), new Map<string, object>()];
        if (present) for (const table of [netted, single]) table.set("1", { id: "1", a: 9, b: 9 });
        const apply = (table: Map<string, object>, of: Write): boolean => {
          const id = String(of.key["id"]);
          if (of.kind === "insert" ? table.has(id) : of.kind === "update" && !table.has(id)) return false;
          if (of.kind === "delete") table.delete(id);
          else table.set(id, { ...table.get(id), ...of.row });
          return true;
        };
        const writes = steps.map(({ kind, id, column, value }) =>
          write(kind as Write["kind"], "sale", id, { [column]: value }),
        );
        if (!writes.map((one) => apply(single, one)).every(Boolean)) return; // only lists that pass one by one are promised
        let round = new Round(ORDER, never);
        const flush = (): void => {
          for (const { write: of } of round.writes()) expect(apply(netted, of)).toBe(true);
          round = new Round(ORDER, never);
        };
        for (const [at, one] of writes.entries()) {
          if (round.add(String(one.key["id"]), one, [at])) continue;
          flush();
          expect(round.add(String(one.key["id"]), one, [at])).toBe(true);
        }
        flush();
        expect(netted).toEqual(single);
      }),
    );
  });
});
