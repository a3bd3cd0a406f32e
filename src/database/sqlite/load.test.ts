import { expect, test } from "vitest";
import { seq } from "../../base/ids.ts";
import type { Applied, Effect } from "../port.ts";
import { effect, lane, type Station } from "../contract/station.ts";
import { stationIn, type SqliteStation } from "./station.test-kit.ts";

const open = stationIn("wal");
const made = async (ddl: string): Promise<SqliteStation> => {
  const station = await open(ddl);
  await station.database.load.install();
  return station;
};
const apply = (station: Station, ...effects: Effect[]): Promise<Applied> =>
  station.database.load.transaction((tx) => tx.apply(effects));
const codes = (applied: Applied): string[] => applied.refused.map((refusal) => refusal.code);
const refusedAs = (applied: Applied): [number, string][] =>
  applied.refused.map((refusal) => [refusal.index, refusal.code]);

// ── constraints with a conflict clause of their own, triggers that interfere ───────────────────────────────────────

test("a constraint that says ON CONFLICT REPLACE never displaces a third row (I14)", async () => {
  await using station = await made(
    "create table item (id integer primary key on conflict replace, sku text unique on conflict replace); insert into item values (1, 'tea'), (2, 'jam')",
  );
  const applied = await apply(
    station,
    effect("insert", "item", { id: 3 }, { sku: "tea" }),
    effect("upsert", "item", { id: 2 }, { sku: "tea" }),
    effect("update", "item", { id: 2 }, { sku: "tea" }),
    effect("insert", "item", { id: 1 }, { sku: "new" }),
    effect("upsert", "item", { id: 2 }, { sku: "jam and bread" }),
  );
  expect(codes(applied)).toEqual(["UNIQUE_VIOLATED", "UNIQUE_VIOLATED", "UNIQUE_VIOLATED", "ROW_EXISTS"]);
  expect(await station.rows("select id, sku from item order by id")).toEqual([
    ["1", "tea"],
    ["2", "jam and bread"],
  ]);
});

test("the conflict clauses of an application's trigger stay as they are written", async () => {
  await using station = await made(`
    create table sale (id integer primary key, item text);
    create table seen (item text primary key, first integer);
    create trigger note after insert on sale begin insert or ignore into seen values (new.item, new.id); end`);
  const applied = await apply(
    station,
    effect("insert", "sale", { id: 1 }, { item: "tea" }),
    effect("upsert", "sale", { id: 2 }, { item: "tea" }),
  );
  expect(applied.refused).toEqual([]);
  expect(await station.rows("select item, first from seen")).toEqual([["tea", "1"]]);
});

test("a row that a trigger refuses is refused alone, whatever way the trigger says it", async () => {
  await using station = await made(`
    create table sale (id integer primary key, item text); create table log (what text);
    create trigger abort_it before insert on sale when new.item = 'abort' begin select raise(abort, 'no'); end;
    create trigger fail_it after insert on sale when new.item = 'fail' begin insert into log values ('tried'); select raise(fail, 'no'); end;
    create trigger ignore_it before insert on sale when new.item = 'ignore' begin select raise(ignore); end;
    create trigger keep_it before delete on sale when old.item = 'kept' begin select raise(ignore); end;
    create trigger hold_it before update on sale when old.item = 'kept' begin select raise(ignore); end;
    create trigger broken before insert on sale when new.item = 'broken' begin insert into log values (json_extract('{', '$')); end;
    insert into sale values (9, 'kept')`);
  const applied = await apply(
    station,
    effect("insert", "sale", { id: 1 }, { item: "abort" }),
    effect("insert", "sale", { id: 2 }, { item: "fail" }),
    effect("insert", "sale", { id: 3 }, { item: "ignore" }),
    effect("upsert", "sale", { id: 4 }, { item: "ignore" }),
    effect("keep", "sale", { id: 5 }, { item: "ignore" }),
    effect("insert", "sale", { id: 6 }, { item: "broken" }),
    effect("delete", "sale", { id: 9 }),
    effect("update", "sale", { id: 9 }, { item: "sold" }),
    effect("insert", "sale", { id: 7 }, { item: "good" }),
    effect("delete", "sale", { id: 8 }),
  );
  expect(refusedAs(applied)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((index) => [index, "ROW_REFUSED"]));
  expect(applied.absentDeletes).toBe(1);
  expect(await station.rows("select id, item from sale order by id")).toEqual([
    ["7", "good"],
    ["9", "kept"],
  ]);
  expect(await station.rows("select * from log")).toEqual([]);
});

test("a trigger that rolls the whole transaction back ends it with the refusal, and nothing is left", async () => {
  await using station = await made(`
    create table sale (id integer primary key, item text);
    create trigger all_back before insert on sale when new.item = 'bad' begin select raise(rollback, 'everything'); end`);
  const load = station.database.load.transaction(async (tx) => {
    await tx.moveLanes([{ lane, version: 0, nextVersion: 1, loadedThrough: seq(2) }]);
    await tx.attempt(async () => ({
      keep: true,
      result: await tx.apply([
        effect("insert", "sale", { id: 1 }, { item: "good" }),
        effect("insert", "sale", { id: 2 }, { item: "bad" }),
      ]),
    }));
  });
  await expect(load).rejects.toMatchObject({ code: "ROW_REFUSED" });
  expect(await station.rows("select * from sale")).toEqual([]);
  expect((await station.database.load.marks([lane]))[0]?.version).toBe(0);
  expect(codes(await apply(station, effect("insert", "sale", { id: 1 }, { item: "good" })))).toEqual([]);
});

// ── foreign keys ───────────────────────────────────────────────────────────────────────────────────────────────────

test.each(["", "on delete restrict", "on delete no action"])(
  "a parent that is still named cannot go: CHILD_EXISTS (%s)",
  async (action) => {
    await using station = await made(`
    create table store (id integer primary key); create table sale (id integer primary key, store integer references store ${action});
    insert into store values (1); insert into sale values (5, 1)`);
    const applied = await apply(
      station,
      effect("delete", "store", { id: 1 }),
      effect("update", "store", { id: 1 }, { id: 2 }),
    );
    expect(codes(applied)).toEqual(["CHILD_EXISTS", "CHILD_EXISTS"]);
  },
);

const DEFERRED = `
  create table store (id integer primary key);
  create table sale (id integer primary key, store integer references "Store" (id) deferrable initially deferred)`;

test("a child may come before its parent under a deferred foreign key", async () => {
  await using station = await made(DEFERRED);
  const applied = await apply(
    station,
    effect("insert", "sale", { id: 1 }, { store: 14 }),
    effect("insert", "store", { id: 14 }, {}),
  );
  expect(applied.refused).toEqual([]);
  expect(await station.rows("select * from sale")).toEqual([["1", "14"]]);
});

test("a commit that a deferred foreign key refuses leaves nothing and throws PARENT_MISSING, naming the row", async () => {
  await using station = await made(DEFERRED);
  const load = station.database.load.transaction(async (tx) => {
    await tx.moveLanes([{ lane, version: 0, nextVersion: 1, loadedThrough: seq(1) }]);
    return tx.apply([
      effect("insert", "store", { id: 14 }, {}),
      effect("insert", "sale", { id: 1 }, { store: 14 }),
      effect("insert", "sale", { id: 2 }, { store: 99 }),
    ]);
  });
  await expect(load).rejects.toMatchObject({
    code: "PARENT_MISSING",
    what: expect.stringMatching(/sale id=2.*store=99/),
  });
  expect(await station.rows("select count(*) from store")).toEqual([["0"]]);
  expect((await station.database.load.marks([lane]))[0]?.version).toBe(0);
  expect((await apply(station, effect("insert", "store", { id: 14 }, {}))).refused).toEqual([]);
});

test("a row that names itself is not told to have no parent: the other parent is", async () => {
  await using station = await made(
    "create table maker (id integer primary key); create table part (id integer primary key, maker integer references maker, whole integer references part)",
  );
  const applied = await apply(station, effect("insert", "part", { id: 1 }, { whole: 1, maker: 5 }));
  expect(applied.refused[0]?.detail).toMatch(/maker=5 names a row of maker/);
  expect(applied.refused[0]?.detail).not.toMatch(/whole/);
});

test("a row that names itself, and one whose parent table does not exist", async () => {
  await using station = await made(
    "create table part (id integer primary key, whole integer references part, weight integer check (weight > 0)); create table lost (id integer primary key, x integer references gone (id))",
  );
  const applied = await apply(
    station,
    effect("insert", "part", { id: 1 }, { whole: 1, weight: 1 }),
    effect("insert", "part", { id: 2 }, { whole: 3, weight: 1 }),
    effect("insert", "lost", { id: 1 }, { x: 5 }),
    effect("insert", "lost", { id: 2 }, { x: null }),
  );
  expect(refusedAs(applied).filter(([index]) => index < 2)).toEqual([[1, "PARENT_MISSING"]]);
  expect(
    refusedAs(applied)
      .filter(([index]) => index === 2)
      .map(([, code]) => ["PARENT_MISSING", "ROW_REFUSED"].includes(code)),
  ).toEqual([true]);
});

// ── tables of every make ───────────────────────────────────────────────────────────────────────────────────────────

test("STRICT tables refuse another class with TYPE_REFUSED", async () => {
  await using station = await made(
    "create table reading (id integer primary key, value real, note text, any_value any) strict, without rowid",
  );
  const applied = await apply(
    station,
    effect("insert", "reading", { id: 1 }, { value: { $text: "high" } }),
    effect("insert", "reading", { id: 2 }, { note: { $binary: "AA==" } }),
    effect("insert", "reading", { id: 3 }, { value: 1.5, note: "", any_value: "007" }),
  );
  expect(codes(applied)).toEqual(["TYPE_REFUSED", "TYPE_REFUSED"]);
  expect(await station.rows("select id, value, note, typeof(any_value), any_value from reading")).toEqual([
    ["3", "1.5", "", "text", "007"],
  ]);
});

test("INTEGER PRIMARY KEY takes integers only", async () => {
  await using station = await made("create table t (id integer primary key, v)");
  expect(codes(await apply(station, effect("insert", "t", { id: { $text: "one" } }, { v: 1 })))).toEqual([
    "TYPE_REFUSED",
  ]);
});

test("names that need quoting, names that JavaScript objects have of their own, and columns called like SQLite's row number", async () => {
  const table = `we"ird "" table.name`;
  const quotedName = `"${table.replaceAll('"', '""')}"`;
  await using station = await made(
    `create table ${quotedName} ("order" text primary key, "a b" text, "__proto__" text, constructor text, rowid text, "quote""d" text, "ünï" text)`,
  );
  const row = JSON.parse(
    '{"order":"1","a b":"x","__proto__":"p","constructor":"c","rowid":"r","quote\\"d":"q","ünï":"u"}',
  ) as Record<string, string>;
  expect(
    await apply(
      station,
      effect("insert", table, { order: "1" }, row),
      effect("update", table, { order: "1" }, { rowid: "s" }),
    ),
  ).toEqual({ refused: [], absentDeletes: 0 });
  const read = await station.database.read.row(table, { order: "1" });
  expect(JSON.stringify(read)).toBe(JSON.stringify({ ...row, rowid: "s" }).replace('"quote\\"d"', '"quote\\"d"'));
  expect(await station.rows(`select "__proto__", constructor, rowid from ${quotedName}`)).toEqual([["p", "c", "s"]]);
});

test("a key of another case is the same row where the column's collation says so, and takes the new spelling", async () => {
  await using station = await made(
    "create table item (sku text collate nocase primary key, name text) without rowid; insert into item values ('tea', 'Tea')",
  );
  const applied = await apply(
    station,
    effect("insert", "item", { sku: "TEA" }, { name: "x" }),
    effect("upsert", "item", { sku: "Tea" }, { sku: "Tea", name: "Black tea" }),
  );
  expect(codes(applied)).toEqual(["ROW_EXISTS"]);
  expect(await station.rows("select sku, name from item")).toEqual([["Tea", "Black tea"]]);
});

test("generated columns are never written, and are left out of what is read", async () => {
  await using station = await made(
    "create table line (id integer primary key, n integer, twice integer generated always as (n * 2) stored)",
  );
  const applied = await apply(
    station,
    effect("insert", "line", { id: 1 }, { n: 2 }),
    effect("update", "line", { id: 1 }, { twice: 9 }),
  );
  expect(codes(applied)).toEqual(["COLUMN_UNKNOWN"]);
  expect(await station.database.read.row("line", { id: 1 })).toEqual({ id: 1, n: 2 });
});

test("a table that changes between two transactions is written as it is now", async () => {
  await using station = await made("create table item (id integer primary key, name text)");
  const write = (id: number) => apply(station, effect("insert", "item", { id }, { name: "x", price: "1" }));
  expect(codes(await write(1))).toEqual(["COLUMN_UNKNOWN"]);
  await station.run("alter table item add column price text");
  expect(codes(await write(1))).toEqual([]);
  await station.run("alter table item drop column price");
  expect(codes(await write(2))).toEqual(["COLUMN_UNKNOWN"]);
});

// ── the database itself is ill ─────────────────────────────────────────────────────────────────────────────────────

test("another program's write lock is DATABASE_BUSY, thrown, and nothing is judged", async () => {
  await using station = await made("create table item (id integer primary key)");
  await station.run("begin immediate");
  await expect(apply(station, effect("insert", "item", { id: 1 }, {}))).rejects.toMatchObject({
    code: "DATABASE_BUSY",
    blame: "target",
  });
  await station.run("rollback");
  expect((await apply(station, effect("insert", "item", { id: 1 }, {}))).refused).toEqual([]);
});

test("a full disk is DISK_FULL, thrown, and nothing is left", async () => {
  await using station = await made("create table item (id integer primary key, body text)");
  station.connection.db.exec("pragma max_page_count = 12");
  const full = station.database.load.transaction(async (tx) => {
    await tx.moveLanes([{ lane, version: 0, nextVersion: 1, loadedThrough: seq(1) }]);
    return tx.apply([
      effect("insert", "item", { id: 1 }, {}),
      effect("insert", "item", { id: 2 }, { body: "x".repeat(100_000) }),
    ]);
  });
  await expect(full).rejects.toMatchObject({ code: "DISK_FULL", blame: "target" });
  expect(await station.rows("select * from item")).toEqual([]);
  expect(await station.rows("select * from waybill_lane")).toEqual([]);
  station.connection.db.exec("pragma max_page_count = 1000000");
  expect((await apply(station, effect("insert", "item", { id: 1 }, {}))).refused).toEqual([]);
});

// ── our own capture ────────────────────────────────────────────────────────────────────────────────────────────────

test("what is loaded at a terminal is not captured; what its own triggers write to other tables is", async () => {
  await using station = await made(`
    create table price (sku text primary key, cents integer); create table history (id integer primary key, sku text, cents integer);
    create trigger remember after insert on price begin insert into history (sku, cents) values (new.sku, new.cents); end`);
  await station.database.capture.install({ role: "terminal", tables: ["price", "history"], quietGapMs: 1_000 });
  await apply(
    station,
    effect("insert", "price", { sku: "tea" }, { cents: 250 }),
    effect("insert", "price", { sku: "jam" }, { cents: 300 }),
  );
  const captured = await station.rows(
    "select l.tbl from waybill_outbox as o join waybill_layout as l on l.id = o.layout",
  );
  expect(captured).toEqual([["history"], ["history"]]);
  expect(await station.rows("select * from waybill_gate")).toEqual([]);
});

test("at the centre each row is captured with the terminal it came from, also when it changes from effect to effect", async () => {
  await using station = await made(
    "create table stock (sku text primary key, n integer check (n >= 0)); create table note (id integer primary key)",
  );
  await station.database.capture.install({ role: "central", tables: ["stock"], quietGapMs: 1_000 });
  const applied = await apply(
    station,
    effect("insert", "stock", { sku: "a" }, { n: 1 }, "till-1"),
    effect("insert", "stock", { sku: "b" }, { n: -1 }, "till-1"),
    effect("insert", "stock", { sku: "c" }, { n: 3 }, "till-2"),
    effect("insert", "note", { id: 1 }, {}, "till-2"),
    effect("insert", "stock", { sku: "d" }, { n: 4 }),
  );
  expect(codes(applied)).toEqual(["CHECK_VIOLATED"]);
  await station.run("insert into stock values ('e', 5)");
  expect(await station.rows("select o.origin from waybill_outbox as o order by o.id")).toEqual([
    ["till-1"],
    ["till-2"],
    [null],
    [null],
  ]);
});

test("a gate is shut again when applying is cut short", async () => {
  await using station = await made("create table item (id integer primary key, body text)");
  await station.database.capture.install({ role: "terminal", tables: ["item"], quietGapMs: 1_000 });
  const { load } = station.database;
  await load.transaction(async (tx) => {
    // The driver itself refuses such a value: a fault of ours, which the caller here survives.
    const broken = effect("insert", "item", { id: 1 }, { body: "x" });
    const cut = tx.apply([broken, null as unknown as Effect]);
    await expect(cut).rejects.toThrow(TypeError);
  });
  expect(await station.rows("select * from waybill_gate")).toEqual([]);
});
