import { describe, expect, test } from "vitest";
import { seq } from "../../../base/ids.ts";
import type { Change } from "../../../message/change.ts";
import { Till } from "./till.test-kit.ts";

const ITEM =
  "create table item (id integer primary key, name text, price); insert into item values (1, 'a', 1), (2, 'b', 2); ";
const PLAN = { role: "terminal", quietGapMs: 1_000, tables: ["item"] } as const;
const shown = (changes: readonly Change[]): string[] =>
  changes.map((change) => `${change.op} ${JSON.stringify(change.row ?? change.key)}`);
const after = async (till: Till): Promise<string[]> => {
  await till.resyncAll();
  return shown(await till.changes());
};

describe("install", () => {
  test("reports what it made, kept, removed and cannot capture", async () => {
    using till = new Till(
      `${ITEM} create table loose (a, b); create view seen as select 1; create table other (id integer primary key)`,
    );
    const first = await till.capture.install({ ...PLAN, tables: ["item", "other", "loose", "seen", "gone"] });
    expect(first).toMatchObject({ made: ["item", "other"], unchanged: [], removed: [] });
    expect(first.refused.map(({ table }) => table)).toEqual(["loose", "seen", "gone"]);
    expect(await till.capture.install(PLAN)).toEqual({
      made: [],
      unchanged: ["item"],
      removed: ["other"],
      refused: [],
    });
    expect(await till.capture.install({ ...PLAN, role: "central" })).toMatchObject({ made: ["item"] });
    expect(await till.capture.resyncStep(10)).toBe("done");
  });
  test("makes the tables that an older version did not have", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec("drop table waybill_unseen; update item set price = 3 where id = 1");
    till.reopen();
    await till.capture.install(PLAN);
    expect(till.app.prepare("select count(*) as n from waybill_unseen").get()).toEqual({ n: 0 });
    expect(await after(till)).toEqual(['update {"id":1,"name":"a","price":{"$number":"3"}}']);
  });
  test("remove leaves the database as it was, but not while changes wait", async () => {
    using till = new Till(ITEM);
    const objects = (): unknown => till.app.prepare("select type, name from sqlite_schema").all();
    const before = objects();
    await till.capture.install(PLAN);
    till.app.exec("update item set price = 3");
    await expect(till.capture.remove({ lose: false })).rejects.toMatchObject({ code: "STATE_CONFLICT" });
    await till.capture.remove({ lose: true });
    expect(objects()).toEqual(before);
    till.app.exec("update item set price = 4");
  });
});

describe("an application's migration", () => {
  test("ADD COLUMN: nothing breaks, rows written before keep their columns, the table is resynchronised", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec(
      "update item set price = 5 where id = 1; alter table item add column tax default 7; update item set tax = 8 where id = 2",
    );
    expect((await till.pack()).remade).toEqual(["item"]);
    expect(shown(await till.changes())).toEqual([
      'update {"id":1,"name":"a","price":{"$number":"5"}}',
      'update {"id":2,"name":"b","price":{"$number":"2"}}',
    ]);
    expect(await after(till)).toEqual([
      'upsert {"id":1,"name":"a","price":{"$number":"5"},"tax":{"$number":"7"}}',
      'upsert {"id":2,"name":"b","price":{"$number":"2"},"tax":{"$number":"8"}}',
    ]);
    till.app.exec("update item set tax = 9 where id = 1");
    expect(await after(till)).toEqual(['update {"id":1,"name":"a","price":{"$number":"5"},"tax":{"$number":"9"}}']);
    expect((await till.pack()).remade).toEqual([]);
  });
  test("ADD COLUMN while the outbox holds a backlog widens it", async () => {
    using till = await Till.with("create table item (id integer primary key)", PLAN);
    till.app.exec(
      "insert into item values (1); alter table item add column a; alter table item add column b; insert into item values (2, 3, 4)",
    );
    await till.capture.install(PLAN);
    till.app.exec("update item set b = 5 where id = 2");
    expect(shown(await till.changes())).toEqual([
      'insert {"id":1}',
      'insert {"id":2}',
      'update {"id":2,"a":{"$number":"3"},"b":{"$number":"5"}}',
    ]);
  });
  test("DROP COLUMN: SQLite refuses it while triggers name the column, and takes it with capture off", async () => {
    using till = await Till.with(ITEM, PLAN);
    expect(() => till.app.exec("alter table item drop column price")).toThrow(/trigger/);
    till.app.exec("update item set price = 5 where id = 1");
    await till.capture.switch("off");
    till.reopen();
    till.app.exec("alter table item drop column price; update item set name = 'new' where id = 2");
    expect((await till.pack()).remade).toEqual([]);
    await till.capture.switch("on");
    expect(await after(till)).toEqual([
      'update {"id":1,"name":"a","price":{"$number":"5"}}',
      'upsert {"id":1,"name":"a"}',
      'upsert {"id":2,"name":"new"}',
    ]);
    till.app.exec("delete from item where id = 2");
    expect(await after(till)).toEqual(['delete {"id":2}']);
  });
  test("RENAME COLUMN: nothing breaks, the table is resynchronised under the new name", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec("alter table item rename column price to cost; update item set cost = 9 where id = 1");
    expect((await till.pack()).remade).toEqual(["item"]);
    expect((await after(till)).slice(1)).toEqual([
      'upsert {"id":1,"name":"a","cost":{"$number":"9"}}',
      'upsert {"id":2,"name":"b","cost":{"$number":"2"}}',
    ]);
  });
  test("rebuild and rename drops our triggers: they are made again and the table resynchronised", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec(
      "create table fresh (id integer primary key, name text not null, price); insert into fresh select * from item; drop table item; alter table fresh rename to item; insert into item values (3, 'c', 3)",
    );
    expect((await till.pack()).remade).toEqual(["item"]);
    expect(await after(till)).toHaveLength(3);
    till.app.exec("update item set name = 'z' where id = 3");
    expect(await after(till)).toEqual(['update {"id":3,"name":"z","price":{"$number":"3"}}']);
  });
  test("rename, create anew, copy: the old triggers go with the old table", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec(
      "alter table item rename to item_old; create table item (id integer primary key, name text, price, more); insert into item (id, name, price) select * from item_old",
    );
    expect((await till.pack()).remade).toEqual(["item"]);
    till.app.exec("drop table item_old; update item set more = 1 where id = 1");
    expect((await after(till)).map((text) => text.split(" ")[0])).toEqual(["update", "upsert", "upsert"]);
  });
  test("a table that is away for a while is captured again when it is back", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec("drop table item");
    expect((await till.pack()).remade).toEqual([]);
    till.app.exec("create table item (id integer primary key, name text, price)");
    expect((await till.pack()).remade).toEqual(["item"]);
  });
  test("a new trigger of the application's does not stay younger than ours, and costs no resync", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec("create trigger newer after update on item begin select 1; end");
    expect((await till.pack()).remade).toEqual([]);
    const oldest = till.app
      .prepare("select name from sqlite_schema where type = 'trigger' and tbl_name = 'item'")
      .get();
    expect(oldest).toEqual({ name: "newer" });
    till.app.exec("update item set price = 3 where id = 1");
    expect(await after(till)).toHaveLength(1);
  });
  test("a trigger of ours that somebody dropped is made again", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec("drop trigger waybill_after_update_item; update item set price = 77 where id = 1");
    expect((await till.pack()).remade).toEqual(["item"]);
    expect(await after(till)).toContain('upsert {"id":1,"name":"a","price":{"$number":"77"}}');
  });
});

describe("resync", () => {
  test("goes page by page, resumes after a kill, and never puts an old row behind a newer change", async () => {
    using till = await Till.with("create table item (b text, a int, v, primary key (a, b)) without rowid", PLAN);
    const insert = till.app.prepare("insert into item values (?, ?, 0)");
    for (let i = 0; i < 25; i++) insert.run(`k${i % 5}`, i);
    await till.changes();
    await till.capture.resync("item", "store:014");
    const seen = new Map<string, unknown>();
    for (let round = 1; ; round++) {
      const step = await till.capture.resyncStep(4);
      till.app.exec(`update item set v = ${round}`);
      till.reopen();
      const { packedThrough } = await till.pack();
      expect(packedThrough).toBeGreaterThan(round);
      for (const change of (await till.messages()).flatMap((message) => message.changes)) {
        if (change.op === "upsert") expect(change).toMatchObject({ aim: "store:014" });
        seen.set(JSON.stringify(change.key), change.row);
      }
      if (step === "done") break;
    }
    expect(new Set(seen.values())).toEqual(new Set(till.rows("item").values()));
    expect((await till.capture.state()).resyncing).toEqual([]);
  });
  test("shows how far it is, begins anew when asked again, and refuses what is not captured", async () => {
    using till = await Till.with(ITEM, PLAN);
    await till.capture.resync("item", null);
    await till.capture.resyncStep(1);
    expect((await till.capture.state()).resyncing).toEqual([{ table: "item", rows: 1 }]);
    await till.capture.resync("item", null);
    expect((await till.capture.state()).resyncing).toEqual([{ table: "item", rows: 0 }]);
    await expect(till.capture.resync("nothing", null)).rejects.toMatchObject({ code: "TABLE_UNKNOWN" });
    expect(await after(till)).toHaveLength(3);
  });
  test("pages are messages of their own", async () => {
    using till = await Till.with(ITEM, PLAN);
    till.app.exec("update item set price = 0");
    await till.capture.resync("item", null);
    await till.resyncAll(1);
    till.app.exec("update item set price = 1");
    await till.pack();
    expect((await till.messages()).map((message) => message.changes.map(({ op }) => op).join())).toEqual([
      "update,update",
      "upsert",
      "upsert",
      "update,update",
    ]);
    expect((await till.capture.state()).packedThrough).toBe(seq(4));
  });
});
