import { expect, test } from "vitest";
import type { Change, Row } from "../message/change.ts";
import { Centre, Desk, lane, rules } from "./load.test-kit.ts";

const SHOP = `create table sale (id text primary key, total text not null, note text);
  create table stock (id text primary key, qty integer not null);`;
const insert = (table: string, id: string, row: Row): Change => ({
  table,
  op: "insert",
  key: { id },
  row: { id, ...row },
});
const sale = (id: string, row: Row = {}): Change => insert("sale", id, { total: "9.90", ...row });
const stock = (id: string, qty: number | null = 1): Change => insert("stock", id, { qty });
const tills = Array.from({ length: 12 }, (_, n) => lane(`till-${n}`));

/** Each till sells twice, with a message about stock between that touches no sale, and changes its second sale. */
function fill(desk: Desk, count: number): void {
  for (const [n, of] of tills.slice(0, count).entries())
    desk.receive(
      of,
      [sale(`S-${n}`)],
      [stock(`K-${n}`)],
      [sale(`T-${n}`), stock(`L-${n}`)],
      [{ table: "stock", op: "delete", key: { id: `L-${n}` }, before: { id: `L-${n}`, qty: 1 } }],
    );
}

test("a column that is gone pauses the route: no dead letters, no attempts, the rest flows, and all loads when it is back", async () => {
  await using centre = await Centre.open(SHOP);
  const desk = new Desk(centre.database, rules({ sale: {}, stock: {} }));
  centre.sql.exec("alter table sale rename column total to amount");
  fill(desk, 4);
  await desk.drain();
  expect([...desk.paused]).toEqual(["sale"]);
  for (const of of tills.slice(0, 4)) {
    // The delete follows what the held message makes.
    expect(desk.exceptions(of)).toEqual(["1 held COLUMN_UNKNOWN", "3 held COLUMN_UNKNOWN", "4 held behind 3"]);
    expect(desk.exception(of, 1)).toMatchObject({ attempts: 0, route: "sale" });
  }
  expect(centre.rows("select count(*) from stock")).toEqual([[4]]);
  // What comes later is not even tried.
  desk.receive(tills[0]!, [sale("U")]);
  await desk.drain();
  expect(desk.exception(tills[0]!, 5)).toMatchObject({ state: "held", fault: null, attempts: 0, route: "sale" });

  centre.sql.exec("alter table sale rename column amount to total");
  desk.paused.clear();
  for (const { known } of desk.lanes.values()) for (const each of known.values()) each.due ||= each.route !== null;
  await desk.drain();
  expect(tills.slice(0, 4).flatMap((of) => desk.exceptions(of))).toEqual([]);
  expect(centre.rows("select count(*) from sale")).toEqual([[9]]);
});

test("a probe that meets the same fault leaves the route paused and costs no attempt", async () => {
  await using centre = await Centre.open(SHOP);
  const desk = new Desk(centre.database, rules({ sale: {}, stock: {} }));
  centre.sql.exec("alter table sale rename column total to amount");
  fill(desk, 3);
  await desk.drain();
  desk.lane(tills[0]!).known.get(1)!.due = true; // the probe
  await desk.load(desk.claims());
  expect(desk.exception(tills[0]!, 1)).toMatchObject({ state: "held", attempts: 0, route: "sale" });
});

test("a transform that throws on many lanes pauses the route too", async () => {
  await using centre = await Centre.open(SHOP);
  let broken = true;
  const transform = (change: Change): Change => {
    if (broken) throw new TypeError("price is undefined");
    return change;
  };
  const desk = new Desk(centre.database, rules({ sale: { transform }, stock: {} }));
  fill(desk, 3);
  await desk.drain();
  expect(desk.reports.flatMap(({ tripped }) => tripped)).toMatchObject([{ route: "sale", fault: "TRANSFORM_FAILED" }]);
  broken = false;
  desk.paused.clear();
  for (const { known } of desk.lanes.values()) for (const each of known.values()) each.due ||= each.route !== null;
  await desk.drain();
  expect(tills.flatMap((of) => desk.exceptions(of))).toEqual([]);
});

test("faults of single messages pause nothing, however many lanes have some, while others of the table go through", async () => {
  await using centre = await Centre.open(SHOP);
  const desk = new Desk(centre.database, rules({ sale: {}, stock: {} }));
  for (const [n, of] of tills.entries())
    desk.receive(of, [stock(`K-${n}`)], [stock(`L-${n}`, null)], [stock(`M-${n}`)]);
  await desk.drain();
  expect(desk.paused.size).toBe(0);
  expect(tills.flatMap((of) => desk.exceptions(of))).toEqual(tills.map(() => "2 dead NULL_REFUSED"));
  expect(centre.rows("select count(*) from stock")).toEqual([[24]]);
});

test("one lane that knows a column the centre lacks pauses nobody", async () => {
  await using centre = await Centre.open(SHOP);
  const desk = new Desk(centre.database, rules({ sale: {}, stock: {} }));
  desk.receive(tills[0]!, ...Array.from({ length: 5 }, (_, n) => [sale(`S-${n}`, { colour: "red" })]));
  desk.receive(tills[1]!, [sale("T")]);
  await desk.load(desk.claims());
  expect(desk.paused.size).toBe(0);
  expect(desk.exceptions(tills[0]!)).toHaveLength(5);
  expect(centre.rows("select id from sale")).toEqual([["T"]]);
});

/** Lanes come one by one, as they do when each has a batch of its own. */
async function drainSingly(desk: Desk): Promise<void> {
  for (let claims = desk.claims(); claims.length > 0; claims = desk.claims()) await desk.load(claims.slice(0, 1));
}

test("lanes that come one batch after the other pause the route too, and those refused before it follow at their next try", async () => {
  await using centre = await Centre.open(SHOP);
  const desk = new Desk(centre.database, rules({ sale: {}, stock: {} }));
  centre.sql.exec("alter table sale rename column total to amount");
  for (const [n, of] of tills.entries()) desk.receive(of, [sale(`S-${n}`)]);
  await drainSingly(desk);
  expect(desk.reports.flatMap(({ tripped }) => tripped)).toHaveLength(1);
  expect(tills.slice(0, 2).map((of) => desk.exception(of, 1).state)).toEqual(["retrying", "retrying"]);
  expect(tills.slice(2).map((of) => desk.exception(of, 1))).toMatchObject(
    tills.slice(2).map(() => ({ state: "held", attempts: 0, route: "sale" })),
  );
  for (const of of tills.slice(0, 2)) desk.lane(of).known.get(1)!.due = true;
  await drainSingly(desk);
  expect(desk.exception(tills[0]!, 1)).toMatchObject({ state: "held", attempts: 1, route: "sale" });
});

test("what single lanes are refused for is forgotten while the table's messages of others go through", async () => {
  await using centre = await Centre.open(SHOP);
  const desk = new Desk(centre.database, rules({ sale: {}, stock: {} }));
  for (const [n, of] of tills.entries()) {
    desk.receive(of, [sale(`S-${n}`, n % 3 === 0 ? { colour: "red" } : {})]);
    await drainSingly(desk);
  }
  expect(desk.paused.size).toBe(0);
  expect(centre.rows("select count(*) from sale")).toEqual([[8]]);
});

test("a fault that only some terminals have pauses the route no more, once a message went through that never met it", async () => {
  await using centre = await Centre.open(SHOP);
  const desk = new Desk(centre.database, rules({ sale: {}, stock: {} }));
  for (const [n, of] of tills.slice(0, 3).entries()) desk.receive(of, [sale(`S-${n}`, { colour: "red" })]);
  await desk.drain();
  expect([...desk.paused]).toEqual(["sale"]);
  desk.receive(tills[3]!, [sale("T")]);
  await desk.drain();
  desk.lane(tills[3]!).known.get(1)!.due = true; // the probe
  await desk.load(desk.claims());
  expect(centre.rows("select id from sale")).toEqual([["T"]]);
  desk.paused.clear();
  for (const { known } of desk.lanes.values()) for (const each of known.values()) each.due = true;
  await desk.load(desk.claims());
  expect(desk.paused.size).toBe(0);
  expect(tills.slice(0, 3).map((of) => desk.exception(of, 1).state)).toEqual(["retrying", "retrying", "retrying"]);
});
