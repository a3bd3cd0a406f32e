import { describe, expect, test } from "vitest";
import { seq } from "../../base/ids.ts";
import type { Row } from "../../message/change.ts";
import type { Applied, Effect } from "../port.ts";
import { cursor, effect, lane, otherLane, passed, SHOP, type OpenStation, type Station } from "./station.ts";

const sale = (id: string) => ({ sale_id: id });

async function apply(station: Station, ...effects: Effect[]): Promise<Applied> {
  return station.database.load.transaction((tx) => tx.apply(effects));
}
const codes = (applied: Applied): [number, string][] => applied.refused.map((refusal) => [refusal.index, refusal.code]);

/** The promises of `Effect`, `Load` and `LoadTransaction`, in their words. */
export function loadContract(engine: string, open: OpenStation): void {
  const shop = async (): Promise<Station> => {
    const station = await open(SHOP);
    await station.database.load.install();
    return station;
  };

  describe(`load contract: ${engine}: effects`, () => {
    test("an insert is refused with ROW_EXISTS when the key is present", async () => {
      await using station = await shop();
      await apply(station, effect("insert", "sale", sale("S-1"), { sale_id: "S-1", store_id: 14, quantity: 1 }));
      const again = await apply(
        station,
        effect("insert", "sale", sale("S-1"), { sale_id: "S-1", store_id: 14, quantity: 9 }),
      );
      expect(codes(again)).toEqual([[0, "ROW_EXISTS"]]);
      expect(await station.rows("select sale_id, quantity from sale")).toEqual([["S-1", "1"]]);
    });
    test("keep inserts when the key is absent, else does nothing", async () => {
      await using station = await shop();
      const kept = (quantity: number) => effect("keep", "sale", sale("S-1"), { quantity });
      expect(await apply(station, kept(1), kept(2))).toEqual({ refused: [], absentDeletes: 0 });
      expect(await station.rows("select sale_id, quantity from sale")).toEqual([["S-1", "1"]]);
    });
    test("an upsert inserts, or overwrites the given columns only", async () => {
      await using station = await shop();
      await apply(
        station,
        effect("upsert", "sale", sale("S-1"), { sale_id: "S-1", store_id: 14, quantity: 1, receipt: "R1" }),
      );
      await apply(station, effect("upsert", "sale", sale("S-1"), { quantity: 2 }));
      expect(await station.rows("select sale_id, store_id, receipt, quantity from sale")).toEqual([
        ["S-1", "14", "R1", "2"],
      ]);
    });
    test("an update overwrites the given columns and is refused with ROW_MISSING when the key is absent", async () => {
      await using station = await shop();
      const applied = await apply(
        station,
        effect("insert", "sale", sale("S-1"), { quantity: 1, receipt: "R1" }),
        effect("update", "sale", sale("S-1"), { quantity: 5 }),
        effect("update", "sale", sale("S-2"), { quantity: 5 }),
      );
      expect(codes(applied)).toEqual([[2, "ROW_MISSING"]]);
      expect(await station.rows("select sale_id, receipt, quantity from sale")).toEqual([["S-1", "R1", "5"]]);
    });
    test("an update may hold a new key", async () => {
      await using station = await shop();
      await apply(
        station,
        effect("insert", "sale", sale("S-1"), { quantity: 1 }),
        effect("update", "sale", sale("S-1"), { sale_id: "S-2", quantity: 2 }),
      );
      expect(await station.rows("select sale_id, quantity from sale")).toEqual([["S-2", "2"]]);
    });
    test("a delete does nothing when the key is absent, and is counted", async () => {
      await using station = await shop();
      const applied = await apply(
        station,
        effect("insert", "sale", sale("S-1"), { quantity: 1 }),
        effect("delete", "sale", sale("S-1")),
        effect("delete", "sale", sale("S-1")),
      );
      expect(applied).toEqual({ refused: [], absentDeletes: 1 });
      expect(await station.rows("select * from sale")).toEqual([]);
    });
    test("effects are applied in the order given", async () => {
      await using station = await shop();
      const applied = await apply(
        station,
        effect("insert", "sale", sale("S-1"), { receipt: "R1" }),
        effect("delete", "sale", sale("S-1")),
        effect("insert", "sale", sale("S-2"), { receipt: "R1" }),
        effect("insert", "sale_line", { sale_id: "S-2", number: 1 }, { item: "tea" }),
      );
      expect(applied.refused).toEqual([]);
      expect(await station.rows("select sale_id, number, item from sale_line")).toEqual([["S-2", "1", "tea"]]);
    });
    test("a key column that the row leaves out is taken from the key", async () => {
      await using station = await shop();
      await apply(station, effect("insert", "sale", sale("S-1"), {}), effect("upsert", "sale", sale("S-1")));
      expect(await station.rows("select sale_id from sale")).toEqual([["S-1"]]);
    });
  });

  describe(`load contract: ${engine}: refusals`, () => {
    test("a refused effect has no effect, is listed, and leaves the transaction usable; later effects are still tried", async () => {
      await using station = await shop();
      const applied = await apply(
        station,
        effect("insert", "sale", sale("S-1"), { quantity: -1 }),
        effect("insert", "sale", sale("S-2"), { quantity: 2 }),
        effect("insert", "sale", sale("S-3"), { store_id: 99 }),
        effect("insert", "sale", sale("S-4"), { quantity: 4 }),
      );
      expect(codes(applied)).toEqual([
        [0, "CHECK_VIOLATED"],
        [2, "PARENT_MISSING"],
      ]);
      expect(await station.rows("select sale_id from sale order by sale_id")).toEqual([["S-2"], ["S-4"]]);
    });
    test("each refusal has the code of its cause, and names table, key and value", async () => {
      await using station = await shop();
      await station.run("insert into sale values ('S-1', 14, 'R1', 1); insert into sale_line values ('S-1', 1, 'tea')");
      const applied = await apply(
        station,
        effect("insert", "sale", sale("S-2"), { receipt: "R1" }),
        effect("insert", "sale", sale("S-3"), { store_id: 99 }),
        effect("delete", "sale", sale("S-1")),
        effect("insert", "store", { id: 15 }, { name: null }),
        effect("insert", "sale", sale("S-4"), { quantity: 0 }),
        effect("insert", "sale", sale("S-5"), { quantity: "many" }),
        effect("insert", "sale", { sale_id: null }, { quantity: 1 }),
        effect("insert", "sale", sale("S-6"), { colour: "red" }),
        effect("insert", "nowhere", sale("S-7"), {}),
        effect("update", "sale", sale("S-1"), { sale_id: "S-8" }),
        effect("update", "sale", sale("S-1"), { store_id: 77 }),
      );
      expect(applied.refused.map(({ code }) => code)).toEqual([
        "UNIQUE_VIOLATED",
        "PARENT_MISSING",
        "CHILD_EXISTS",
        "NULL_REFUSED",
        "CHECK_VIOLATED",
        "TYPE_REFUSED",
        "KEY_INVALID",
        "COLUMN_UNKNOWN",
        "TABLE_UNKNOWN",
        "CHILD_EXISTS",
        "PARENT_MISSING",
      ]);
      const details = applied.refused.map(({ detail }) => detail);
      expect(details[0]).toMatch(/sale .*S-2.*receipt.*R1/);
      expect(details[1]).toMatch(/sale .*S-3.*store_id.*99.*store/);
      expect(details[2]).toMatch(/sale .*S-1.*sale_line/);
      expect(details[5]).toMatch(/S-5.*quantity.*many/);
    });
    test("an update that takes another row's key or unique value is refused with UNIQUE_VIOLATED", async () => {
      await using station = await shop();
      await station.run("insert into sale values ('S-1', 14, 'R1', 1); insert into sale values ('S-2', 14, 'R2', 1)");
      const applied = await apply(
        station,
        effect("update", "sale", sale("S-1"), { sale_id: "S-2" }),
        effect("update", "sale", sale("S-1"), { receipt: "R2" }),
        effect("upsert", "sale", sale("S-1"), { receipt: "R2" }),
      );
      expect(codes(applied)).toEqual([
        [0, "UNIQUE_VIOLATED"],
        [1, "UNIQUE_VIOLATED"],
        [2, "UNIQUE_VIOLATED"],
      ]);
      const details = applied.refused.map(({ detail }) => detail);
      expect(details[0]).toMatch(/sale_id.*S-2/);
      expect(details[1]).toMatch(/receipt.*R2/);
      expect(details[2]).toMatch(/receipt.*R2/);
      expect(await station.rows("select sale_id, receipt from sale order by 1")).toEqual([
        ["S-1", "R1"],
        ["S-2", "R2"],
      ]);
    });
  });

  describe(`load contract: ${engine}: transactions`, () => {
    test("a transaction is rolled back when its work throws, and throws what the work threw", async () => {
      await using station = await shop();
      const wrong = new Error("thought better of it");
      await expect(
        station.database.load.transaction(async (tx) => {
          await tx.apply([effect("insert", "sale", sale("S-1"), {})]);
          await tx.moveLanes([{ lane, version: 0, nextVersion: 1, loadedThrough: seq(5) }]);
          throw wrong;
        }),
      ).rejects.toBe(wrong);
      expect(await station.rows("select * from sale")).toEqual([]);
      expect(await station.database.load.marks([lane])).toEqual([{ lane, loadedThrough: 0, version: 0 }]);
    });
    test("a rehearsal does everything within itself and leaves nothing of it", async () => {
      await using station = await shop();
      const row = { sale_id: "S-1", store_id: 14, quantity: 1 };
      const { applied, within } = await station.database.load.rehearse(async (tx) => {
        const applied = await tx.apply([effect("insert", "sale", sale("S-1"), row)]);
        return { applied, within: await tx.current("sale", [sale("S-1")]) };
      });
      expect(applied.refused).toEqual([]);
      expect(within[0]).toMatchObject({ sale_id: "S-1" });
      expect(await station.rows("select sale_id from sale")).toEqual([]);
      const thrown = station.database.load.rehearse(() => Promise.reject(new Error("stage fright")));
      await expect(thrown).rejects.toThrow("stage fright");
      await apply(station, effect("insert", "sale", sale("S-1"), row)); // the connection goes on
      expect(await station.rows("select sale_id from sale")).toEqual([["S-1"]]);
    });
    test("no reader sees part of a transaction", async () => {
      await using station = await shop();
      await station.database.load.transaction(async (tx) => {
        await tx.apply([effect("insert", "sale", sale("S-1"), {})]);
        expect(await station.rows("select * from sale")).toEqual([]);
        await tx.apply([effect("insert", "sale", sale("S-2"), {})]);
      });
      expect(await station.rows("select sale_id from sale order by 1")).toEqual([["S-1"], ["S-2"]]);
    });
    test("the whole of some effects goes in, or the first that is refused is told, and all is undone with its attempt", async () => {
      await using station = await shop();
      const insert = (id: string, quantity: number | null = 1) =>
        effect("insert", "sale", sale(id), { sale_id: id, store_id: 14, quantity });
      const change = effect("update", "sale", sale("S-1"), { quantity: 2 });
      await station.database.load.transaction(async (tx) => {
        const whole = async (...effects: Effect[]) => (await tx.applyEach([effects]))[0];
        expect(await whole(insert("S-1"), change, insert("S-2"))).toBe(null);
        expect(await whole(insert("S-3"), change, insert("S-1"), insert("S-4"))).not.toBe(null);
        expect(await whole(change, insert("S-1"), change, insert("S-5", null))).toMatchObject({
          index: 1,
          code: "ROW_EXISTS",
        });
        // Whether or not it is known which one it was.
        expect([2, "unclear"]).toContain(
          await whole(insert("S-6"), insert("S-7"), insert("S-6")).then((told) =>
            typeof told === "object" ? told?.index : told,
          ),
        );
        expect(await whole(insert("S-8"))).toBe(null);
      });
      expect(await station.rows("select sale_id, quantity from sale order by sale_id")).toEqual([
        ["S-1", "2"],
        ["S-2", "1"],
        ["S-8", "1"],
      ]);
    });
    test("of several lists each goes in wholly or not at all, until one is refused; those behind it are not tried", async () => {
      await using station = await shop();
      const insert = (id: string, more: Row = {}) =>
        effect("insert", "sale", sale(id), { sale_id: id, store_id: 14, quantity: 1, ...more });
      const broken = { code: "PARENT_MISSING", index: 1 };
      await station.database.load.transaction(async (tx) => {
        const half = [insert("S-3"), effect("update", "sale", sale("S-3"), { store_id: 99 })];
        expect(await tx.applyEach([[insert("S-1")], [insert("S-2")], half, [insert("S-4")]])).toMatchObject([
          null,
          null,
          broken,
        ]);
        expect(await tx.applyEach([half, [insert("S-4")]])).toMatchObject([broken]);
        // Of a column that no table has the database need not be asked.
        const odd = [insert("S-6", { no_such: 1 })];
        expect(await tx.applyEach([[insert("S-4")], [insert("S-5")], odd, [insert("S-7")]])).toMatchObject([
          null,
          null,
          { code: "COLUMN_UNKNOWN", index: 0 },
        ]);
        expect(await tx.applyEach([odd, [insert("S-7")]])).toMatchObject([{ code: "COLUMN_UNKNOWN" }]);
        expect(await tx.applyEach([[insert("S-8")], [insert("S-9"), insert("S-10")]])).toEqual([null, null]);
        await tx.attempt(async () => ({
          keep: false,
          result: await tx.applyEach([[insert("S-11")], [insert("S-12")]]),
        }));
        expect(await tx.applyEach([])).toEqual([]);
      });
      const there = (await station.rows("select sale_id from sale")).map(([id]) => Number(String(id).slice(2)));
      expect(there.toSorted((a, b) => a - b)).toEqual([1, 2, 4, 5, 8, 9, 10]);
    });
    test("an attempt that is not kept is undone; what came before and after it stands; attempts may be nested", async () => {
      await using station = await shop();
      await station.database.load.transaction(async (tx) => {
        const insert = (id: string) => tx.apply([effect("insert", "sale", sale(id), {})]);
        await insert("before");
        const told = await tx.attempt(async () => {
          await insert("outer");
          await tx.attempt(async () => ({ keep: false, result: await insert("inner undone") }));
          await tx.attempt(async () => ({ keep: true, result: await insert("inner kept") }));
          return { keep: true, result: "told" };
        });
        expect(told).toBe("told");
        await tx.attempt(async () => {
          await tx.attempt(async () => ({ keep: true, result: await insert("kept within undone") }));
          return { keep: false, result: null };
        });
        await expect(
          tx.attempt(async () => {
            await insert("thrown");
            throw new Error("stop");
          }),
        ).rejects.toThrow("stop");
        await insert("after");
      });
      expect((await station.rows("select sale_id from sale order by 1")).flat()).toEqual([
        "after",
        "before",
        "inner kept",
        "outer",
      ]);
    });
    test("current gives the rows of the keys as they are now, null where absent", async () => {
      await using station = await shop();
      await station.run("insert into sale values ('S-1', 14, 'R1', 1)");
      await station.database.load.transaction(async (tx) => {
        await tx.apply([effect("update", "sale", sale("S-1"), { quantity: 7 })]);
        expect(await tx.current("sale", [sale("S-1"), sale("S-2")])).toEqual([
          { sale_id: "S-1", store_id: 14, receipt: "R1", quantity: 7 },
          null,
        ]);
      });
    });
  });

  describe(`load contract: ${engine}: which values are there`, () => {
    test("present tells for each whether a row has these values now, the transaction's own rows too", async () => {
      await using station = await shop();
      await station.run("insert into sale values ('S-1', 14, 'R1', 1)");
      await station.database.load.transaction(async (tx) => {
        await tx.apply([effect("insert", "sale_line", { sale_id: "S-1", number: 2 }, {})]);
        await tx.apply([effect("insert", "sale", sale("S-2"), { receipt: "R2" })]);
        const receipts = ["R1", "R3", "R2", "R1"].map((receipt) => ({ receipt }));
        expect(await tx.present("sale", ["receipt"], receipts)).toEqual([true, false, true, true]);
        const lines = [1, 2].map((number) => ({ number, sale_id: "S-1" }));
        expect(await tx.present("sale_line", ["sale_id", "number"], lines)).toEqual([false, true]);
        expect(await tx.present("sale", ["receipt"], [])).toEqual([]);
      });
    });
    test("what no row can have is not there, and the transaction goes on", async () => {
      await using station = await shop();
      await station.run("insert into sale values ('S-1', 14, null, 1)");
      await station.database.load.transaction(async (tx) => {
        expect(await tx.present("sale", ["receipt"], [{ receipt: null }, {}])).toEqual([false, false]);
        expect(await tx.present("store", ["id"], [{ id: "fourteen" }, { id: 14 }])).toEqual([false, true]);
        await tx.apply([effect("insert", "sale", sale("S-2"), {})]);
      });
      expect(await station.rows("select count(*) from sale")).toEqual([["2"]]);
    });
  });

  describe(`load contract: ${engine}: watermarks`, () => {
    test("a lane moves to the version given iff its version is still the one it was", async () => {
      await using station = await shop();
      const move = async (version: number, nextVersion: number, through: number): Promise<boolean | undefined> => {
        const one = [{ lane, version, nextVersion, loadedThrough: seq(through) }];
        return (await station.database.load.transaction((tx) => tx.moveLanes(one)))[0];
      };
      expect(await move(0, 7, 10)).toBe(true);
      expect(await move(0, 9, 20)).toBe(false);
      expect(await move(8, 9, 20)).toBe(false);
      expect(await move(7, 9, 20)).toBe(true);
      expect(await move(9, 2 ** 53 - 1, 20)).toBe(true); // a late load moves nothing but the version
      expect(await station.database.load.marks([otherLane, lane])).toEqual([
        { lane: otherLane, loadedThrough: 0, version: 0 },
        { lane, loadedThrough: 20, version: 2 ** 53 - 1 },
      ]);
    });
    test("of several lanes each is moved or not by its own version", async () => {
      await using station = await shop();
      const move = (...versions: readonly [number, number]) =>
        station.database.load.transaction((tx) =>
          tx.moveLanes([
            { lane: otherLane, version: versions[0], nextVersion: versions[0] + 1, loadedThrough: seq(7) },
            { lane, version: versions[1], nextVersion: versions[1] + 1, loadedThrough: seq(8) },
          ]),
        );
      expect(await station.database.load.transaction((tx) => tx.moveLanes([]))).toEqual([]);
      expect(await move(1, 0)).toEqual([false, true]);
      expect(await move(0, 0)).toEqual([true, false]);
      expect(await move(1, 1)).toEqual([true, true]);
      expect(await move(1, 2)).toEqual([false, true]);
      expect(await station.database.load.marks([otherLane, lane])).toEqual([
        { lane: otherLane, loadedThrough: 7, version: 2 },
        { lane, loadedThrough: 8, version: 3 },
      ]);
    });
    test("messages passed over are written, replaced and taken away with the transaction", async () => {
      await using station = await shop();
      await station.database.load.transaction((tx) =>
        tx.pass([passed(7), passed(3, "held", { fault: null, attempts: 0 })]),
      );
      await station.database.load.transaction(async (tx) => {
        await tx.pass([
          passed(7, "discarded", { attempts: 4 }),
          passed(9, "retrying"),
          passed(7, "dead", { lane: otherLane }),
        ]);
        await tx.unpass(lane, [seq(3), seq(8)]);
      });
      expect(await station.database.load.passed(lane)).toEqual([
        passed(7, "discarded", { attempts: 4 }),
        passed(9, "retrying"),
      ]);
    });
    test("the cursor moves iff it is still where it was said to be", async () => {
      await using station = await shop();
      const move = (from: [number, number], to: [number, number]) =>
        station.database.load.transaction((tx) => tx.moveCursor(cursor(...from), cursor(...to)));
      expect(await move([0, 0], [17, 0])).toBe(true);
      expect(await move([0, 0], [18, 0])).toBe(false);
      expect(await move([17, 0], [17, 5_000])).toBe(true);
      expect(await move([17, 0], [18, 0])).toBe(false);
      expect(await move([17, 5_000], [9_007_000_000_000_001, 0])).toBe(true);
    });
    test("the cursor remembers what was applied wholly and what in part", async () => {
      await using station = await shop();
      const first = { ...cursor(4, 2), seen: "central/e1/7", inside: "central/e1/8" };
      await station.database.load.transaction((tx) => tx.moveCursor(cursor(0), first));
      expect((await station.database.capture.state()).cursor).toEqual(first);
      const then = { ...cursor(5), seen: "central/e1/8" };
      await station.database.load.transaction((tx) => tx.moveCursor(first, then));
      expect((await station.database.capture.state()).cursor).toEqual(then);
    });
    test("the cursor remembers of which history it is, also in a table that was made before cursors did", async () => {
      await using station = await shop();
      const { load, capture } = station.database;
      const row = station.database.engine === "sqlite" ? "1" : "true";
      await station.run(
        `alter table waybill_cursor drop column strand; insert into waybill_cursor (only_row, id, changes) values (${row}, 4, 0)`,
      );
      expect((await capture.state()).cursor).toEqual(cursor(4));
      await load.install();
      const then = { ...cursor(5), strand: "01M8C1RXS44YW1FKK9H039WW7V" };
      expect(await load.transaction((tx) => tx.moveCursor(cursor(4), then))).toBe(true);
      expect((await capture.state()).cursor).toEqual(then);
      const elsewhere = { ...cursor(5), strand: "01M8C1RXS44YW1FKK9H039WW7W" };
      expect(await load.transaction((tx) => tx.moveCursor(then, elsewhere))).toBe(true);
      expect((await capture.state()).cursor).toEqual(elsewhere);
    });
    test("install may be repeated and changes nothing then", async () => {
      await using station = await shop();
      await station.database.load.transaction((tx) =>
        tx.moveLanes([{ lane, version: 0, nextVersion: 1, loadedThrough: seq(3) }]),
      );
      await station.database.load.install();
      expect(await station.database.load.marks([lane])).toEqual([{ lane, loadedThrough: 3, version: 1 }]);
    });
  });
}
