import { describe, expect, test } from "vitest";
import type { Change, Row } from "../message/change.ts";
import { Centre, Desk, lane, rules, STRIDE } from "./load.test-kit.ts";

const SHOP = `
  create table store (id integer primary key, name text not null);
  create table item (sku text primary key, price text not null, qty integer not null check (qty > -1000000));
  create table sale (id text primary key, store integer not null references store (id), total text not null, state text,
    check (state is null or state <> 'bad'));
  create table line (sale text not null references sale (id) on delete restrict, n integer not null, sku text not null references item (sku),
    primary key (sale, n));
  insert into store values (1, 'Nord'), (2, 'Süd');
  insert into item values ('a', '1.00', 100), ('b', '2.00', 100);`;
const ADD = { conflict: { policy: "add", columns: ["qty"] } } as const;
const SHOP_RULES = rules({ store: {}, item: ADD, sale: {}, line: {} });

const insert = (table: string, key: Row, row: Row): Change => ({ table, op: "insert", key, row: { ...key, ...row } });
const update = (table: string, key: Row, before: Row, row: Row): Change => ({
  table,
  op: "update",
  key,
  before: { ...key, ...before },
  row: { ...key, ...row },
});
const remove = (table: string, key: Row, before: Row): Change => ({
  table,
  op: "delete",
  key,
  before: { ...key, ...before },
});
const sale = (id: string, more: Row = {}): Change =>
  insert("sale", { id }, { store: 1, total: "9.90", state: null, ...more });
const line = (of: string, n: number, sku = "a"): Change => insert("line", { sale: of, n }, { sku });
const stock = (sku: string, from: number, to: number, price = "1.00"): Change =>
  update("item", { sku }, { price, qty: from }, { price, qty: to });

const till = lane("till-1");
const other = lane("till-2");

describe("the loader", () => {
  test("loads the messages of several lanes in one transaction and moves their watermarks", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    desk.receive(till, [sale("S-1"), line("S-1", 1), line("S-1", 2, "b")], [sale("S-2")]);
    desk.receive(other, [sale("S-3", { store: 2 })]);
    const report = await desk.load(desk.claims());
    expect(report.changes).toBe(5);
    expect(
      report.outcomes.map(({ lane: of, loadedThrough, version, lagMs }) => [of, loadedThrough, version, lagMs]),
    ).toEqual([
      [till, 2, STRIDE, 2000],
      [other, 1, STRIDE, 2000],
    ]);
    expect(centre.rows("select id, store from sale order by id")).toEqual([
      ["S-1", 1],
      ["S-2", 1],
      ["S-3", 2],
    ]);
    expect(centre.rows("select lane, loaded_through, version from waybill_lane order by lane")).toEqual([
      [till, 2, STRIDE],
      [other, 1, STRIDE],
    ]);
  });

  test("a refused message is isolated, what needs its rows is held, all else is loaded in the same pass", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    desk.receive(
      till,
      [sale("S-1")],
      [sale("S-2", { state: "bad" }), line("S-2", 1), stock("a", 100, 90)],
      [update("sale", { id: "S-2" }, { total: "9.90" }, { total: "1.00" })], // the same row
      [sale("S-3"), stock("a", 90, 80)], // sums commute, and both only name the store
      [line("S-2", 9)], // needs the row that message 2 creates
      [sale("S-4")],
    );
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual(["2 dead CHECK_VIOLATED", "3 held behind 2", "5 held behind 2"]);
    expect(centre.rows("select id from sale order by id")).toEqual([["S-1"], ["S-3"], ["S-4"]]);
    expect(centre.rows("select qty from item where sku = 'a'")).toEqual([[90]]);
    expect(centre.passed()).toEqual([
      [till, 2, "dead"],
      [till, 3, "held"],
      [till, 5, "held"],
    ]);
    expect(desk.exception(till, 5).behind).toEqual({ lane: till, seq: 2, on: "sale id=S-2" });

    desk.requeue(till, 2, [sale("S-2"), line("S-2", 1), stock("a", 100, 90)]);
    await desk.drain();
    expect(desk.exceptions(till)).toEqual([]);
    expect(centre.passed()).toEqual([]);
    expect(centre.rows("select total from sale where id = 'S-2'")).toEqual([["1.00"]]);
    expect(centre.rows("select n from line where sale = 'S-2' order by n")).toEqual([[1], [9]]);
    expect(centre.rows("select qty from item where sku = 'a'")).toEqual([[80]]);
  });

  test("a lane whose version has moved drops out with the centre's words, and the others go on", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    desk.receive(till, [sale("S-1", { state: "bad" })], [sale("S-2")]);
    desk.receive(other, [sale("S-3")]);
    const [stale, fresh] = desk.claims();
    await desk.loader.load([stale!]); // another worker was first
    const report = await desk.load([stale!, fresh!]);
    expect(report.outcomes.map(({ lane: of }) => of)).toEqual([other]);
    expect(report.moved).toEqual([
      {
        lane: till,
        fence: 1,
        loadedThrough: 2,
        version: STRIDE,
        passed: [{ lane: till, seq: 1, state: "dead", fault: "CHECK_VIOLATED", attempts: 1 }],
      },
    ]);
    expect(centre.rows("select count(*) from sale")).toEqual([[2]]);
  });

  test("a deleted parent waits for the message that still names it", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    desk.receive(till, [sale("S-1", { store: 2, state: "bad" })], [remove("store", { id: 2 }, { name: "Süd" })]);
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual(["1 dead CHECK_VIOLATED", "2 held behind 1"]);
    desk.discard(till, 1);
    await desk.drain();
    expect(desk.exceptions(till)).toEqual(["1 discarded CHECK_VIOLATED"]);
    expect(centre.passed()).toEqual([[till, 1, "discarded"]]);
    expect(centre.rows("select id from store")).toEqual([[1]]);
  });

  test("a parent that a waiting update still names at the centre is not deleted before it", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    const before = { store: 2, total: "9.90", state: null };
    desk.receive(till, [sale("S-1", { store: 2 })]);
    await desk.drain();
    desk.receive(
      till,
      [update("sale", { id: "S-1" }, before, { ...before, store: 1, state: "bad" })],
      [remove("store", { id: 2 }, { name: "Süd" })],
    );
    await desk.drain();
    expect(desk.exceptions(till)).toEqual(["2 dead CHECK_VIOLATED", "3 held behind 2"]);
  });

  test("a parent made again after a delete that waits is not used before it", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    desk.receive(
      till,
      [sale("S-0", { state: "bad" }), remove("store", { id: 2 }, { name: "Süd" })],
      [insert("store", { id: 2 }, { name: "Neu" })],
      [sale("S-1", { store: 2 })], // the old store 2 is still there; with this child it could never go
    );
    await desk.drain();
    expect(desk.exceptions(till)).toEqual(["1 dead CHECK_VIOLATED", "2 held behind 1", "3 held behind 1"]);
    desk.requeue(till, 1, [remove("store", { id: 2 }, { name: "Süd" })]);
    await desk.drain();
    expect(desk.exceptions(till)).toEqual([]);
    expect(centre.rows("select name from store where id = 2")).toEqual([["Neu"]]);
  });

  test("a broken line and a refused value are dead letters, and the lane goes on", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    desk.receive(
      till,
      "{ broken",
      '{"seq":2,"refused":"VALUE_TOO_LARGE","table":"sale","key":{"id":"S-9"}}',
      [sale("S-9")],
      [sale("S-1")],
    );
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual(["1 dead PAYLOAD_UNREADABLE", "2 dead VALUE_TOO_LARGE", "3 held behind 2"]);
    expect(centre.rows("select id from sale")).toEqual([["S-1"]]);
  });

  test("a message in parts is loaded as one transaction, and refused as one", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    const part = (n: number): Change[] => [line("S-1", 2 * n), line("S-1", 2 * n + 1)];
    desk.receive(till, [sale("S-0")]);
    desk.receiveInParts(till, [[sale("S-1")], part(1), part(2), part(3), part(4)]);
    desk.receiveInParts(till, [[sale("S-2")], [line("S-2", 1)], [line("S-2", 2, "unknown")]]);
    desk.receive(till, [line("S-2", 7)], [sale("S-3")]);
    await desk.drain();
    expect(centre.rows("select count(*) from line where sale = 'S-1'")).toEqual([[8]]);
    expect(centre.rows("select id from sale order by id")).toEqual([["S-0"], ["S-1"], ["S-3"]]);
    expect(desk.exceptions(till)).toEqual(["3 retrying PARENT_MISSING", "4 held behind 3"]);
    centre.sql.exec("insert into item values ('unknown', '3.00', 1)");
    desk.requeue(till, 3);
    await desk.drain();
    expect(desk.exceptions(till)).toEqual([]);
    expect(centre.rows("select count(*) from line where sale = 'S-2'")).toEqual([[3]]);
  });

  test("a commit refused by a deferred constraint is split down to the message at fault", async () => {
    await using centre = await Centre.open(`
      create table parent (id integer primary key);
      create table child (id integer primary key, parent integer references parent (id) deferrable initially deferred);
      insert into parent values (1);`);
    const desk = new Desk(centre.database, rules({ parent: {}, child: {} }));
    const child = (id: number, parent: number): Change => insert("child", { id }, { parent });
    for (let n = 1; n <= 18; n++) desk.receive(till, [child(n, n === 5 ? 99 : 1)]);
    desk.receive(till, [update("child", { id: 5 }, { parent: 99 }, { parent: 1 })], [child(20, 1)]);
    desk.receive(other, [child(100, 1)]);
    // The update alone would mend the row, were the two not tried apart.
    await desk.drain(18);
    expect(desk.exceptions(till)).toEqual(["5 retrying PARENT_MISSING", "19 held behind 5"]);
    expect(centre.rows("select count(*) from child")).toEqual([[19]]);
    expect(centre.passed()).toEqual([
      [till, 5, "retrying"],
      [till, 19, "held"],
    ]);
    expect(desk.lane(till).loaded).toBe(20);

    desk.requeue(till, 5);
    desk.receive(till, [child(21, 1)]);
    await desk.load(desk.claims());
    // Now what waits behind it is given along with it, and at the commit, where the constraint counts, both are right.
    expect(desk.exceptions(till)).toEqual([]);
    expect(centre.rows("select count(*) from child")).toEqual([[21]]);
    expect(centre.rows("select parent from child where id = 5")).toEqual([[1]]);
  });

  test("what waits behind a message that the commit refused is held in the other half of the split too", async () => {
    await using centre = await Centre.open(`
      create table child (id integer primary key, parent integer references child (id) deferrable initially deferred, note text);`);
    const desk = new Desk(centre.database, rules({ child: {} }));
    desk.receive(
      till,
      [insert("child", { id: 1 }, { parent: 99, note: "" })],
      [insert("child", { id: 2 }, { parent: null, note: "" })],
      [update("child", { id: 1 }, { parent: 99, note: "" }, { parent: 99, note: "x" })],
    );
    await desk.drain();
    expect(desk.exceptions(till)).toEqual(["1 retrying PARENT_MISSING", "3 held behind 1"]);
    expect(centre.rows("select id from child")).toEqual([[2]]);
  });

  test("a message alone that lost three workers is dead without being tried", async () => {
    await using centre = await Centre.open(SHOP);
    let planned = 0;
    const desk = new Desk(centre.database, rules({ sale: { transform: (change) => (planned++, change) } }));
    desk.receive(till, [sale("S-1")], [update("sale", { id: "S-1" }, { total: "9.90" }, { total: "1.00" })]);
    await desk.load(desk.claims(1).map((claim) => ({ ...claim, unsettled: 3 })));
    expect(planned).toBe(0);
    await desk.drain();
    expect(desk.exceptions(till)).toEqual(["1 dead WORKER_LOST", "2 held behind 1"]);
  });

  test("a lane stops at maxOpen and says so once", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, rules({ sale: {} }, { maxOpen: 3 }));
    for (let n = 1; n <= 10; n++) desk.receive(till, [sale(`S-${n}`, { state: "bad" })]);
    await desk.load(desk.claims());
    expect(desk.lane(till).loaded).toBe(3);
    expect(desk.events).toEqual([`lane stopped ${till} 4–10`]);
    await desk.load(desk.claims());
    expect(desk.lane(till)).toMatchObject({ loaded: 3, version: STRIDE });
    expect(desk.events).toHaveLength(1);
    desk.discard(till, 1);
    await desk.load(desk.claims());
    await desk.load(desk.claims());
    expect(desk.lane(till).loaded).toBe(4);
  });

  test("of 1,000 messages one is refused: exactly what needs its rows is held, and all follow in order once it is mended", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, SHOP_RULES);
    const poison = 137;
    const waiting: number[] = [];
    let qty = 100;
    let total = "9.90";
    for (let n = 1; n <= 1000; n++) {
      const changes = [
        sale(`S-${n}`, n === poison ? { state: "bad" } : {}),
        line(`S-${n}`, 1),
        stock("a", qty, (qty -= 1)),
      ];
      if (n > poison && n % 50 === 0) {
        changes.push(
          n % 100 === 0
            ? line(`S-${poison}`, n)
            : update("sale", { id: `S-${poison}` }, { total }, { total: (total = `${n}.00`) }),
        );
        waiting.push(n);
      }
      desk.receive(till, changes);
    }
    await desk.load(desk.claims());
    const expected = [`${poison} dead CHECK_VIOLATED`, ...waiting.map((n) => `${n} held behind ${poison}`)];
    expect(desk.exceptions(till)).toEqual(expected);
    expect(centre.rows("select qty from item where sku = 'a'")).toEqual([[100 - 1000 + 1 + waiting.length]]);
    expect(centre.rows("select count(*) from sale")).toEqual([[1000 - 1 - waiting.length]]);

    desk.requeue(till, poison, [sale(`S-${poison}`), line(`S-${poison}`, 1), stock("a", 0, -1)]);
    await desk.drain();
    expect(desk.exceptions(till)).toEqual([]);
    expect(centre.rows("select qty from item where sku = 'a'")).toEqual([[-900]]);
    expect(centre.rows(`select total from sale where id = 'S-${poison}'`)).toEqual([["950.00"]]);
  });
});
