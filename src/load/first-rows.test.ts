import fc from "fast-check";
import { expect, test } from "vitest";
import type { Change, Row } from "../message/change.ts";
import { Centre, Desk, lane, rules } from "./load.test-kit.ts";

/**
 * A till whose rows are older than its capture: it sells while they come as pages, in any order and cut anywhere. Whatever waits
 * for whatever, in the end the centre has every line, and every sum is the till's own.
 */
const DDL = `
  create table article (sku text primary key, name text not null);
  create table stock (sku text primary key references article (sku), till text not null, on_hand integer not null);
  create table line (id text primary key, sku text not null references article (sku));`;
const RULES = rules(
  {
    article: { onExisting: "keep" },
    stock: { conflict: { policy: "add", columns: ["on_hand"] }, owner: { column: "till", is: "terminal" } },
    line: {},
  },
  { retry: { attempts: 1_000, firstMs: 1, factor: 1, capMs: 1, jitter: 0, codes: null } },
);
const OLD = 6;
/** WAYBILL_RUNS=2000 looks longer. */
const RUNS = Number(process.env["WAYBILL_RUNS"] ?? 60);

class Till {
  readonly #articles = Array.from({ length: OLD }, (_, i) => `a${i}`);
  readonly stock = new Map(this.#articles.map((sku) => [sku, 100]));
  readonly lines: [id: string, sku: string][] = [];

  /** A receipt of some articles; `fresh`: with one that was not there before. */
  sell(picks: readonly number[], fresh: boolean): Change[] {
    const changes: Change[] = [];
    if (fresh) {
      const sku = `n${this.#articles.length}`;
      this.#articles.push(sku);
      this.stock.set(sku, 50);
      changes.push(this.#article("insert", sku), this.#count("insert", sku));
    }
    for (const pick of picks) {
      const sku = this.#articles[pick % this.#articles.length] ?? "a0";
      const id = `l${this.lines.length}`;
      this.lines.push([id, sku]);
      changes.push({ table: "line", op: "insert", key: { id }, row: { id, sku } });
      const before = this.#count("update", sku).row ?? {};
      this.stock.set(sku, (this.stock.get(sku) ?? 0) - 1);
      changes.push({ ...this.#count("update", sku), before });
    }
    return changes;
  }
  /** Some rows of one table as they are. */
  page(table: "article" | "stock", from = 0, count = Infinity): Change[] {
    const skus = this.#articles.slice(from % this.#articles.length).slice(0, count);
    return skus.map((sku) => (table === "article" ? this.#article("upsert", sku) : this.#count("upsert", sku)));
  }
  #article(op: Change["op"], sku: string): Change {
    return { table: "article", op, key: { sku }, row: { sku, name: sku } };
  }
  #count(op: Change["op"], sku: string): Change {
    const row: Row = { sku, till: "till-1", on_hand: this.stock.get(sku) ?? 0 };
    return { table: "stock", op, key: { sku }, row };
  }
}

const byKey = ([a]: readonly [string, ...unknown[]], [b]: readonly [string, ...unknown[]]): number => (a < b ? -1 : 1);

const small = fc.nat({ max: 20 });
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ picks: fc.array(small, { minLength: 1, maxLength: 3 }), fresh: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      page: fc.constantFrom("article" as const, "stock" as const),
      from: small,
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ due: fc.array(small, { maxLength: 3 }) }) },
);

test(
  "a till that sells while its first rows come: no line is lost, and no sum counts twice",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.integer({ min: 1, max: 10 }), async (steps, batch) => {
        await using centre = await Centre.open(DDL);
        const desk = new Desk(centre.database, RULES);
        const name = lane("till-1");
        const till = new Till();
        const open = (): number[] =>
          [...desk.lane(name).known].flatMap(([number, { state }]) => (state === "retrying" ? [number] : []));
        for (const each of steps) {
          if ("picks" in each) desk.receive(name, till.sell(each.picks, each.fresh));
          else if ("page" in each) desk.receive(name, till.page(each.page, each.from, each.count));
          else {
            await desk.drain(batch);
            for (const pick of each.due) {
              const retrying = open();
              const number = retrying[pick % retrying.length];
              if (number === undefined) break;
              desk.requeue(name, number);
              await desk.drain(batch);
            }
          }
        }
        desk.receive(name, till.page("article"), till.page("stock"));
        await desk.drain(batch);
        for (let round = 0; desk.lane(name).known.size > 0 && round < 30; round++) {
          for (const number of open()) if (desk.lane(name).known.has(number)) desk.requeue(name, number);
          await desk.drain(batch);
        }
        expect(desk.exceptions(name)).toEqual([]);
        expect(centre.rows("select sku, on_hand from stock order by sku")).toEqual([...till.stock].toSorted(byKey));
        expect(centre.rows("select id, sku from line order by id")).toEqual(till.lines.toSorted(byKey));
      }),
      { numRuns: RUNS },
    );
  },
  1_000 * RUNS,
);
