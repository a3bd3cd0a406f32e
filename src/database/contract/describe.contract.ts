import { describe, expect, test } from "vitest";
import type { Row } from "../../message/change.ts";
import type { TableShape } from "../../message/shape.ts";
import { SHOP, type OpenStation, type Station } from "./station.ts";

/** The promises of `Database.describe` and `TableShape`, in their words. */
export function describeContract(engine: string, open: OpenStation): void {
  const shape = async (station: Station, table: string): Promise<TableShape> => {
    const found = (await station.database.describe()).tables.get(table);
    if (!found) throw new Error(`no table ${table}`);
    return found;
  };

  describe(`describe contract: ${engine}`, () => {
    test("the application's tables as they are now; ours are left out, and views", async () => {
      await using station = await open(`${SHOP} create view harbour as select * from store;`);
      await station.database.load.install();
      expect([...(await station.database.describe()).tables.keys()].toSorted()).toEqual(["sale", "sale_line", "store"]);
      await station.run("create table customer (id integer not null primary key)");
      expect([...(await station.database.describe()).tables.keys()]).toContain("customer");
    });
    test("another version whenever a table changes, the same while none does", async () => {
      await using station = await open(SHOP);
      const before = (await station.database.describe()).version;
      await station.run("insert into store values (15, 'Mill')");
      expect((await station.database.describe()).version).toBe(before);
      await station.run("alter table store add column town varchar(40)");
      const after = await station.database.describe();
      expect(after.version).not.toBe(before);
      expect(after.tables.get("store")?.columns.map((column) => column.name)).toEqual(["id", "name", "town"]);
    });
    test("columns have kind, nullability and default", async () => {
      await using station = await open(
        "create table kinds (id integer not null primary key, name varchar(40) not null, n integer default 7, t varchar(5))",
      );
      const { columns } = await shape(station, "kinds");
      expect(columns.map(({ name, kind, nullable, generated }) => ({ name, kind, nullable, generated }))).toEqual([
        { name: "id", kind: "integer", nullable: false, generated: false },
        { name: "name", kind: "text", nullable: false, generated: false },
        { name: "n", kind: "integer", nullable: true, generated: false },
        { name: "t", kind: "text", nullable: true, generated: false },
      ]);
      expect(
        columns.filter((column) => column.hasDefault && column.name !== "id").map((column) => column.name),
      ).toEqual(["n"]);
    });
    test("the key is the primary key, else the first unique key without nullable columns, else empty", async () => {
      await using station = await open(`${SHOP}
        create table card (number varchar(20) not null unique, serial integer unique);
        create table note (words varchar(20) unique);
      `);
      expect((await shape(station, "sale_line")).key).toEqual(["sale_id", "number"]);
      expect((await shape(station, "card")).key).toEqual(["number"]);
      expect((await shape(station, "note")).key).toEqual([]);
    });
    test("uniques are every unique constraint or full unique index, the key included", async () => {
      await using station = await open(`${SHOP} create unique index by_item on sale_line (item, number);`);
      const { uniques } = await shape(station, "sale");
      expect(uniques.map((columns) => columns.join()).toSorted()).toEqual(["receipt", "sale_id"]);
      expect((await shape(station, "sale_line")).uniques).toContainEqual(["item", "number"]);
      expect((await shape(station, "store")).uniques).toEqual([["id"]]);
    });
    test("foreign keys name the parent's columns, also where the statement leaves them out", async () => {
      await using station = await open(`${SHOP}
        create table refund (id integer not null primary key, sale_id varchar(20), line integer, store_id integer references store,
          foreign key (line, sale_id) references sale_line (number, sale_id));
        create unique index line_turned on sale_line (number, sale_id);
      `);
      expect((await shape(station, "refund")).foreignKeys.toSorted((a, b) => (a.parent < b.parent ? -1 : 1))).toEqual([
        { columns: ["line", "sale_id"], parent: "sale_line", parentColumns: ["number", "sale_id"] },
        { columns: ["store_id"], parent: "store", parentColumns: ["id"] },
      ]);
    });
    test("what was described can be written and read", async () => {
      await using station = await open(SHOP);
      await station.database.load.install();
      const row: Row = { id: 15, name: "Mill" };
      await station.database.load.transaction((tx) =>
        tx.apply([{ table: "store", kind: "insert", key: { id: 15 }, row, origin: null }]),
      );
      expect(await station.database.read.row("store", { id: 15 })).toEqual(row);
    });
  });
}
