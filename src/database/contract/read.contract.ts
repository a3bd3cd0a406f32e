import { describe, expect, test } from "vitest";
import { SHOP, type OpenStation } from "./station.ts";

/** The promises of `Read`, in its words. */
export function readContract(engine: string, open: OpenStation): void {
  describe(`read contract: ${engine}`, () => {
    test("pages give all rows in key order, each once", async () => {
      await using station = await open(SHOP);
      await station.run(`
        insert into sale values ('S-1', 14, 'R1', 1); insert into sale values ('S-10', 14, null, 2); insert into sale values ('S-2', null, null, null);
        insert into sale_line values ('S-2', 1, 'tea'); insert into sale_line values ('S-1', 10, 'jam'); insert into sale_line values ('S-1', 9, '');
        insert into sale_line values ('S-10', 1, null);
      `);
      const { read } = station.database;
      const first = await read.page("sale_line", null, 2);
      expect(first).toEqual([
        { sale_id: "S-1", number: 9, item: "" },
        { sale_id: "S-1", number: 10, item: "jam" },
      ]);
      const second = await read.page("sale_line", { sale_id: "S-1", number: 10 }, 2);
      expect(second.map((row) => row["sale_id"])).toEqual(["S-10", "S-2"]);
      expect(await read.page("sale_line", { sale_id: "S-2", number: 1 }, 2)).toEqual([]);
    });
    test("a row is found by its key, null where absent", async () => {
      await using station = await open(SHOP);
      const { read } = station.database;
      expect(await read.row("store", { id: 14 })).toEqual({ id: 14, name: "Harbour" });
      expect(await read.row("store", { id: "14" })).toEqual({ id: 14, name: "Harbour" });
      expect(await read.row("store", { id: 15 })).toBeNull();
    });
    test("a table that is not there is refused with TABLE_UNKNOWN", async () => {
      await using station = await open(SHOP);
      await expect(station.database.read.page("nowhere", null, 5)).rejects.toMatchObject({ code: "TABLE_UNKNOWN" });
    });
  });
}
