import { describe, expect, test } from "vitest";
import { WaybillError } from "../base/errors.ts";
import type { Database, Effect, LoadTransaction } from "../database/port.ts";
import type { Change, Op, Row } from "../message/change.ts";
import { Centre, Desk, lane, rules } from "./load.test-kit.ts";

const till = lane("till-1");
const other = lane("till-2");
const change = (table: string, op: Op, key: Row, more: Partial<Change> = {}): Change => ({ table, op, key, ...more });
const insert = (table: string, row: Row): Change => change(table, "insert", { id: row["id"] ?? null }, { row });
const update = (table: string, before: Row, row: Row): Change =>
  change(table, "update", { id: before["id"] ?? null }, { before, row: { ...before, ...row } });
const remove = (table: string, before: Row): Change =>
  change(table, "delete", { id: before["id"] ?? null }, { before });

/** The database with every list of effects that was applied to it. */
function watched(database: Database): {
  database: Pick<Database, "describe" | "load">;
  applied: (readonly Effect[])[];
} {
  const applied: (readonly Effect[])[] = [];
  const transaction: Database["load"]["transaction"] = (work) =>
    database.load.transaction((tx) => {
      const watching: LoadTransaction = {
        moveLanes: (to) => tx.moveLanes(to),
        pass: (rows) => tx.pass(rows),
        unpass: (name, numbers) => tx.unpass(name, numbers),
        current: (table, keys) => tx.current(table, keys),
        present: (table, columns, values) => tx.present(table, columns, values),
        attempt: (inner) => tx.attempt(inner),
        moveCursor: (from, to) => tx.moveCursor(from, to),
        applyEach: (lists) => {
          applied.push(...lists);
          return tx.applyEach(lists);
        },
        apply: (effects) => {
          applied.push(effects);
          return tx.apply(effects);
        },
      };
      return work(watching);
    });
  return { database: { describe: () => database.describe(), load: { ...database.load, transaction } }, applied };
}

describe("a batch", () => {
  test("of many messages on few rows becomes one write for each row, in one call", async () => {
    await using centre = await Centre.open("create table item (id text primary key, price text, qty integer)");
    const { database, applied } = watched(centre.database);
    const desk = new Desk(database, rules({ item: {} }));
    desk.receive(till, [insert("item", { id: "b", price: "1", qty: 0 })]);
    for (let n = 0; n < 100; n++)
      desk.receive(
        till,
        [update("item", { id: "b", price: `${n}`, qty: 0 }, { price: `${n + 1}` })],
        [change("item", "upsert", { id: "a" }, { row: { id: "a", price: `${n}`, qty: n } })],
      );
    await desk.load(desk.claims());
    expect(applied.map((effects) => effects.map(({ kind, key }) => `${kind} ${String(key["id"])}`))).toEqual([
      ["upsert a", "insert b"],
    ]);
    expect(centre.rows("select * from item order by id")).toEqual([
      ["a", "99", 99],
      ["b", "100", 0],
    ]);
  });

  test("loads a row as the last of its messages left it, so what a till mended itself troubles nobody", async () => {
    await using centre = await Centre.open(
      "create table item (id text primary key, price text check (price <> 'bad'))",
    );
    const desk = new Desk(centre.database, rules({ item: {} }));
    desk.receive(
      till,
      [insert("item", { id: "a", price: "bad" })],
      [update("item", { id: "a", price: "bad" }, { price: "1" })],
    );
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual([]);
    expect(centre.rows("select * from item")).toEqual([["a", "1"]]);
  });

  test("adds up what several tills sell of one article, with one write", async () => {
    await using centre = await Centre.open(
      "create table item (id text primary key, qty text); insert into item values ('a', '0.30')",
    );
    const { database, applied } = watched(centre.database);
    const desk = new Desk(database, rules({ item: { conflict: { policy: "add", columns: ["qty"] } } }));
    for (const name of [till, other])
      for (let n = 0; n < 50; n++) desk.receive(name, [update("item", { id: "a", qty: "5.00" }, { qty: "4.99" })]);
    await desk.load(desk.claims());
    expect(centre.rows("select qty from item")).toEqual([["-0.70"]]);
    expect(applied.map((effects) => effects.length)).toEqual([1]);
  });

  test("makes a row anew after its end, and lets a row take another's key", async () => {
    await using centre = await Centre.open(
      "create table item (id text primary key, price text default 'none', code text unique)",
    );
    const desk = new Desk(centre.database, rules({ item: {} }));
    desk.receive(
      till,
      [insert("item", { id: "a", price: "1", code: "x" }), insert("item", { id: "b", price: "2", code: "y" })],
      [remove("item", { id: "a", price: "1", code: "x" })],
      [insert("item", { id: "a", code: "z" })],
      [update("item", { id: "b", price: "2", code: "y" }, { id: "c", code: "x" })],
      [update("item", { id: "a", price: "none", code: "z" }, { id: "b" })],
    );
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual([]);
    expect(centre.rows("select id, price, code from item order by id")).toEqual([
      ["b", "none", "z"],
      ["c", "2", "x"],
    ]);
  });

  test("swaps unique values that only the messages' own order allows", async () => {
    await using centre = await Centre.open(
      "create table item (id text primary key, code text unique); insert into item values ('a', '1'), ('b', '2')",
    );
    const desk = new Desk(centre.database, rules({ item: {} }));
    desk.receive(
      till,
      [update("item", { id: "b", code: "2" }, { code: "3" })],
      [update("item", { id: "a", code: "1" }, { code: "2" })],
      [update("item", { id: "b", code: "3" }, { code: "1" })],
    );
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual([]);
    expect(centre.rows("select id, code from item order by id")).toEqual([
      ["a", "2"],
      ["b", "1"],
    ]);
  });

  test("keeps the order of rows that name each other", async () => {
    await using centre = await Centre.open("create table staff (id text primary key, boss text references staff (id))");
    const desk = new Desk(centre.database, rules({ staff: {} }));
    desk.receive(
      till,
      [insert("staff", { id: "z", boss: null })],
      [insert("staff", { id: "a", boss: "z" })],
      [update("staff", { id: "z", boss: null }, { boss: "a" })],
      [insert("staff", { id: "m", boss: "a" })],
      [remove("staff", { id: "m", boss: "a" })],
    );
    const { reports } = desk;
    await desk.load(desk.claims());
    expect(reports[0]?.outcomes[0]?.exceptions).toEqual([]);
    expect(centre.rows("select id, boss from staff order by id")).toEqual([
      ["a", "z"],
      ["z", "a"],
    ]);
  });

  test("shows each change to others' triggers, in order", async () => {
    await using centre = await Centre.open(`
      create table item (id text primary key, price text);
      create table seen (n integer primary key, was text);
      create trigger watch after update on item begin insert into seen (was) values (old.price || '>' || new.price); end;`);
    const desk = new Desk(centre.database, rules({ item: {} }));
    desk.receive(till, [insert("item", { id: "a", price: "1" })]);
    for (let n = 1; n <= 3; n++)
      desk.receive(till, [update("item", { id: "a", price: `${n}` }, { price: `${n + 1}` })]);
    await desk.load(desk.claims());
    expect(centre.rows("select was from seen order by n")).toEqual([["1>2"], ["2>3"], ["3>4"]]);
  });

  test("takes a row that is there already, with the same values, for loaded", async () => {
    await using centre = await Centre.open(
      "create table item (id text primary key, price text); insert into item values ('a', '1'), ('b', '9')",
    );
    const desk = new Desk(centre.database, rules({ item: {} }));
    desk.receive(
      till,
      [insert("item", { id: "a", price: "1" })],
      [insert("item", { id: "b", price: "2" })],
      [insert("item", { id: "c", price: "3" })],
    );
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual(["2 retrying ROW_EXISTS"]);
    expect(desk.exception(till, 2).detail).toBe("item id=b: price: centre 9, after 2");
  });

  test("says so when it makes a missing row again", async () => {
    await using centre = await Centre.open("create table item (id text primary key, price text)");
    const desk = new Desk(centre.database, rules({ item: {} }));
    desk.receive(till, [update("item", { id: "a", price: "1" }, { price: "2" })]);
    await desk.load(desk.claims());
    expect(desk.events).toEqual([`row recreated ${till} 1–1`]);
    expect(centre.rows("select * from item")).toEqual([["a", "2"]]);
  });

  test("that refuses by policy isolates the message as the database's own refusals do", async () => {
    await using centre = await Centre.open(
      "create table item (id text primary key, price text); insert into item values ('a', '5'), ('b', '5')",
    );
    const desk = new Desk(centre.database, rules({ item: { conflict: { policy: "detect" } } }));
    desk.receive(
      till,
      [update("item", { id: "a", price: "1" }, { price: "2" })],
      [update("item", { id: "b", price: "5" }, { price: "6" })],
      [update("item", { id: "a", price: "2" }, { price: "3" })],
    );
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual(["1 dead CONFLICT_DETECTED", "3 held behind 1"]);
    expect(centre.rows("select * from item order by id")).toEqual([
      ["a", "5"],
      ["b", "6"],
    ]);
  });

  test("with one poison message in ten loads the rest in the same pass, with few tries", async () => {
    await using centre = await Centre.open(
      "create table item (id integer primary key, price text check (price <> 'bad'))",
    );
    const { database, applied } = watched(centre.database);
    const desk = new Desk(database, rules({ item: {} }));
    for (let n = 1; n <= 1000; n++)
      desk.receive(n % 2 ? till : other, [insert("item", { id: n, price: n % 10 === 0 ? "bad" : "1" })]);
    await desk.load(desk.claims());
    expect(centre.rows("select count(*) from item")).toEqual([[900]]);
    expect(desk.exceptions(other)).toHaveLength(100);
    expect(applied.filter((effects) => effects.length > 1)).toHaveLength(2);
  });

  test("whose database is ill judges nothing", async () => {
    await using centre = await Centre.open("create table item (id text primary key)");
    const ill: Pick<Database, "describe" | "load"> = {
      describe: () => centre.database.describe(),
      load: {
        ...centre.database.load,
        transaction: (work) =>
          centre.database.load.transaction(
            async (tx) => (await work(tx), Promise.reject(new WaybillError("DISK_FULL", "no space left"))),
          ),
      },
    };
    const desk = new Desk(ill, rules({ item: {} }));
    desk.receive(till, [insert("item", { id: "a" })]);
    await expect(desk.load(desk.claims())).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(centre.rows("select * from waybill_lane")).toEqual([]);
    expect(centre.rows("select * from item")).toEqual([]);
  });
});
