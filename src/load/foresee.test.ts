import { describe, expect, test } from "vitest";
import type { Database, LoadTransaction } from "../database/port.ts";
import type { Change, Row } from "../message/change.ts";
import { Centre, Desk, lane, rules } from "./load.test-kit.ts";

const till = lane("till-1");
const other = lane("till-2");
const insert = (table: string, row: Row): Change => ({ table, op: "insert", key: { id: row["id"] ?? null }, row });

const SHOP = `
  create table store (id text primary key);
  create table sale (id text primary key, store text not null references store (id), receipt integer unique);
  insert into store values ('s')`;
const RULES = rules(
  { store: {}, sale: {} },
  { retry: { attempts: 1, firstMs: 1, factor: 1, capMs: 1, jitter: 0, codes: null } },
);

/** The database with the number of effects of each call, and the values looked up; `present` may be made to lie. */
function watched(database: Database, present?: LoadTransaction["present"]) {
  const seen = { applied: [] as number[], each: [] as number[], looked: 0, asked: [] as string[] };
  const transaction: Database["load"]["transaction"] = (work, patience) =>
    database.load.transaction((tx) => {
      const watching: LoadTransaction = {
        moveLanes: (to) => tx.moveLanes(to),
        pass: (rows) => tx.pass(rows),
        unpass: (name, numbers) => tx.unpass(name, numbers),
        current: (table, keys) => tx.current(table, keys),
        present: (name, columns, values) => {
          seen.looked++;
          seen.asked.push(...values.map((row) => `${name} ${columns.map((column) => String(row[column])).join()}`));
          return (present ?? tx.present.bind(tx))(name, columns, values);
        },
        attempt: (inner) => tx.attempt(inner),
        moveCursor: (from, to) => tx.moveCursor(from, to),
        applyEach: (lists) => {
          seen.each.push(lists.length);
          seen.applied.push(...lists.map(({ length }) => length));
          return tx.applyEach(lists);
        },
        apply: (effects) => {
          seen.applied.push(effects.length);
          return tx.apply(effects);
        },
      };
      return work(watching);
    }, patience);
  return { database: { describe: () => database.describe(), load: { ...database.load, transaction } }, seen };
}

/** Sales of which every tenth names a store that is not there, and every tenth a receipt that is taken. */
function receiveStorm(desk: Desk, from: number, count: number): void {
  for (let n = from; n < from + count; n++) {
    const store = n % 10 === 3 ? "nowhere" : "s";
    const receipt = n % 10 === 7 ? n - 1 : n;
    desk.receive(n % 20 < 10 ? till : other, [insert("sale", { id: `S-${n}`, store, receipt })]);
  }
}
const faults = (desk: Desk): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const name of [till, other])
    for (const line of desk.exceptions(name)) {
      const what = line.slice(line.indexOf(" ") + 1);
      counts[what] = (counts[what] ?? 0) + 1;
    }
  return counts;
};

describe("a loader that was refused something", () => {
  test("keeps the order of those it puts off, one after the other, though each adds to a sum", async () => {
    await using centre = await Centre.open(`
      create table a (id text primary key, state text check (state <> 'bad')) strict;
      create table x (id text primary key, state text check (state <> 'bad')) strict;
      create table t (id text primary key) strict;
      create trigger t_watch before insert on t when new.id = 'bad' begin select raise(abort, 'no'); end;
      create table stock (id text primary key, qty integer) strict`);
    const sums = { conflict: { policy: "add", columns: ["qty"] } } as const;
    const desk = new Desk(centre.database, rules({ a: {}, x: {}, t: {}, stock: sums }, { retry: RULES.retry }));
    const sells = (was: number): Change => ({
      table: "stock",
      op: "update",
      key: { id: "q" },
      before: { id: "q", qty: was },
      row: { id: "q", qty: was - 1 },
    });
    desk.receive(
      till,
      [insert("a", { id: "1", state: "bad" })],
      [insert("t", { id: "1" }), sells(10)],
      [insert("x", { id: "1", state: "bad" })],
      [{ table: "stock", op: "delete", key: { id: "z" } }],
      [insert("stock", { id: "z", qty: 1 })],
      [insert("x", { id: "2" }), sells(9)],
    );
    await desk.drain();
    expect(centre.rows("select qty from stock where id = 'q'")).toEqual([[8]]);
  });

  test("is startled by the first refusal: it looks at everything, and writes last what triggers judge", async () => {
    await using centre = await Centre.open(`${SHOP};
      create table article (id text primary key);
      create table line (id text primary key, article text not null references article (id));
      create table payout (id text primary key, sale text not null references sale (id), amount integer not null);
      create trigger payout_limit before insert on payout when new.amount > 10
        begin select raise(abort, 'too much'); end;
      insert into article values ('a')`);
    const { database, seen } = watched(centre.database);
    const tables = { store: {}, sale: {}, line: {}, payout: {} };
    const desk = new Desk(database, rules(tables, { retry: RULES.retry }));
    const receive = (from: number): void => {
      for (let n = from; n < from + 100; n++) {
        const article = n % 10 === 3 ? "none such" : "a";
        const rows = [
          insert("sale", { id: `S-${n}`, store: "s", receipt: n % 10 === 7 ? n - 1 : n }),
          insert("line", { id: `L-${n}`, article }),
        ];
        if (n % 5 === 0) rows.push(insert("payout", { id: `P-${n}`, sale: `S-${n}`, amount: n % 10 === 0 ? 5 : 50 }));
        desk.receive(till, rows);
      }
    };
    receive(0);
    await desk.load(desk.claims());
    // Refused at the taken receipts, it knows the missing articles before it writes again; of the payouts it tries few in vain.
    expect(seen.applied.filter((count) => count > 4)).toEqual([100, 60, 60, 20, 20, 10, 10, 10]);
    expect(faults(desk)).toEqual({ "dead PARENT_MISSING": 10, "dead UNIQUE_VIOLATED": 10, "dead ROW_REFUSED": 10 });
    seen.applied = [];
    receive(100);
    await desk.load(desk.claims());
    expect(seen.applied.filter((count) => count > 4)).toEqual([60, 60]);
    expect(centre.rows("select count(*) from sale")).toEqual([[140]]);
  });

  test("looks before it writes at the next batch: one write for all, and one try alone for each constraint", async () => {
    await using centre = await Centre.open(SHOP);
    const { database, seen } = watched(centre.database);
    const desk = new Desk(database, RULES);
    receiveStorm(desk, 0, 200);
    await desk.load(desk.claims());
    seen.applied = [];
    receiveStorm(desk, 200, 200);
    await desk.load(desk.claims());
    expect(seen.applied).toEqual([160, 1, 1]);
    expect(faults(desk)).toEqual({ "dead PARENT_MISSING": 40, "dead UNIQUE_VIOLATED": 40 });
    expect(centre.rows("select count(*) from sale")).toEqual([[320]]);
    // In the loader's own words, not the database's: it was not asked about this one.
    expect(desk.exception(till, 124).detail).toBe(
      "sale id=S-243: store=nowhere names a row of store that is not there",
    );
    expect(desk.exception(till, 128).detail).toBe("sale id=S-247: another row has receipt=246");
  });

  test("writes nothing in vain that goes to a table whose trigger has lately refused something", async () => {
    await using centre = await Centre.open(`${SHOP};
      create table payout (id text primary key, amount integer not null);
      create trigger limited before insert on payout when new.amount > 100 begin select raise(abort, 'too much'); end`);
    const { database, seen } = watched(centre.database);
    const desk = new Desk(database, rules({ store: {}, sale: {}, payout: {} }, { retry: RULES.retry }));
    const receivePayouts = (from: number): void => {
      for (let n = from; n < from + 40; n++) {
        const sale = insert("sale", { id: `S-${n}`, store: "s", receipt: n });
        const payout = insert("payout", { id: `P-${n}`, amount: n % 20 === 7 ? 101 : 100 });
        // The sale after a payout changes its row: it must not overtake it, whether that is refused or not.
        const before = { id: `S-${n - 1}`, store: "s", receipt: n - 1 };
        const after: Change = { table: "sale", op: "update", key: { id: before.id }, before, row: { receipt: -n } };
        desk.receive(till, n % 4 === 3 ? [sale, payout] : n % 4 === 0 && n > from ? [sale, after] : [sale]);
      }
    };
    receivePayouts(0);
    await desk.load(desk.claims());
    seen.applied = [];
    receivePayouts(40);
    await desk.load(desk.claims());
    // The sales without a payout first; then ten payouts and their followers one by one, but for the two held. Nothing twice.
    expect(seen.applied[0]).toBe(21);
    expect(seen.applied.slice(1)).toEqual(Array.from({ length: 17 }, () => 2));
    expect(desk.exceptions(till)).toEqual([
      "8 dead ROW_REFUSED",
      "9 held behind 8",
      "28 dead ROW_REFUSED",
      "29 held behind 28",
      "48 dead ROW_REFUSED",
      "49 held behind 48",
      "68 dead ROW_REFUSED",
      "69 held behind 68",
    ]);
    expect(centre.rows("select count(*), sum(receipt < 0) from sale")).toEqual([[72, 14]]);
  });

  test("tries alone, of several lanes, one message of each by one call, and what is behind a refused one again", async () => {
    await using centre = await Centre.open(`
      create table payout (id text primary key, amount integer not null);
      create trigger limited before insert on payout when new.amount > 100 begin select raise(abort, 'too much'); end`);
    const { database, seen } = watched(centre.database);
    const desk = new Desk(database, rules({ payout: {} }, { retry: RULES.retry }));
    const lanes = [1, 2, 3, 4, 5].map((n) => lane(`till-${n}`));
    const receive = (batch: number): void => {
      for (const [at, name] of lanes.entries())
        for (let n = 1; n <= 3; n++)
          desk.receive(name, [
            insert("payout", { id: `${name} ${batch} ${n}`, amount: at === 2 && n === 2 ? 101 : 1 }),
          ]);
    };
    receive(1);
    await desk.load(desk.claims());
    seen.applied = [];
    seen.each = [];
    receive(2);
    await desk.load(desk.claims());
    // All first ones; the second ones, of which the third is refused, two in vain behind it; these with three third ones; the last two.
    expect(seen.each).toEqual([5, 5, 5, 2]);
    expect(seen.applied).toHaveLength(17);
    for (const [at, name] of lanes.entries())
      expect(desk.exceptions(name)).toEqual(at === 2 ? ["2 dead ROW_REFUSED", "5 dead ROW_REFUSED"] : []);
    expect(centre.rows("select count(*) from payout")).toEqual([[28]]);
  });

  test("judges what it foresees after all that is tried one by one, so that one try alone for each constraint is enough there, too", async () => {
    await using centre = await Centre.open(`${SHOP};
      create table payout (id text primary key, amount integer not null);
      create trigger limited before insert on payout when new.amount > 100 begin select raise(abort, 'too much'); end`);
    const { database, seen } = watched(centre.database);
    const desk = new Desk(database, rules({ store: {}, sale: {}, payout: {} }, { retry: RULES.retry }));
    const receive = (from: number): void => {
      for (let n = from; n < from + 20; n++)
        desk.receive(
          till,
          n % 2
            ? [insert("sale", { id: `S-${n}`, store: n % 4 === 1 ? "nowhere" : "s", receipt: n })]
            : [insert("payout", { id: `P-${n}`, amount: n % 10 ? 1 : 101 })],
        );
    };
    receive(0);
    await desk.load(desk.claims());
    seen.applied = [];
    receive(20);
    await desk.load(desk.claims());
    expect(seen.applied).toEqual([5, ...Array.from({ length: 10 + 1 }, () => 1)]); // sales; payouts, and the first without a store
    expect(faults(desk)).toEqual({ "dead PARENT_MISSING": 10, "dead ROW_REFUSED": 4 });
    expect(desk.exceptions(till).slice(7, 10)).toEqual([
      "21 dead ROW_REFUSED",
      "22 dead PARENT_MISSING",
      "26 dead PARENT_MISSING",
    ]);
  });

  test("lets nothing begin a sum before what is judged later has added to it", async () => {
    await using centre = await Centre.open(`${SHOP};
      create table stock (id text primary key, qty integer not null);
      create table payout (id text primary key, amount integer not null);
      create trigger limited before insert on payout when new.amount > 100 begin select raise(abort, 'too much'); end`);
    const sums = { conflict: { policy: "add", columns: ["qty"] } } as const;
    const desk = new Desk(
      centre.database,
      rules({ store: {}, sale: {}, payout: {}, stock: sums }, { retry: RULES.retry }),
    );
    desk.receive(other, [insert("payout", { id: "P-0", amount: 101 })]);
    desk.receive(other, [insert("sale", { id: "S-0", store: "nowhere", receipt: 0 })]);
    await desk.load(desk.claims());
    const sold = (to: number): Change => {
      const before = { id: "x", qty: to + 1 };
      return { table: "stock", op: "update", key: { id: "x" }, before, row: { id: "x", qty: to } };
    };
    const bad = { id: "S-1", store: "nowhere", receipt: 1 };
    const note: Change = { table: "sale", op: "update", key: { id: "S-1" }, before: bad, row: { ...bad, receipt: 2 } };
    desk.receive(till, [insert("sale", bad)], [note, sold(9)], [insert("payout", { id: "P-1", amount: 1 }), sold(8)]);
    await desk.load(desk.claims());
    // The till's count of 8 holds what the second message took: were it the beginning, the second would take it twice.
    expect(desk.exceptions(till)).toEqual(["1 dead PARENT_MISSING", "2 held behind 1", "3 held behind 2"]);
    expect(centre.rows("select * from stock")).toEqual([]);
  });

  test("stops looking when nothing was refused for a while, and a healthy stream never looks", async () => {
    await using centre = await Centre.open(SHOP);
    const { database, seen } = watched(centre.database);
    const desk = new Desk(database, RULES);
    const healthy = async (n: number): Promise<void> => {
      desk.receive(till, [insert("sale", { id: `S-${n}`, store: "s", receipt: n })]);
      await desk.load(desk.claims());
    };
    await healthy(1);
    expect(seen.looked).toBe(0);
    desk.receive(till, [insert("sale", { id: "bad", store: "s", receipt: 1 })]);
    await desk.load(desk.claims());
    for (let n = 2; n < 60; n++) await healthy(n);
    const looked = seen.looked;
    expect(looked).toBeGreaterThan(10);
    await healthy(60);
    expect(seen.looked).toBe(looked);
  });

  test("looks at the constraint that was broken alone, and not again after a parent that is there", async () => {
    await using centre = await Centre.open(`${SHOP};
      create table refund (id text primary key, store text not null references store (id), sale text not null references sale (id));
      insert into sale values ('S-1', 's', 1), ('S-2', 's', 2)`);
    const { database, seen } = watched(centre.database);
    const desk = new Desk(database, rules({ store: {}, sale: {}, refund: {} }, { retry: RULES.retry }));
    let number = 0;
    const refund = async (sale: string): Promise<readonly string[]> => {
      seen.asked = [];
      desk.receive(till, [insert("refund", { id: `R-${++number}`, store: "s", sale })]);
      await desk.load(desk.claims());
      return seen.asked;
    };
    await refund("S-0");
    expect(await refund("S-1")).toEqual(["sale S-1"]);
    expect(await refund("S-1")).toEqual([]);
    expect(await refund("S-2")).toEqual(["sale S-2"]);
    centre.sql.exec("delete from refund; delete from sale");
    // The database refuses what no look foresaw; after that none is taken for present.
    expect(await refund("S-2")).toContain("sale S-2");
    expect(await refund("S-1")).toContain("sale S-1");
    expect(desk.exceptions(till)).toEqual(["1 dead PARENT_MISSING", "5 dead PARENT_MISSING", "6 dead PARENT_MISSING"]);
    expect(centre.rows("select count(*) from refund")).toEqual([[0]]);
  });

  test.each([true, false])(
    "calls nobody guilty by a look alone: one that always says %s only costs tries",
    async (word) => {
      await using centre = await Centre.open(SHOP);
      const { database } = watched(centre.database, (_table, _columns, values) =>
        Promise.resolve(values.map(() => word)),
      );
      const desk = new Desk(database, RULES);
      receiveStorm(desk, 0, 200);
      await desk.load(desk.claims());
      receiveStorm(desk, 200, 200);
      await desk.load(desk.claims());
      expect(faults(desk)).toEqual({ "dead PARENT_MISSING": 40, "dead UNIQUE_VIOLATED": 40 });
      expect(centre.rows("select count(*) from sale")).toEqual([[320]]);
    },
  );

  test("takes a child whose parent comes in the same batch from another lane, and holds one whose parent waits", async () => {
    await using centre = await Centre.open(SHOP);
    const desk = new Desk(centre.database, RULES);
    desk.receive(till, [insert("sale", { id: "S-1", store: "nowhere", receipt: 1 })]);
    await desk.load(desk.claims());
    desk.receive(till, [insert("sale", { id: "S-2", store: "new", receipt: 2 })]);
    desk.receive(other, [insert("store", { id: "new" })]);
    desk.receive(other, [insert("store", { id: "late" }), insert("sale", { id: "S-3", store: "none", receipt: 3 })]);
    desk.receive(other, [insert("sale", { id: "S-4", store: "late", receipt: 4 })]);
    desk.receive(till, [insert("sale", { id: "S-5", store: "late", receipt: 5 })]);
    desk.receive(till, [insert("sale", { id: "S-6", store: "s", receipt: 1 })]);
    await desk.load(desk.claims());
    expect(centre.rows("select id from sale order by id")).toEqual([["S-2"]]);
    expect(desk.exceptions(till)).toEqual(["1 dead PARENT_MISSING", "3 dead PARENT_MISSING", "4 held behind 1"]);
    expect(desk.exceptions(other)).toEqual(["2 dead PARENT_MISSING", "3 held behind 2"]);
  });

  test("tries a message whose parent came into the same transaction after it was looked up", async () => {
    await using centre = await Centre.open(`${SHOP}; create table badge (id text primary key, number integer unique)`);
    const desk = new Desk(centre.database, rules({ store: {}, sale: {}, badge: {} }));
    desk.receive(till, [insert("sale", { id: "S-1", store: "nowhere", receipt: 1 })]);
    await desk.load(desk.claims());
    desk.receive(till, [insert("sale", { id: "S-2", store: "none", receipt: 2 })]);
    // Rows are written by key, so of the two badges this one is refused; it was first, so alone it is loaded, and the store with it.
    desk.receive(till, [insert("store", { id: "new" }), insert("badge", { id: "z", number: 1 })]);
    desk.receive(
      other,
      [insert("badge", { id: "a", number: 1 })],
      [insert("sale", { id: "S-3", store: "new", receipt: 3 })],
    );
    await desk.load(desk.claims());
    expect(desk.exceptions(other)).toEqual(["1 retrying UNIQUE_VIOLATED"]);
    expect(centre.rows("select id from sale")).toEqual([["S-3"]]);
  });
});
