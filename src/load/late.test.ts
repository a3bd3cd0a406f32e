import { describe, expect, test } from "vitest";
import type { Change, Row } from "../message/change.ts";
import { Centre, Desk, lane, rules, STRIDE } from "./load.test-kit.ts";

const DDL = `
  create table sale (id text primary key, total text not null, state text, check (state is null or state <> 'bad'));
  create table audit (id text primary key, of text not null);`;
const till = lane("till-1");
const other = lane("till-2");
const insert = (id: string, more: Row = {}): Change => ({
  table: "sale",
  op: "insert",
  key: { id },
  row: { id, total: "9.90", state: null, ...more },
});
const update = (id: string, before: Row, row: Row): Change => {
  const old = { id, total: "9.90", state: null, ...before };
  return { table: "sale", op: "update", key: { id }, before: old, row: { ...old, ...row } };
};
const upsert = (id: string, more: Row = {}): Change => ({ ...insert(id, more), op: "upsert" });

test("a late update that another lane has overtaken is dead, with both values", async () => {
  await using centre = await Centre.open(DDL);
  const desk = new Desk(centre.database, rules({ sale: {} }));
  desk.receive(
    till,
    [insert("S-1")],
    [update("S-1", {}, { state: "bad" })],
    [update("S-1", { state: "bad" }, { state: "bad", total: "5.00" })],
  );
  await desk.drain();
  desk.receive(other, [update("S-1", {}, { total: "7.00" })]);
  await desk.drain();
  desk.requeue(till, 2, [update("S-1", {}, { state: "paid" })]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual(["3 dead CONFLICT_DETECTED"]);
  expect(desk.exception(till, 3).detail).toBe("sale id=S-1: total: centre 7.00, before 9.90, after 5.00");
  expect(centre.rows("select total, state from sale")).toEqual([["7.00", "paid"]]);
});

test("a late message is tried again and again, waits grow, and at the last attempt it is dead", async () => {
  await using centre = await Centre.open(
    `create table child (id text primary key, parent text references child (id));`,
  );
  const desk = new Desk(centre.database, rules({ child: {} }));
  desk.receive(till, [{ table: "child", op: "insert", key: { id: "c" }, row: { id: "c", parent: "p" } }]);
  const told = async (): Promise<unknown> => {
    await desk.drain();
    const { state, attempts, retryInMs } = desk.exception(till, 1);
    desk.requeue(till, 1);
    return [state, attempts, retryInMs];
  };
  expect(await told()).toEqual(["retrying", 1, 750]);
  expect(await told()).toEqual(["retrying", 2, 1500]);
  expect(await told()).toEqual(["dead", 3, null]);
  centre.sql.exec("insert into child values ('p', null)");
  await desk.drain();
  expect(desk.exceptions(till)).toEqual([]);
});

test("a child whose parent comes in a message that waits behind the child's own is loaded together with it", async () => {
  await using centre = await Centre.open(`
    create table item (id text primary key, name text);
    create table line (id text primary key, item text not null references item (id));`);
  const desk = new Desk(centre.database, rules({ item: {}, line: {} }));
  const item = (op: "insert" | "upsert", id: string): Change => ({
    table: "item",
    op,
    key: { id },
    row: { id, name: id },
  });
  const line = (id: string, of: string): Change => ({
    table: "line",
    op: "insert",
    key: { id },
    row: { id, item: of },
  });
  desk.receive(till, [item("insert", "new"), line("L-1", "old"), line("L-2", "new")]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual(["1 retrying PARENT_MISSING"]);
  // The second sale misses its parent too, and the page waits behind both.
  desk.receive(till, [item("insert", "newer"), line("L-4", "old")]);
  desk.receive(till, [item("upsert", "new"), item("upsert", "newer"), item("insert", "old")], [line("L-3", "old")]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual([
    "1 retrying PARENT_MISSING",
    "2 retrying PARENT_MISSING",
    "3 held behind 1",
    "4 held behind 3",
  ]);
  desk.requeue(till, 1);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual([]);
  expect(centre.rows("select id, item from line order by id")).toEqual([
    ["L-1", "old"],
    ["L-2", "new"],
    ["L-3", "old"],
    ["L-4", "old"],
  ]);
});

test("such a child is loaded with its parent also where rows that are there already are kept", async () => {
  await using centre = await Centre.open(`
    create table item (id text primary key, name text);
    create table line (id text primary key, item text not null references item (id));`);
  const desk = new Desk(centre.database, rules({ item: { onExisting: "keep" }, line: {} }));
  const item = (op: "insert" | "upsert", id: string): Change => ({
    table: "item",
    op,
    key: { id },
    row: { id, name: op },
  });
  const line = (id: string, of: string): Change => ({
    table: "line",
    op: "insert",
    key: { id },
    row: { id, item: of },
  });
  desk.receive(till, [item("insert", "new"), line("L-1", "old")]);
  await desk.drain();
  desk.receive(till, [item("upsert", "new"), item("insert", "old")]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual(["1 retrying PARENT_MISSING", "2 held behind 1"]);
  desk.requeue(till, 1);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual([]);
  expect(centre.rows("select id, name from item order by id")).toEqual([
    ["new", "insert"],
    ["old", "insert"],
  ]);
});

const ITEMS = `
  create table item (id text primary key, name text);
  create table line (id text primary key, item text not null references item (id));`;
const item = (op: "insert" | "upsert" | "update", id: string, name = "first"): Change => ({
  table: "item",
  op,
  key: { id },
  row: { id, name },
  ...(op === "update" ? { before: { id, name: "first" } } : {}),
});
const line = (id: string, of: string): Change => ({ table: "line", op: "insert", key: { id }, row: { id, item: of } });

test("a page that brings a parent goes ahead without the rows that open messages make, and none of them is lost", async () => {
  await using centre = await Centre.open(ITEMS);
  const desk = new Desk(centre.database, rules({ item: {}, line: {} }));
  desk.receive(till, [item("insert", "new"), line("L-1", "old"), line("L-2", "older")]);
  desk.receive(till, [item("update", "new", "second")]);
  await desk.drain();
  // The first page brings one of its parents, the second none, the third the other.
  desk.receive(till, [item("upsert", "new", "second"), item("upsert", "old")]);
  desk.receive(till, [item("upsert", "new", "second"), item("upsert", "of nobody")]);
  await desk.drain();
  expect(desk.events.filter((event) => event.startsWith("rows left out"))).toEqual([`rows left out ${till} 3–3`]);
  const waiting = ["1 retrying PARENT_MISSING", "2 held behind 1", "4 held behind 1"];
  expect(desk.exceptions(till)).toEqual(waiting);
  desk.receive(till, [item("upsert", "older"), item("upsert", "new", "second")]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual(waiting);
  expect(centre.rows("select id from item order by id")).toEqual([["old"], ["older"]]);
  desk.requeue(till, 1);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual([]);
  expect(centre.rows("select id, name from item order by id")).toEqual([
    ["new", "second"],
    ["of nobody", "first"],
    ["old", "first"],
    ["older", "first"],
  ]);
});

describe("a sum does not begin with a count that holds what an open message is yet to add", () => {
  const take = (was: number, is: number, id = "tea"): Change => {
    const row = (on_hand: number) => ({ id, till: "till-1", on_hand });
    return { table: "stock", op: "update", key: { id }, before: row(was), row: row(is) };
  };
  async function scene(): Promise<AsyncDisposable & { readonly desk: Desk; readonly count: () => unknown }> {
    const centre = await Centre.open(`${ITEMS} create table stock (id text primary key, till text, on_hand integer);`);
    const sums = { policy: "add", columns: ["on_hand"] } as const;
    const owner = { column: "till", is: "terminal" } as const;
    const retry = { attempts: 10, firstMs: 1, factor: 1, capMs: 1, jitter: 0, codes: null };
    const given = rules({ item: {}, line: {}, stock: { conflict: sums, owner } }, { retry });
    const desk = new Desk(centre.database, given);
    const count = (): unknown => centre.rows("select on_hand from stock")[0]?.[0];
    return { desk, count, [Symbol.asyncDispose]: () => centre[Symbol.asyncDispose]() };
  }
  const drainOf = async (desk: Desk, ...due: readonly number[]): Promise<void> => {
    await desk.drain();
    for (const number of due) {
      desk.requeue(till, number);
      await desk.drain();
    }
  };

  test("that came before it", async () => {
    await using s = await scene();
    s.desk.receive(till, [line("L-1", "old"), take(10, 9)]);
    await s.desk.drain();
    s.desk.receive(till, [take(9, 7)], [{ ...take(8, 7), op: "upsert" }]);
    await s.desk.drain();
    expect(s.desk.exceptions(till)).toEqual(["1 retrying PARENT_MISSING", "2 held behind 1", "3 held behind 1"]);
    s.desk.receive(till, [item("insert", "old")]);
    await drainOf(s.desk, 1);
    expect(s.desk.exceptions(till)).toEqual([]);
    expect(s.count()).toBe(7);
  });

  test("that came with it", async () => {
    await using s = await scene();
    s.desk.receive(till, [line("L-1", "old"), take(10, 9)], [take(9, 7)], [take(7, 4)]);
    await s.desk.drain();
    expect(s.desk.exceptions(till)).toEqual(["1 retrying PARENT_MISSING", "2 held behind 1", "3 held behind 1"]);
    s.desk.receive(till, [item("insert", "old")]);
    await drainOf(s.desk, 1);
    expect(s.desk.exceptions(till)).toEqual([]);
    expect(s.count()).toBe(4);
  });

  test("when a child is loaded together with the page that holds its parent", async () => {
    await using s = await scene();
    s.desk.receive(till, [line("L-1", "later"), take(10, 9)]);
    s.desk.receive(till, [line("L-2", "old"), take(9, 7), take(6, 5, "milk")]);
    s.desk.receive(till, [{ ...take(5, 5, "milk"), op: "upsert" }, item("upsert", "old")]);

    await drainOf(s.desk, 2);
    expect(s.desk.exceptions(till)).toContain("1 retrying PARENT_MISSING");
    s.desk.receive(till, [item("insert", "later")]);
    await drainOf(s.desk, 1);
    expect(s.desk.exceptions(till)).toEqual([]);
    expect(s.count()).toBe(7);
  });
});

test("a page waits behind a message that only changes one of its rows: the change alone could not make it", async () => {
  await using centre = await Centre.open(ITEMS);
  const desk = new Desk(centre.database, rules({ item: {}, line: {} }));
  desk.receive(till, [item("update", "changed", "second"), line("L-1", "old")]);
  await desk.drain();
  desk.receive(till, [item("upsert", "changed", "second"), item("upsert", "old")]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual(["1 retrying PARENT_MISSING", "2 held behind 1"]);
});

test("a late message that still waits behind another costs no attempt", async () => {
  await using centre = await Centre.open(DDL);
  const desk = new Desk(centre.database, rules({ sale: {} }));
  desk.receive(
    till,
    [insert("S-1", { state: "bad" })],
    [insert("S-2", { state: "bad" })],
    [
      update("S-1", { state: "bad" }, { state: "bad", total: "1.00" }),
      update("S-2", { state: "bad" }, { state: "bad", total: "1.00" }),
    ],
  );
  await desk.drain();
  expect(desk.exceptions(till)[2]).toBe("3 held behind 1");
  desk.requeue(till, 1, [insert("S-1")]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual(["2 dead CHECK_VIOLATED", "3 held behind 2"]);
  expect(desk.exception(till, 3).attempts).toBe(0);
});

test("an edit that touches rows later messages touched is refused; one that touches free rows is loaded", async () => {
  await using centre = await Centre.open(DDL);
  const desk = new Desk(centre.database, rules({ sale: {} }));
  desk.receive(till, [insert("S-1", { state: "bad" })], [upsert("S-7")], [insert("S-2")]);
  await desk.drain();
  desk.requeue(till, 1, [insert("S-1"), upsert("S-7", { total: "0.00" })]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual(["1 dead SETS_CHANGED"]);
  expect(desk.exception(till, 1).detail).toBe("it touches ~sale id=S-7 now, which message 2 touched after it");
  desk.requeue(till, 1, [insert("S-1"), upsert("S-8")]);
  await desk.drain();
  expect(desk.exceptions(till)).toEqual([]);
  expect(centre.rows("select id, total from sale order by id")).toEqual([
    ["S-1", "9.90"],
    ["S-2", "9.90"],
    ["S-7", "9.90"],
    ["S-8", "9.90"],
  ]);
});

test("a transform deployed since that touches more rows is refused too when they are taken", async () => {
  await using centre = await Centre.open(DDL);
  const before = new Desk(centre.database, rules({ sale: {}, audit: {} }));
  before.receive(
    till,
    [insert("S-1", { state: "bad" })],
    [{ table: "audit", op: "insert", key: { id: "S-1" }, row: { id: "S-1", of: "till" } }],
  );
  await before.drain();
  const transform = (change: Change): Change[] => [
    change,
    { table: "audit", op: "upsert", key: change.key, row: { ...change.key, of: "hub" } },
  ];
  const after = new Desk(centre.database, rules({ sale: { transform }, audit: {} }));
  after.lanes.set(till, before.lane(till));
  after.requeue(till, 1, [insert("S-1")]);
  await after.drain();
  expect(after.exceptions(till)).toEqual(["1 dead SETS_CHANGED"]);
  expect(centre.rows("select of from audit")).toEqual([["till"]]);
});

test("an exception that the ledger learned of from the centre alone holds up only what its line touches", async () => {
  await using centre = await Centre.open(DDL);
  const desk = new Desk(centre.database, rules({ sale: {} }));
  desk.receive(till, [insert("S-1", { state: "bad" })]);
  await desk.drain();
  desk.receive(till, [update("S-1", {}, { total: "1.00" })], [insert("S-2")]);
  const { known } = desk.lane(till);
  known.set(1, { ...known.get(1)!, sets: null });
  desk.lane(till).fence++; // another worker had the lane meanwhile
  await desk.load(desk.claims());
  expect(desk.exceptions(till)).toEqual(["1 dead CHECK_VIOLATED", "2 held behind 1"]);
  expect(centre.rows("select id from sale")).toEqual([["S-2"]]);
});

test("a discarded message is given up at the centre, and those behind it go on", async () => {
  await using centre = await Centre.open(DDL);
  const desk = new Desk(centre.database, rules({ sale: {} }));
  desk.receive(till, [insert("S-1", { state: "bad" })], [upsert("S-1", { state: "bad" })]);
  await desk.drain();
  const { version } = desk.lane(till);
  desk.discard(till, 1);
  await desk.load(desk.claims());
  expect(desk.lane(till).version).toBe(version + STRIDE);
  expect(desk.exception(till, 1)).toMatchObject({ state: "discarded", detail: "a test sale" });
  await desk.drain();
  expect(desk.exceptions(till)[1]).toBe("2 dead CHECK_VIOLATED"); // free to be tried, and as bad as the first
  desk.requeue(till, 2, [upsert("S-1")]);
  await desk.drain();
  expect(centre.rows("select id from sale")).toEqual([["S-1"]]);
  expect(centre.passed()).toEqual([[till, 1, "discarded"]]);
});

test("when a lane is replayed, an exception just above the watermark takes the watermark with it", async () => {
  await using centre = await Centre.open(DDL);
  const desk = new Desk(centre.database, rules({ sale: {} }));
  desk.receive(till, [insert("S-1")], [insert("S-2")], [insert("S-3")]);
  await desk.load(desk.claims(1));
  const [claim] = desk.claims();
  const open = { lane: till, seq: 2 as never, state: "received", fault: null, attempts: 1, sets: null } as const;
  const unknown = { detail: "", retryInMs: null, behind: null, route: null, tables: [], due: true, revision: null };
  desk.lane(till).known.set(2, { ...open, ...unknown, state: "retrying", order: { verb: "load" } });
  const report = await desk.loader.load([
    {
      ...claim!,
      from: 2 as never,
      through: 1 as never,
      open: "",
      late: [{ ...open, order: { verb: "load" }, probe: false, revision: null }],
    },
  ]);
  expect(report.outcomes[0]).toMatchObject({ closed: [2], loadedThrough: 1 });
  expect(centre.rows("select loaded_through from waybill_lane")).toEqual([[2]]);
});
