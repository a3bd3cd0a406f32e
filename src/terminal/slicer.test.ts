import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { updateId } from "../base/ids.ts";
import type { Cursor } from "../database/port.ts";
import type { Change } from "../message/change.ts";
import { withoutCutTransaction } from "./receive.ts";
import { Slicer, type Batch, type Entry } from "./slicer.ts";

const change = (n: number): Change => ({ table: "price", op: "upsert", key: { sku: n }, row: { sku: n } });
const entry = (id: number, count: number, tx = String(id)): Entry => ({
  id: updateId(id),
  tx,
  changes: Array.from({ length: count }, (_, i) => change(id * 1_000 + i)),
});
const at = (id: number, changes = 0): Cursor => ({ id: updateId(id), changes, seen: null, inside: null, strand: "S" });
const batch = (updates: readonly Entry[], through: number, cut = false): Batch => ({
  updates,
  through: updateId(through),
  cut,
  strand: "S",
});
const skus = (slice: readonly { change: Change }[]): unknown[] => slice.map((one) => one.change.key["sku"]);

describe("slices of a batch of updates", () => {
  test("central transactions stay whole while they fit a slice", () => {
    const slicer = new Slicer(batch([entry(3, 2), entry(5, 2, "a"), entry(6, 2, "a")], 9), at(0));
    expect(skus(slicer.peek(5))).toEqual([3000, 3001]); // all of `a` would be six
    slicer.take(2);
    expect(slicer.cursor).toEqual(at(4));
    expect(skus(slicer.peek(5))).toEqual([5000, 5001, 6000, 6001]);
    slicer.take(4);
    expect(slicer.cursor).toEqual(at(9));
    expect(slicer.done).toBe(true);
  });

  test("a transaction larger than a slice is cut, and the cursor stands inside its entry", () => {
    const slicer = new Slicer(batch([entry(7, 5)], 7), at(2));
    expect(slicer.peek(3)).toHaveLength(3);
    expect(slicer.cursorAfter(3)).toEqual(at(6, 3));
    slicer.take(3);
    const resumed = new Slicer(batch([entry(7, 5)], 7), slicer.cursor);
    expect(skus(resumed.peek(10))).toEqual([7003, 7004]);
    expect(resumed.cursorAfter(2)).toEqual(at(7));
  });

  const lane = (number: number): string => `central/e1/${number}`;
  test("I11: what a restored log gives again under new ids is not applied again", () => {
    const before = new Slicer(batch([entry(1, 1, lane(7)), entry(2, 2, lane(8)), entry(3, 1, "by hand")], 3), at(0));
    expect(before.cursorAfter(2)).toMatchObject({ id: 1, changes: 1, seen: lane(7), inside: lane(8) });
    before.take(4);
    expect(before.cursor).toMatchObject({ id: 3, changes: 0, seen: lane(8), inside: null, strand: "S" });
    const again = [entry(1_001, 1, lane(7)), entry(1_002, 2, lane(8)), entry(1_003, 1, lane(9)), entry(1_004, 1, "x")];
    const after = new Slicer(batch(again, 1_004), before.cursor);
    expect(skus(after.peek(9))).toEqual([1_003_000, 1_004_000]);
    after.take(2);
    expect(after.cursor).toMatchObject({ id: 1_004, changes: 0, seen: lane(9), inside: null, strand: "S" });
    const other = new Slicer(batch([entry(1_005, 1, "central/e2/1")], 1_005), after.cursor);
    expect(skus(other.peek(9))).toEqual([1_005_000]); // the centre's numbers began anew
    expect(new Slicer(batch([entry(1_006, 1, lane(2))], 1_006), after.cursor).done).toBe(true);
  });

  test("I11: a transaction counts as applied when its last change was, in however many answers it came", () => {
    const first = new Slicer(batch([entry(1, 2, lane(8))], 1, true), at(0));
    first.take(2);
    expect(first.cursor).toMatchObject({ id: 1, changes: 0, seen: null, inside: lane(8) }); // there may be more of it
    const more = new Slicer(batch([entry(2, 1, lane(8)), entry(4, 1, lane(9))], 9), first.cursor);
    expect(more.cursorAfter(1)).toMatchObject({ id: 3, changes: 0, seen: lane(8), inside: null, strand: "S" });
    // It ended with that answer: the next one begins with another, or has none.
    expect(new Slicer(batch([entry(4, 2, lane(9))], 9), first.cursor).cursorAfter(1)).toMatchObject({
      seen: lane(8),
      inside: lane(9),
    });
    expect(new Slicer(batch([], 9), first.cursor).cursorAfter(0)).toMatchObject({
      seen: lane(8),
      inside: null,
      strand: "S",
    });
  });

  test("I11: of a transaction that was applied in part, given again, each row's last state alone is applied", () => {
    const price = (sku: string, value: number): Change => ({
      table: "price",
      op: "upsert",
      key: { sku },
      row: { value },
    });
    const changes = [price("a", 3), price("b", 1), price("a", 4)];
    const again = batch([{ id: updateId(1_001), tx: lane(8), changes }], 1_001);
    const values = (slicer: Slicer): unknown[] => slicer.peek(9).map(({ change: { row } }) => row?.["value"]);
    expect(values(new Slicer(again, at(0)))).toEqual([3, 1, 4]);
    expect(values(new Slicer(again, { ...at(9), inside: lane(8) }))).toEqual([4, 1, 4]);
  });

  test("a cursor inside an entry that is no longer sent skips nothing of the next one", () => {
    const slicer = new Slicer(batch([entry(9, 2)], 9), at(6, 3));
    expect(skus(slicer.peek(10))).toEqual([9000, 9001]);
  });

  test("an answer with nothing for us moves the cursor to what was attested", () => {
    const slicer = new Slicer(batch([], 20), at(6, 3));
    expect(slicer.done).toBe(true);
    expect(slicer.cursorAfter(0)).toEqual(at(20));
  });

  test("a transaction that an answer may have cut is left for the next one, unless it is all there is", () => {
    const updates = [entry(3, 1), entry(5, 1, "a"), entry(6, 1, "a")];
    expect(withoutCutTransaction({ updates, through: updateId(6) })).toEqual({
      updates: updates.slice(0, 1),
      through: 3,
      cut: false,
    });
    expect(withoutCutTransaction({ updates: updates.slice(1), through: updateId(6) })).toEqual({
      updates: updates.slice(1),
      through: 6,
      cut: true,
    });
    expect(withoutCutTransaction({ updates: [], through: updateId(6) })).toMatchObject({ updates: [], through: 6 });
  });

  test("whatever the sizes and wherever it is interrupted, every change comes once and in order", () => {
    const entries = fc.array(
      fc.record({ gap: fc.integer({ min: 1, max: 3 }), count: fc.integer({ min: 0, max: 6 }), joins: fc.boolean() }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(
        entries,
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 9 }),
        (shapes, sizes) => {
          let id = 0;
          let tx = "";
          const all = shapes.map(({ gap, count, joins }) => {
            id += gap;
            tx = joins && tx !== "" ? tx : String(id);
            return entry(id, count, tx);
          });
          const seen: unknown[] = [];
          let cursor = at(0);
          for (let i = 0; ; i++) {
            const slicer = new Slicer(batch(all, id), cursor); // a new agent each time
            if (slicer.done) break;
            const slice = slicer.peek(sizes[i % sizes.length] ?? 1);
            expect(slice.length).toBeGreaterThan(0);
            seen.push(...skus(slice));
            slicer.take(slice.length);
            expect(slicer.cursor.id).toBeGreaterThanOrEqual(cursor.id);
            cursor = slicer.cursor;
          }
          expect(seen).toEqual(all.flatMap(({ changes }) => changes.map(({ key }) => key["sku"])));
        },
      ),
    );
  });
});
