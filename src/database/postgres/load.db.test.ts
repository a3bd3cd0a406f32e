import { expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { epoch, laneName, seq, terminalId } from "../../base/ids.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { effect, lane, SHOP } from "../contract/station.ts";
import type { Applied, Effect } from "../port.ts";
import { openDatabase } from "../open.ts";
import { Connection } from "./connection.ts";
import { postgresDatabase } from "./open.ts";
import { stationOn, type PostgresStation } from "./station.test-kit.ts";

const sale = (id: number | string, row: Effect["row"] = {}, kind: Effect["kind"] = "insert"): Effect =>
  effect(kind, "sale", { sale_id: `S-${id}` }, row);
const codes = ({ refused }: Applied): [number, string][] => refused.map(({ index, code }) => [index, code]);

describeWith("postgres", "loading on PostgreSQL", (server) => {
  const open = stationOn(server);
  const ready = async (ddl: string): Promise<PostgresStation> => {
    const station = await open(ddl);
    await station.database.load.install();
    return station;
  };
  const apply = (station: PostgresStation, effects: readonly Effect[]): Promise<Applied> =>
    station.database.load.transaction((tx) => tx.apply(effects));

  test("of thousands of effects exactly the faulty ones are refused, absent ones counted", async () => {
    await using station = await ready(SHOP);
    const faulty = new Set([0, 17, 999, 1000, 2_499]);
    const effects = Array.from({ length: 2_500 }, (_, n) =>
      sale(n, { quantity: faulty.has(n) ? 0 : 1, receipt: `R${n}` }),
    );
    expect(codes(await apply(station, effects))).toEqual([...faulty].map((n) => [n, "CHECK_VIOLATED"]));
    expect(await station.rows("select count(*) from sale")).toEqual([["2495"]]);
    const again = effects.map((one) => ({ ...one, kind: "update" as const, row: { quantity: 2 } }));
    expect(codes(await apply(station, again))).toEqual([...faulty].map((n) => [n, "ROW_MISSING"]));
    const gone = effects.map(({ table, key }) => effect("delete", table, key));
    expect(await apply(station, gone)).toEqual({ refused: [], absentDeletes: faulty.size });
  });

  test("two changes of one row in a row take effect one after the other", async () => {
    await using station = await ready(SHOP);
    const applied = await apply(station, [
      sale(1, { quantity: 1 }, "upsert"),
      sale(1, { quantity: 2 }, "upsert"),
      sale(1, { receipt: "R1" }, "update"),
      sale(1, { receipt: "R2" }, "update"),
    ]);
    expect(applied.refused).toEqual([]);
    expect(await station.rows("select quantity, receipt from sale")).toEqual([["2", "R2"]]);
  });

  test("an upsert that leaves out a column that must have a value overwrites the row that is there", async () => {
    await using station = await ready("create table item (id int primary key, name text not null, price numeric)");
    await station.run("insert into item values (1, 'tea', 5)");
    const applied = await apply(station, [
      effect("upsert", "item", { id: 1 }, { price: "6.50" }),
      effect("upsert", "item", { id: 2 }, { price: "6.50" }),
    ]);
    expect(codes(applied)).toEqual([[1, "NULL_REFUSED"]]);
    expect(await station.rows("select * from item")).toEqual([["1", "tea", "6.50"]]);
  });

  test("a deferred constraint is judged before the commit, and nothing of the transaction stays", async () => {
    await using station = await ready(
      "create table a (id int primary key); create table b (id int primary key, a int references a deferrable initially deferred)",
    );
    const child = effect("insert", "b", { id: 1 }, { a: 7 });
    await expect(apply(station, [child])).rejects.toMatchObject({
      code: "PARENT_MISSING",
      message: expect.stringMatching(/b: .*\(a\)=\(7\).*"a"/) as unknown, // the row is named: COMMIT names the statement
    });
    expect(await station.rows("select * from b")).toEqual([]);
    expect((await apply(station, [child, effect("insert", "a", { id: 7 }, {})])).refused).toEqual([]);
  });

  test("a row that was read to be compared is nobody else's until the commit", async () => {
    await using station = await ready(SHOP);
    await station.run("set lock_timeout = 100");
    await station.database.load.transaction(async (tx) => {
      expect(await tx.current("store", [{ id: 14 }])).toEqual([{ id: 14, name: "Harbour" }]);
      await expect(station.run("update store set name = 'Pier' where id = 14")).rejects.toMatchObject({
        code: "55P03",
      });
    });
    await station.run("update store set name = 'Pier' where id = 14");
  });

  test("I2: a commit is on the disk before it is told, whatever the database's setting", async () => {
    await using station = await open(SHOP);
    await station.run(`alter database "${new URL(station.url).pathname.slice(1)}" set synchronous_commit = off`);
    const connection = new Connection(station.url);
    await using _ = { [Symbol.asyncDispose]: () => connection.close() };
    expect(await connection.query("show synchronous_commit")).toEqual([["on"]]);
  });

  test("the application's triggers see one row at a time, in order; what they ignore or refuse is told", async () => {
    await using station = await ready(`
      create table stock (id int primary key, n int);
      create table seen (at serial, what text);
      create function note() returns trigger language plpgsql as $$ begin
        insert into seen (what) select tg_op || ' ' || new.id || ' of ' || count(*) from stock;
        return null; end $$;
      create trigger note after insert on stock for each row execute function note();
      create function choose() returns trigger language plpgsql as $$ begin
        if new.n = 1 then return null; elsif new.n = 2 then raise exception 'no twos'; end if; return new; end $$;
      create trigger choose before insert or update on stock for each row execute function choose();`);
    const applied = await apply(
      station,
      [1, 2, 3, 4].map((n) => effect("insert", "stock", { id: n }, { n })),
    );
    expect(codes(applied)).toEqual([[0, "ROW_REFUSED"], [1, "ROW_REFUSED"]]); // oxfmt-ignore
    expect(await station.rows("select what from seen order by at")).toEqual([["INSERT 3 of 1"], ["INSERT 4 of 2"]]);
  });

  test("a list of effects one of which a trigger ignores is undone, and nothing that was sent behind it stays", async () => {
    await using station = await ready(`
      create table stock (id int primary key, n int);
      create function choose() returns trigger language plpgsql as $$ begin
        if new.n = 1 then return null; end if; return new; end $$;
      create trigger choose before insert on stock for each row execute function choose();`);
    const row = (id: number, n: number) => effect("insert", "stock", { id }, { n });
    await station.database.load.transaction(async (tx) => {
      expect(await tx.applyEach([[row(1, 0)], [row(2, 0), row(3, 1)], [row(4, 0)]])).toEqual([null, "unclear"]);
      expect(await tx.applyEach([[row(4, 0)]])).toEqual([null]);
    });
    expect(await station.rows("select id from stock order by id")).toEqual([["1"], ["4"]]);
  });

  test("partitions, other schemas, quoted names, identities, domains and citext", async () => {
    await using station = await ready(`
      create extension citext;
      create schema "Till 1"; create domain positive as int check (value > 0);
      create table "Till 1"."Sa""le" ("Id" int generated always as identity primary key, "select" positive, twice int generated always as ("select" * 2) stored);
      create table person (name citext primary key, age int);
      create table day (d date not null, n int not null, primary key (d, n)) partition by range (d);
      create table day_26 partition of day for values from ('2026-01-01') to ('2027-01-01');`);
    const { tables } = await station.database.describe();
    expect([...tables.keys()].toSorted()).toEqual(['Till 1.Sa"le', "day", "person"]);
    const applied = await apply(station, [
      effect("insert", 'Till 1.Sa"le', { Id: 7 }, { select: 3 }),
      effect("insert", 'Till 1.Sa"le', { Id: 8 }, { select: -3 }),
      effect("insert", 'Till 1.Sa"le', { Id: 9 }, { twice: 4 }),
      effect("upsert", "person", { name: "Ann" }, { age: 1 }),
      effect("upsert", "person", { name: "ANN" }, { name: "ANN", age: 2 }),
      effect("insert", "day", { d: "2026-05-01", n: 1 }, {}),
      effect("insert", "day", { d: "2025-05-01", n: 1 }, {}),
    ]);
    expect(codes(applied)).toEqual([[1, "CHECK_VIOLATED"], [2, "COLUMN_UNKNOWN"], [6, "CHECK_VIOLATED"]]); // oxfmt-ignore
    expect(await station.rows('select * from "Till 1"."Sa""le"')).toEqual([["7", "3", "6"]]);
    expect(await station.rows("select * from person")).toEqual([["ANN", "2"]]);
    expect(await station.database.read.page("day", null, 5)).toEqual([{ d: "2026-05-01", n: 1 }]);
  });

  test("a number that the database gives always is kept: written at birth, compared after", async () => {
    await using station = await ready(`
      create table a (id int generated always as identity primary key, x int);
      create table b (id int primary key, n int generated always as identity, x int);`);
    const applied = await apply(station, [
      effect("insert", "a", { id: 7 }, { id: 7, x: 1 }),
      effect("update", "a", { id: 7 }, { id: 7, x: 2 }),
      effect("upsert", "a", { id: 7 }, { id: 7, x: 3 }),
      effect("update", "a", { id: 7 }, {}),
      effect("update", "a", { id: 7 }, { id: 8, x: 9 }),
      effect("update", "a", { id: 9 }, { id: 9, x: 9 }),
      effect("upsert", "b", { id: 1 }, { id: 1, n: 40, x: 1 }),
      effect("upsert", "b", { id: 1 }, { id: 1, n: 40, x: 2 }),
      effect("update", "b", { id: 1 }, { id: 1, n: 40, x: 3 }),
      effect("upsert", "b", { id: 1 }, { id: 1, n: 41, x: 9 }),
      effect("update", "b", { id: 1 }, { id: 1, n: 41, x: 9 }),
    ]);
    expect(codes(applied)).toEqual([
      [4, "ROW_REFUSED"],
      [5, "ROW_MISSING"],
      [9, "ROW_REFUSED"],
      [10, "ROW_REFUSED"],
    ]);
    expect(applied.refused[2]?.detail).toMatch(/b id=1: column n is GENERATED ALWAYS/);
    expect(await station.rows("select * from a")).toEqual([["7", "3"]]);
    expect(await station.rows("select * from b")).toEqual([["1", "40", "3"]]);
  });

  test("a column that comes or goes between two transactions is seen", async () => {
    await using station = await ready(SHOP);
    expect((await apply(station, [sale(1, { quantity: 1, receipt: "R" })])).refused).toEqual([]);
    await station.run("alter table sale drop column receipt; alter table sale alter column quantity type bigint");
    expect(codes(await apply(station, [sale(2, { quantity: 1, receipt: "R" }), sale(3, { quantity: 3 })]))).toEqual([
      [0, "COLUMN_UNKNOWN"],
    ]);
    expect(await station.database.read.row("sale", { sale_id: "S-3" })).toMatchObject({ quantity: 3 });
  });

  test("of two hubs that move one lane from the same version, one does", async () => {
    await using station = await ready(SHOP);
    const others = Array.from({ length: 8 }, () => new Connection(station.url));
    const databases = others.map((connection) => postgresDatabase(connection, systemRuntime.random));
    for (let version = 0; version < 10; version++) {
      const moved = await Promise.all(
        databases.map(({ load }) =>
          load.transaction((tx) =>
            tx.moveLanes([{ lane, version, nextVersion: version + 1, loadedThrough: seq(version + 1) }]),
          ),
        ),
      );
      expect(moved.flat().filter(Boolean)).toHaveLength(1);
    }
    await Promise.all(others.map((connection) => connection.close()));
  });

  test("two hubs that move the same lanes in opposite order, old and new, never wait in a circle", async () => {
    await using station = await ready(SHOP);
    const others = Array.from({ length: 4 }, () => new Connection(station.url, { busyMs: 30_000 }));
    const loads = others.map((connection) => postgresDatabase(connection, systemRuntime.random).load);
    const lanes = Array.from({ length: 12 }, (_, n) => laneName(terminalId(`t${n}`), epoch("e1")));
    for (let round = 0; round < 15; round++) {
      const known = new Map((await station.database.load.marks(lanes)).map((mark) => [mark.lane, mark.version]));
      const some = lanes.slice(0, 4 + (round % 9)); // some were never moved before
      const words = await Promise.all(
        loads.map((load, at) => {
          const order = at % 2 === 0 ? some : some.toReversed();
          const marks = order.map((lane) => {
            const version = known.get(lane) ?? 0;
            return { lane, version, nextVersion: version + 1, loadedThrough: seq(round) };
          });
          return load.transaction((tx) => tx.moveLanes(marks));
        }),
      );
      expect(words.flat().filter(Boolean)).toHaveLength(some.length);
    }
    await Promise.all(others.map((connection) => connection.close()));
  });

  test("a session that breaks is told as DATABASE_UNAVAILABLE, nothing stays of its transaction, and the next use finds a new one", async () => {
    await using station = await ready(SHOP);
    const kill =
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'waybill' and datname = current_database()";
    const broken = station.database.load.transaction(async (tx) => {
      await tx.apply([sale(1)]);
      await station.run(kill);
      return tx.apply([sale(2)]);
    });
    await expect(broken).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    expect((await apply(station, [sale(3)])).refused).toEqual([]);
    expect(await station.rows("select sale_id from sale")).toEqual([["S-3"]]);
  });

  test("a lock of another program's is waited for, then told as DATABASE_BUSY", async () => {
    await using station = await ready(SHOP);
    await station.run("begin; update store set name = 'Pier' where id = 14");
    const blocked = apply(station, [effect("update", "store", { id: 14 }, { name: "Quay" })]);
    await expect(blocked).rejects.toMatchObject({ code: "DATABASE_BUSY" });
    await station.run("rollback");
  });

  test("a server that is not there, and a password that is wrong", async () => {
    await expect(openDatabase("postgres://x@127.0.0.1:1/none")).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    const nobody = new URL(server);
    nobody.username = "nobody_of_that_name";
    await expect(openDatabase(nobody.href)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  });
});
