import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { effect, SHOP } from "../contract/station.ts";
import type { Applied, Effect } from "../port.ts";
import { openSqlite } from "./open.ts";
import { stationIn, type SqliteStation } from "./station.test-kit.ts";

const open = stationIn("wal");
const sale = (id: string, row: Effect["row"] = { quantity: 1 }): Effect =>
  effect("insert", "sale", { sale_id: id }, row);
const apply = (station: SqliteStation, ...effects: Effect[]): Promise<Applied> =>
  station.database.load.transaction((tx) => tx.apply(effects));
const codes = ({ refused }: Applied): string[] => refused.map(({ code }) => code);

async function ready(): Promise<SqliteStation> {
  const station = await open(SHOP);
  await station.database.load.install();
  return station;
}

/** Each fault class by errors that SQLite was brought to give; constraints of rows are in the load contract. */
test("refused: a column and a table that are gone, a trigger that raises, and one that lacks a table", async () => {
  await using station = await ready();
  await station.run(`
    create trigger mind before insert on sale begin
      select raise(abort, 'the till is closed') where new.receipt = 'raise';
    end`);
  expect(codes(await apply(station, sale("A", { receipt: "raise" })))).toEqual(["ROW_REFUSED"]);
  await station.run("drop trigger mind; alter table store drop column name");
  expect(codes(await apply(station, effect("insert", "store", { id: 1 }, { name: "Nord" })))).toEqual([
    "COLUMN_UNKNOWN",
  ]);
  await station.run("create trigger lost after insert on store begin insert into nowhere values (new.id); end");
  expect(codes(await apply(station, effect("insert", "store", { id: 2 }, {})))).toEqual(["ROW_REFUSED"]);
  await station.run("drop trigger lost; drop table sale_line; drop table sale");
  expect(codes(await apply(station, sale("B", {})))).toEqual(["TABLE_UNKNOWN"]);
});

test("infrastructure: the disk is full; nothing was half-written, and it goes on when there is room", async () => {
  await using station = await ready();
  const { db } = station.connection;
  const { page_count: pages } = db.prepare("pragma page_count").get() as { page_count: number };
  db.exec(`pragma max_page_count = ${pages}`);
  const many = Array.from({ length: 2_000 }, (_, n) => sale(`S-${n}`));
  await expect(apply(station, ...many)).rejects.toMatchObject({ code: "DISK_FULL" });
  expect(await station.rows("select count(*) from sale")).toEqual([["0"]]);
  db.exec("pragma max_page_count = 1000000");
  expect(codes(await apply(station, ...many))).toEqual([]);
});

test("infrastructure: another program holds the lock; nobody says that one row did it", async () => {
  await using station = await ready();
  await station.run("begin immediate");
  const busy = apply(station, sale("A"));
  await expect(busy).rejects.toMatchObject({ code: "DATABASE_BUSY" });
  await expect(busy).rejects.not.toMatchObject({ facts: { oneStatement: true } });
  await station.run("rollback");
  expect(codes(await apply(station, sale("A")))).toEqual([]);
});

test("infrastructure: the file takes no writes, or is no database", async () => {
  await using station = await ready();
  station.connection.db.exec("pragma query_only = on");
  await expect(apply(station, sale("A"))).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  station.connection.db.exec("pragma query_only = off");
  writeFileSync(`${station.path}-other`, "this is a letter to my aunt, and by no means a database of any kind");
  await expect(openSqlite(`sqlite:${station.path}-other`)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
});
