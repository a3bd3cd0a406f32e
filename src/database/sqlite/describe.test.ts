import { describe, expect, test } from "vitest";
import { columnOf } from "../../message/shape.ts";
import { bareWords, Catalog, kindOf } from "./describe.ts";
import { stationIn } from "./station.test-kit.ts";

const open = stationIn("wal");

describe("the kind of a column is read from its declared type, as SQLite's affinity rules do", () => {
  test.each([
    ["INTEGER", "integer"],
    ["bigint", "integer"],
    ["UNSIGNED BIG INT", "integer"],
    ["FLOATING POINT", "integer"],
    ["TEXT", "text"],
    ["NVARCHAR(100)", "text"],
    ["CLOB", "text"],
    ["CHARINT", "integer"],
    ["", "text"],
    ["ANY", "text"],
    ["STRING", "text"],
    ["REAL", "float"],
    ["double precision", "float"],
    ["BLOB", "binary"],
    ["VARBINARY(16)", "binary"],
    ["NUMERIC", "decimal"],
    ["DECIMAL(10,5)", "decimal"],
    ["NUMBER(12,2)", "decimal"],
    ["money", "decimal"],
    ["BOOLEAN", "boolean"],
    ["DATE", "date"],
    ["DATETIME", "timestamp"],
    ["timestamp", "timestamp"],
    ["TIME", "time"],
    ["UUID", "uuid"],
    ["JSON", "json"],
    ["JSONB", "json"],
  ])("%s: %s", (declared, kind) => expect(kindOf(declared)).toBe(kind));
});

test("partial indexes and those on expressions are no uniques; the key's collation is told", async () => {
  await using station = await open(`
    create table card (number text collate nocase primary key, owner text, active integer, code text);
    create unique index one_active on card (owner) where active = 1;
    create unique index any_case on card (lower(owner));
    create unique index by_code on card (code collate rtrim, active);
    create index plain on card (owner)`);
  const card = new Catalog(station.connection).table("card");
  expect(card.uniques).toHaveLength(2);
  expect(card.uniques).toContainEqual(["number"]);
  expect(card.uniques).toContainEqual(["code", "active"]);
  expect(
    ["number", "owner", "code"].map((name) => card.columns.find((column) => column.name === name)?.collation),
  ).toEqual(["nocase", undefined, "rtrim"]);
});

test("generated columns, WITHOUT ROWID, STRICT, the row's number as key", async () => {
  await using station = await open(`
    create table plain (id integer primary key, n int, twice int as (n * 2), kept int as (n + 1) stored);
    create table numbered (id integer primary key autoincrement, v);
    create table backwards (id integer primary key desc, v);
    create table loose (code text primary key, v);
    create table tight (code text primary key, part int, v any) strict, without rowid`);
  const tables = new Catalog(station.connection).tables;
  const column = (table: string, name: string) => {
    const shape = tables.get(table);
    return shape && columnOf(shape, name);
  };
  expect(tables.get("plain")?.columns.map((one) => one.generated)).toEqual([false, false, true, true]);
  expect(column("plain", "id")).toMatchObject({ nullable: false, hasDefault: true });
  expect(column("numbered", "id")).toMatchObject({ nullable: false, hasDefault: true });
  expect(column("backwards", "id")).toMatchObject({ nullable: true, hasDefault: false }); // SQLite's own exception: no row number
  expect(column("loose", "code")).toMatchObject({ nullable: true });
  expect(column("tight", "code")).toMatchObject({ nullable: false });
  expect(tables.get("tight")).toMatchObject({ strict: true, withoutRowid: true, key: ["code"] });
  expect(tables.get("loose")).toMatchObject({ strict: false, withoutRowid: false });
});

test("views, virtual tables with their shadows, temporary and our own tables are left out", async () => {
  await using station = await open(`
    create table a (id integer primary key); create view v as select * from a;
    create virtual table words using fts5 (body); create table waybill_mine (x); create table "Waybill_mine2" (x)`);
  station.connection.db.exec("create temp table b (id integer primary key)");
  expect([...new Catalog(station.connection).tables.keys()]).toEqual(["a"]);
});

test("others' triggers are told apart from ours, whatever the case of names", async () => {
  await using station = await open(`
    create table a (id integer primary key); create table B (id integer primary key); create table c (id integer primary key);
    create trigger waybill_a after insert on a begin select 1; end;
    create trigger stamp after insert on b begin select 1; end`);
  const tables = new Catalog(station.connection).tables;
  expect(["a", "B", "c"].map((name) => [tables.get(name)?.captured, tables.get(name)?.foreignTriggers])).toEqual([
    [true, false],
    [false, true],
    [false, false],
  ]);
});

test("what constraints say of conflicts and deferral is read from their words, not from texts, names or comments", async () => {
  await using station = await open(`
    create table parent (id integer primary key);
    create table a (id integer primary key, p references parent deferrable initially deferred);
    create table b (id integer primary key, p references parent not deferrable initially deferred, u text unique on conflict abort);
    create table c (id integer primary key, u text unique on /* why */ conflict replace);
    create table d (id integer primary key, "on conflict replace" text default 'deferrable initially deferred' /* on conflict replace */) -- on conflict ignore`);
  const tables = new Catalog(station.connection).tables;
  expect(["a", "b", "c", "d"].map((name) => tables.get(name)?.deferredKeys)).toEqual([true, false, false, false]);
  expect(["a", "b", "c", "d"].map((name) => tables.get(name)?.ownConflictClauses)).toEqual([false, false, true, false]);
  expect(bareWords("a 'b''c' \"d\" [e] `f` g")).toBe("A G");
});

test("foreign keys name tables and columns as they are declared, in whatever case the statement wrote them", async () => {
  await using station = await open(`
    create table Store (Id integer primary key);
    create table sale (id integer primary key, StoreId integer, foreign key (storeid) references STORE (ID))`);
  expect(new Catalog(station.connection).table("sale").foreignKeys).toEqual([
    { columns: ["StoreId"], parent: "Store", parentColumns: ["Id"] },
  ]);
});

test("the schema is read again only when it changed", async () => {
  await using station = await open("create table a (id integer primary key)");
  const catalog = new Catalog(station.connection);
  const first = catalog.tables;
  await station.run("insert into a values (1)");
  expect(catalog.tables).toBe(first);
  await station.run("create index i on a (id)");
  expect(catalog.tables).not.toBe(first);
});
