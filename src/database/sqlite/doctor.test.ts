import { expect, test } from "vitest";
import { examine } from "../doctor.ts";
import { stationIn } from "./station.test-kit.ts";

const DDL = `
  create table sale (id integer primary key, total decimal(12,2), cents integer, code string);
  insert into sale values (1, '12.50', 1250, '007'), (2, '12', 1200, 'A1');
  create table log (line text);
  create table card (number text primary key, owner text, active integer);
  create unique index one_active on card (owner) where active = 1;
  create unique index any_case on card (lower(number));
  insert into card values (null, 'x', 0);
  create table sound (id integer primary key, total text, at timestamp);
  insert into sound values (1, '12.50', '2026-11-23T09:14:07');`;

test("names what costs exactness or keeps rows from being synchronised, and what to do", async () => {
  await using station = await stationIn("delete")(DDL);
  const found = await examine(`sqlite:${station.path}`, null);
  expect(found.map(({ weight, table, column }) => [weight, table, column])).toEqual([
    ["advice", null, null],
    ["harm", "card", null],
    ["risk", "card", null],
    ["risk", "card", null],
    ["harm", "log", null],
    ["harm", "sale", "total"],
    ["harm", "sale", "code"],
  ]);
  expect(found[5]?.what).toMatch(/decimal\(12,2\).*1 row\(s\)/);
  expect(found[5]?.remedy).toMatch(/TEXT.*cents/);
  expect(found.every(({ remedy }) => remedy.length > 10)).toBe(true);
});

test("looks at the tables that were asked for, and names those that are not there", async () => {
  await using station = await stationIn("wal")(DDL);
  expect(await examine(`sqlite:${station.path}`, ["sound"])).toEqual([]);
  expect(await examine(`sqlite:${station.path}`, ["Sound"])).toMatchObject([{ weight: "harm", table: "Sound" }]);
});

test("a file that is not there is refused and not made", async () => {
  await using station = await stationIn("wal")("");
  await expect(examine(`sqlite:${station.path}.other`, null)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
});
