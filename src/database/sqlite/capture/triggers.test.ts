import { expect, test, describe } from "vitest";
import { openGate, closeGate } from "./gate.ts";
import { Replica, Till } from "./till.test-kit.ts";

const SALE = "create table sale (id integer primary key, code text unique, shelf text, total, unique (shelf)); ";

/** Runs statements of the application, and tells the changes that were captured; a strict receiver must then have the table as it is. */
async function captured(till: Till, sql: string, table = "sale"): Promise<string[]> {
  const replica = new Replica(till, table);
  till.app.exec(sql);
  const changes = await till.changes();
  expect(replica.apply(changes).rows).toEqual(till.rows(table));
  return changes.map((change) => `${change.op} ${change.table} ${Object.values(change.key).join("/")}`);
}

describe("REPLACE", () => {
  test("INSERT OR REPLACE records the rows it displaces by every unique key, before the new row", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    await captured(till, "insert into sale values (1, 'a', 's1', 1), (2, 'b', 's2', 2), (3, 'c', 's3', 3)");
    expect(await captured(till, "insert or replace into sale values (1, 'b', 's3', 9)")).toEqual([
      "delete sale 1",
      "delete sale 3",
      "delete sale 2",
      "insert sale 1",
    ]);
  });
  test("UPDATE OR REPLACE records the row it displaces", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    await captured(till, "insert into sale values (1, 'a', 's1', 1), (2, 'b', 's2', 2), (3, 'c', 's3', 3)");
    expect(await captured(till, "update or replace sale set code = 'c' where id = 1")).toEqual([
      "delete sale 3",
      "update sale 1",
    ]);
    expect(await captured(till, "update or replace sale set id = 2 where id = 1")).toEqual([
      "delete sale 2",
      "update sale 1",
    ]);
    expect(await captured(till, "update or replace sale set code = 'z'")).toEqual(["update sale 2"]);
  });
  test("a constraint's own ON CONFLICT REPLACE does the same", async () => {
    using till = await Till.with(
      "create table sale (id integer primary key, code text unique on conflict replace, shelf text, total)",
      { tables: ["sale"] },
    );
    await captured(till, "insert into sale values (1, 'a', null, 1)");
    expect(await captured(till, "insert into sale values (2, 'a', null, 2)")).toEqual([
      "delete sale 1",
      "insert sale 2",
    ]);
  });
  test("with recursive_triggers on nothing is recorded twice", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    till.app.exec("pragma recursive_triggers = on");
    await captured(till, "insert into sale values (1, 'a', 's1', 1), (2, 'b', 's2', 2)");
    expect(await captured(till, "insert or replace into sale values (3, 'a', 's2', 9)")).toEqual([
      "delete sale 2",
      "delete sale 1",
      "insert sale 3",
    ]);
  });
  test("OR IGNORE and ON CONFLICT DO NOTHING record nothing, and leave nothing for the next statement", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    await captured(till, "insert into sale values (1, 'a', 's1', 1), (2, 'b', 's2', 2)");
    expect(
      await captured(
        till,
        "insert or ignore into sale values (1, 'b', 'x', 9); update or ignore sale set code = 'b' where id = 1",
      ),
    ).toEqual([]);
    expect(await captured(till, "update sale set total = 5 where id = 2")).toEqual(["update sale 2"]);
    expect(
      await captured(
        till,
        "insert into sale values (1, 'q', 'q', 9) on conflict do nothing; delete from sale where id = 2; insert into sale values (4, 'd', 'd', 1)",
      ),
    ).toEqual(["delete sale 2", "insert sale 4"]);
  });
  test("an upsert is an update", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    await captured(till, "insert into sale values (1, 'a', 's1', 1)");
    expect(
      await captured(
        till,
        "insert into sale values (9, 'a', 's9', 7) on conflict (code) do update set total = excluded.total",
      ),
    ).toEqual(["update sale 1"]);
    expect(await captured(till, "delete from sale; insert into sale values (2, 'b', 'b', 1)")).toEqual([
      "delete sale 1",
      "insert sale 2",
    ]);
  });
  test("partial indexes, indexes on expressions, collations and generated columns displace too", async () => {
    using till = await Till.with(
      `create table sale (id integer primary key, code text collate nocase unique, shelf text, total, place text as (shelf || '!') unique);
       create unique index one_open on sale (abs(total) desc, coalesce(code, ')')) where shelf is null and total > 0 -- (
       ;`,
      { tables: ["sale"] },
    );
    await captured(
      till,
      "insert into sale (id, code, shelf, total) values (1, 'a', null, 5), (2, 'b', 's2', 2), (3, null, 's3', 3), (4, null, null, 6), (5, null, null, -6)",
    );
    expect(await captured(till, "insert or replace into sale (id, code) values (6, 'A')")).toEqual([
      "delete sale 1",
      "insert sale 6",
    ]);
    expect(await captured(till, "update or replace sale set shelf = 's3' where id = 2")).toEqual([
      "delete sale 3",
      "update sale 2",
    ]);
    expect(await captured(till, "insert or replace into sale (id, total) values (7, 6)")).toEqual([
      "delete sale 4",
      "insert sale 7",
    ]);
    expect(await captured(till, "update or replace sale set total = -total where id = 5")).toEqual([
      "delete sale 7",
      "update sale 5",
    ]);
  });
  test("a row that enters a partial index by another column displaces too", async () => {
    using till = await Till.with(
      "create table sale (id integer primary key, code text, main int); create unique index one on sale (code) where main = 1",
      { tables: ["sale"] },
    );
    await captured(till, "insert into sale values (1, 'a', 1), (2, 'a', 0), (3, 'a', 0)");
    expect(await captured(till, "update or replace sale set main = 1 where id = 2")).toEqual([
      "delete sale 1",
      "update sale 2",
    ]);
  });
  test("a default put in place of a refused NULL displaces too", async () => {
    using till = await Till.with(
      "create table sale (id integer primary key, code text not null default 'none' unique)",
      { tables: ["sale"] },
    );
    await captured(till, "insert into sale values (1, 'none'), (2, 'x')");
    expect(await captured(till, "insert or replace into sale values (3, null)")).toEqual([
      "delete sale 1",
      "insert sale 3",
    ]);
    expect(await captured(till, "update or replace sale set code = null where id = 2")).toEqual([
      "delete sale 3",
      "update sale 2",
    ]);
  });
  test("a displaced parent's children are recorded as deleted with it", async () => {
    using till = await Till.with(
      SALE +
        "create table line (sale integer references sale on delete cascade, n integer, primary key (sale, n)) without rowid",
      { tables: ["sale", "line"] },
    );
    await captured(till, "insert into sale values (1, 'a', 's1', 1); insert into line values (1, 1), (1, 2)");
    const lines = new Replica(till, "line");
    till.app.exec("insert or replace into sale values (2, 'a', 's9', 1)");
    const changes = await till.changes();
    expect(changes.map(({ op, table }) => `${op} ${table}`)).toEqual([
      "delete line",
      "delete line",
      "delete sale",
      "insert sale",
    ]);
    expect(lines.apply(changes).rows.size).toBe(0);
  });
});

describe("an application's own triggers", () => {
  const STAMP = `create trigger stamp after insert on sale begin update sale set total = total || '!' where id = new.id; end;
    create trigger stamp_again after update of shelf on sale begin update sale set total = total || '?' where id = new.id; end;`;
  const acts = async (till: Till): Promise<void> => {
    await captured(till, "insert into sale values (1, 'a', 's1', 'x'), (2, 'b', 's2', 'y')");
    await captured(till, "update sale set shelf = shelf || 'n'");
    await captured(till, "insert or replace into sale values (1, 'b', 's3', 'z')");
    await captured(till, "update or replace sale set shelf = 's4', code = 'q', id = 5");
    await captured(till, "insert into sale values (6, 'q', 's6', 'z') on conflict do update set shelf = 's7'");
    expect([...till.rows("sale").values()]).toEqual([{ id: 5, code: "q", shelf: "s7", total: "z!??" }]);
  };
  test("that stamp the row leave the stamped row last, made before ours", async () => {
    using till = await Till.with(SALE + STAMP, { tables: ["sale"] });
    await acts(till);
  });
  test("that stamp the row leave the stamped row last, made after ours", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    till.app.exec(STAMP);
    await acts(till);
  });
  test("that stamp the row leave the stamped row last, made for the connection alone", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    till.app.exec(STAMP.replaceAll("create trigger", "create temp trigger"));
    await acts(till);
  });
  test("that clear other rows before an insert are captured in order", async () => {
    using till = await Till.with(
      `create table sale (id integer primary key, code text unique, main int);
       create trigger one_main before insert on sale when new.main = 1 begin update sale set main = 0 where main = 1; end`,
      { tables: ["sale"] },
    );
    await captured(till, "insert into sale values (1, 'a', 1)");
    expect(await captured(till, "insert into sale values (2, 'b', 1)")).toEqual(["update sale 1", "insert sale 2"]);
    expect(
      await captured(till, "delete from sale where id = 1; insert or replace into sale values (3, 'b', 0)"),
    ).toEqual(["delete sale 1", "delete sale 2", "insert sale 3"]);
  });
});

describe("a statement of the application", () => {
  test("has its results as without capture: last_insert_rowid, changes, RETURNING", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    const insert = till.app.prepare("insert into sale (code, total) values (?, ?)");
    expect(insert.run("a", 1)).toEqual({ changes: 1, lastInsertRowid: 1 });
    expect(insert.run("b", 1)).toEqual({ changes: 1, lastInsertRowid: 2 });
    expect(
      till.app
        .prepare("update sale set total = 3 returning id")
        .all()
        .map((row) => row["id"]),
    ).toEqual([1, 2]);
    expect(till.app.prepare("insert or replace into sale (code) values ('a')").run()).toEqual({
      changes: 1,
      lastInsertRowid: 3,
    });
    expect(till.app.prepare("select last_insert_rowid() as id").get()?.["id"]).toBe(3);
  });
  test("that is rolled back, by a savepoint too, is not captured", async () => {
    using till = await Till.with(SALE, { tables: ["sale"] });
    expect(
      await captured(
        till,
        "begin; insert into sale (id) values (1); savepoint s; insert into sale (id) values (2); rollback to s; commit",
      ),
    ).toEqual(["insert sale 1"]);
    expect(() => till.app.exec("insert into sale (id) values (5), (1)")).toThrow();
    expect(() => till.app.exec("insert or fail into sale (id) values (6), (1)")).toThrow();
    expect((await till.changes()).map((change) => change.key)).toEqual([{ id: 6 }]);
  });
});

describe("tables of every make", () => {
  test.each([
    [
      "WITHOUT ROWID with a composite key",
      "create table sale (b text collate nocase, v, a int, primary key (a, b)) without rowid",
      "insert into sale (a, b, v) values (1, 'x', 1), (1, 'y', 2)",
      "update sale set b = 'X', v = 3 where b = 'x'; insert or replace into sale (a, b, v) values (1, 'x', 4); update sale set a = a + 1; delete from sale where b = 'y'",
    ],
    [
      "a key that is not the rowid",
      "create table sale (code text primary key not null, v blob)",
      "insert into sale values ('a', x'00ff'), ('b', null)",
      "update sale set code = 'c' where code = 'a'; insert or replace into sale values ('c', ''); update or replace sale set code = 'b' where code = 'c'",
    ],
    [
      "columns called rowid and oid",
      'create table sale (rowid text primary key not null, oid, "select" int)',
      "insert into sale values ('r1', 1, 2)",
      "update sale set oid = 5, \"select\" = 6; insert or replace into sale values ('r1', 8, 9)",
    ],
    [
      "all names of the rowid taken",
      "create table sale (rowid text primary key not null, oid, _rowid_)",
      "insert into sale values ('r1', 1, 2), ('r2', 3, 4)",
      "update or replace sale set rowid = 'r2' where oid = 1; insert or replace into sale values ('r2', 8, 9)",
    ],
    [
      "an INTEGER PRIMARY KEY called oid",
      "create table sale (oid integer primary key, rowid, _rowid_)",
      "insert into sale values (1, 1, 2)",
      "update sale set oid = 5; insert or replace into sale values (5, 8, 9)",
    ],
    [
      "columns with hostile names",
      'create table sale ("a""b" integer primary key, "c.d e" text, "naïve 😀", "__proto__", "7", "constructor")',
      "insert into sale values (1, 'x', 2, 3, 4, 5)",
      'update sale set "7" = 8, "__proto__" = null; delete from sale',
    ],
    [
      "generated columns",
      "create table sale (id integer primary key, net int, tax int as (net * 2) stored, gross int as (net + tax))",
      "insert into sale (id, net) values (1, 5)",
      "update sale set net = 6",
    ],
    [
      "any class of value in any column",
      "create table sale (id integer primary key, i int, t text, b blob, n numeric, r real, x)",
      "insert into sale values (1, 'text', x'00', 'b', x'ff', 't', 5.0), (2, 1.5, 'é', 7, '12.50', 2, '')",
      "update sale set i = 9223372036854775807, t = x'', b = 1.5, n = 0.1, r = -9.5, x = x'0001'",
    ],
  ])("%s", async (_, schema, fill, act) => {
    using till = await Till.with(schema, { tables: ["sale"] });
    await captured(till, fill);
    expect((await captured(till, act)).length).toBeGreaterThan(0);
  });
  test("a table whose name needs quoting", async () => {
    const name = `it's "the.shop" where [all] is – ok`;
    const sql = `"${name.replaceAll('"', '""')}"`;
    using till = await Till.with(
      `create table ${sql} (id integer primary key, v); create table a (id integer primary key); create table insert_a (id integer primary key)`,
      { tables: [name, "a", "insert_a"] },
    );
    expect(
      await captured(till, `insert into ${sql} values (1, 2); update ${sql} set v = 3; delete from ${sql}`, name),
    ).toEqual(["insert", "update", "delete"].map((op) => `${op} ${name} 1`));
  });
  test("a table of 600 columns", async () => {
    using till = await Till.with(
      `create table sale (id integer primary key, ${Array.from({ length: 599 }, (_, i) => `c${i}`).join(", ")})`,
      { tables: ["sale"] },
    );
    expect(
      await captured(till, "insert into sale (id, c598) values (1, 'last'); update sale set c0 = 'first'"),
    ).toHaveLength(2);
  });
});

describe("the gate", () => {
  const SCHEMA =
    SALE +
    `create table history (id integer primary key, was);
    create trigger keep after update on sale begin insert into history (was) values (old.total); end;`;
  test("keeps a terminal's own load out, and lets what the application's triggers write to other tables through", async () => {
    using till = await Till.with(SCHEMA, { tables: ["sale", "history"] });
    await captured(till, "insert into sale values (1, 'a', 's', 10)");
    till.connection.immediate(() => {
      openGate(till.connection, "sale", null);
      till.connection.db.exec("update sale set total = 11; insert or replace into sale values (2, 'a', 'n', 1)");
      closeGate(till.connection, "sale");
    });
    expect((await till.changes()).map(({ table, op, row }) => [table, op, row?.["was"]])).toEqual([
      ["history", "insert", { $number: "10" }],
    ]);
    expect(await captured(till, "update sale set total = 12")).toContain("update sale 2");
  });
  test("gives the central database's changes their origin", async () => {
    using till = await Till.with(SCHEMA, { tables: ["sale"], role: "central" });
    till.connection.immediate(() => {
      openGate(till.connection, "sale", "t1");
      till.connection.db.exec("insert into sale values (1, 'a', 's', 10)");
      openGate(till.connection, "sale", "t2");
      till.connection.db.exec("insert or replace into sale values (2, 'a', 's', 10)");
      closeGate(till.connection, "sale");
      till.connection.db.exec("update sale set total = 5");
    });
    const origins = (await till.changes()).map((change) => [change.op, (change as { origin?: string }).origin]);
    expect(origins).toEqual([
      ["insert", "t1"],
      ["delete", "t2"],
      ["insert", "t2"],
      ["update", undefined],
    ]);
  });
  test("of a process that was killed is gone", async () => {
    using till = await Till.with(SCHEMA, { tables: ["sale"] });
    till.connection.begin();
    openGate(till.connection, "sale", null);
    till.reopen(); // the lock is the dead process's no more, and its transaction never was
    expect(await captured(till, "insert into sale values (1, 'a', 's', 10)")).toEqual(["insert sale 1"]);
  });
});
