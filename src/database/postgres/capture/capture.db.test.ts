import { Client } from "pg";
import { expect, test } from "vitest";
import { describeWith } from "../../../../test/kit/needs.ts";
import { epoch, seq } from "../../../base/ids.ts";
import type { Change, Message } from "../../../message/change.ts";
import { effect } from "../../contract/station.ts";
import type { CaptureRole, PackLimits } from "../../port.ts";
import { openPostgres } from "../open.ts";
import { stationOn, type PostgresStation } from "../station.test-kit.ts";

const LIMITS: PackLimits = { partBytes: 256 * 1024, valueBytes: 1024 * 1024, lockMs: 100 };

describeWith("postgres", "capture on PostgreSQL", (server) => {
  const open = stationOn(server);
  const captured = async (ddl: string, tables: string[], role: CaptureRole = "terminal"): Promise<PostgresStation> => {
    const station = await open(ddl);
    const { capture, load } = station.database;
    await load.install();
    expect((await capture.install({ role, tables, quietGapMs: 1_000 })).refused).toEqual([]);
    await capture.beginEpoch(epoch("e1"), null);
    return station;
  };
  const messages = async ({ database: { capture } }: PostgresStation, limits = LIMITS): Promise<Message[]> => {
    const { packedThrough } = await capture.state();
    while ((await capture.pack(limits)).more);
    const lines = await capture.lines({ seq: packedThrough, part: 0 }, Number.MAX_SAFE_INTEGER);
    return lines.map((line) => JSON.parse(new TextDecoder().decode(line.bytes)) as Message);
  };
  const told = async (station: PostgresStation): Promise<string[]> =>
    (await messages(station)).flatMap(({ changes }) => changes.map(short));
  const short = ({ table, op, key, row }: Change): string =>
    `${op} ${table} ${Object.values(key).join("/")}${row ? ` ${Object.values(row).join(",")}` : ""}`;

  test("each transaction is one message; a transaction that began earlier and committed later comes later", async () => {
    await using station = await captured("create table t (id int primary key)", ["t"]);
    const slow = new Client({ connectionString: station.url });
    await slow.connect();
    await slow.query("begin; insert into t values (1)");
    await station.run("begin; insert into t values (2); insert into t values (3); commit");
    expect((await messages(station)).map(({ changes }) => changes.map(short))).toEqual([
      ["insert t 2 2", "insert t 3 3"],
    ]);
    await slow.query("insert into t values (4); commit");
    await slow.end();
    expect((await messages(station)).map(({ changes }) => changes.map(short))).toEqual([
      ["insert t 1 1", "insert t 4 4"],
    ]);
  });

  test("a page waits for whoever writes its rows, and then has what he wrote", async () => {
    await using station = await captured(
      "create table t (id int primary key, a text); insert into t values (1, 'old')",
      ["t"],
    );
    const { capture } = station.database;
    await capture.resync("t", null);
    await station.run("begin; update t set a = 'new'");
    await expect(capture.resyncStep(10)).rejects.toMatchObject({ code: "DATABASE_BUSY" });
    await station.run("commit");
    while ((await capture.resyncStep(10)) === "more");
    expect(await told(station)).toEqual(["update t 1 1,new", "upsert t 1 1,new"]);
  });

  test("processes that install the same at once do not meet, and none takes what another made for a change", async () => {
    await using station = await open("create table a (id int primary key); create table b (id int primary key)");
    const plan = { role: "central" as const, tables: ["a", "b"], quietGapMs: 1_000 };
    await using stack = new AsyncDisposableStack();
    const hubs = await Promise.all(Array.from({ length: 6 }, async () => stack.use(await openPostgres(station.url))));
    const reports = await Promise.all(
      hubs.map(async ({ load, capture }) => {
        await load.install();
        return capture.install(plan);
      }),
    );
    expect(reports.flatMap(({ refused }) => refused)).toEqual([]);
    expect(await station.rows("select tbl from waybill_layout order by 1")).toEqual([["a"], ["b"]]);
    expect(await station.rows("select * from waybill_resync")).toEqual([]);
    await station.run("insert into a values (1)");
    expect(await station.rows("select count(*) from waybill_outbox")).toEqual([["1"]]);
  });

  test("what an application's trigger stamps afterwards stands behind the row it stamps", async () => {
    await using station = await captured(
      `create table t (id int primary key, stamp int);
       create function stamp() returns trigger language plpgsql as
         $$ begin update t set stamp = 1 where id = new.id and stamp is null; return null; end $$;
       create trigger a_first after insert on t for each row execute function stamp();
       create function fill() returns trigger language plpgsql as $$ begin new.id := new.id + 100; return new; end $$;
       create trigger "~last" before insert on t for each row execute function fill();`,
      ["t"],
    );
    await station.run("insert into t values (1, null)");
    expect(await told(station)).toEqual(["insert t 101 101,", "update t 101 101,1"]);
  });

  test("I12: what is loaded is not captured at a terminal; what the application's triggers write elsewhere is", async () => {
    const ddl = `create table t (id int primary key); create table log (id int primary key);
      create function log() returns trigger language plpgsql as $$ begin insert into log values (new.id); return null; end $$;
      create trigger log after insert on t for each row execute function log();`;
    await using station = await captured(ddl, ["t", "log"]);
    const effects = [effect("insert", "t", { id: 1 }, {})];
    expect((await station.database.load.transaction((tx) => tx.apply(effects))).refused).toEqual([]);
    await station.run("insert into t values (2)");
    expect(await told(station)).toEqual(["insert log 1 1", "insert t 2 2", "insert log 2 2"]);
  });

  test("at the centre what is loaded is captured with its origin", async () => {
    await using station = await captured("create table t (id int primary key)", ["t"], "central");
    const effects = [effect("insert", "t", { id: 1 }, {}, "till-1"), effect("insert", "t", { id: 2 }, {})];
    await station.database.load.transaction((tx) => tx.apply(effects));
    await station.run("insert into t values (3)");
    const changes = (await messages(station)).flatMap((message) => message.changes as (Change & { origin?: string })[]);
    expect(changes.map(({ key, origin }) => [key["id"], origin])).toEqual([[1, "till-1"], [2, undefined], [3, undefined]]); // oxfmt-ignore
  });

  test("TRUNCATE and rows that move between partitions are deletes and inserts under the table's own name", async () => {
    await using station = await captured(
      `create table t (id int, part int, note text, primary key (id, part)) partition by list (part);
       create table t_1 partition of t for values in (1);
       create table t_2 (note text, part int not null, id int not null);
       alter table t attach partition t_2 for values in (2);`,
      ["t"],
    );
    await station.run("insert into t values (1, 1, 'a'), (2, 2, 'b')");
    await station.run("update t set part = 2 where id = 1");
    await station.run("truncate t");
    expect(await told(station)).toEqual([
      ...["insert t 1/1 1,1,a", "insert t 2/2 2,2,b"],
      ...["delete t 1/1", "insert t 1/2 1,2,a"],
      ...["delete t 2/2", "delete t 1/2"],
    ]);
    await station.run("create table t_3 partition of t for values in (3); insert into t values (3, 3, 'c')");
    expect(await told(station)).toEqual(["insert t 3/3 3,3,c"]);
  });

  test("other schemas, quoted names, identities, citext keys and partitions of partitions are captured and loaded elsewhere as they are", async () => {
    const ddl = `
      create extension citext;
      create schema "Till 1";
      create table "Till 1"."Sa""le" ("Id" int generated always as identity primary key, "select" int, "toString" text,
        twice int generated always as ("select" * 2) stored);
      create table person (name citext primary key, age int);
      create table day (d date not null, n int not null, "__proto__" text, primary key (d, n)) partition by range (d);
      create table day_26 partition of day for values from ('2026-01-01') to ('2027-01-01') partition by list (n);
      create table day_26_1 partition of day_26 for values in (1);
      create table day_rest partition of day default;`;
    const tables = ['Till 1.Sa"le', "person", "day"];
    await using station = await captured(ddl, tables);
    await station.run(`
      insert into "Till 1"."Sa""le" ("select", "toString") values (3, 'x'), (4, null);
      update "Till 1"."Sa""le" set "select" = 5 where "Id" = 2;
      insert into person values ('Ann', 1); update person set name = 'ANN';
      insert into day values ('2026-05-01', 1, 'p'), ('2025-05-01', 9, null);
      update day set d = '2025-06-01' where n = 1;
      delete from day where n = 9`);
    await using copy = await open(ddl);
    await copy.database.load.install();
    const changes = (await messages(station)).flatMap((message) => message.changes);
    const effects = changes.map(({ table, op, key, row }) => effect(op, table, key, row));
    expect((await copy.database.load.transaction((tx) => tx.apply(effects))).refused).toEqual([]);
    for (const table of ['"Till 1"."Sa""le"', "person", "day"]) {
      const all = `select tableoid::regclass, * from ${table} order by 2`;
      const rows = await station.rows(all);
      expect(rows.length).toBeGreaterThan(0);
      expect(await copy.rows(all)).toEqual(rows);
    }
    expect(changes.find(({ table }) => table === 'Till 1.Sa"le')?.row).toEqual({ Id: 1, select: 3, toString: "x" });
  });

  test("ALTER TABLE under way fails no statement of the application, loses no change, and has the table resynchronised", async () => {
    await using station = await captured("create table t (id int primary key, a text, b text)", ["t"]);
    await station.run("insert into t values (1, 'a', 'b')");
    await station.run("alter table t drop column a; alter table t add column c int default 7");
    await station.run("insert into t values (2, 'x'); delete from t where id = 1");
    const { capture } = station.database;
    expect((await capture.pack(LIMITS)).remade).toEqual(["t"]);
    while ((await capture.resyncStep(10)) === "more");
    await station.run("insert into t values (3, 'y', 8)");
    while ((await capture.pack(LIMITS)).more);
    const lines = await capture.lines({ seq: seq(0), part: 0 }, Number.MAX_SAFE_INTEGER);
    const changes = lines.flatMap((line) => (JSON.parse(new TextDecoder().decode(line.bytes)) as Message).changes);
    expect(changes.map(short)).toEqual([
      "insert t 1 1,a,b",
      "insert t 2 2,x",
      "delete t 1",
      "upsert t 2 2,x,7",
      "insert t 3 3,y,8",
    ]);
  });

  test("a trigger that somebody dropped or disabled is made again, and the table resynchronised", async () => {
    await using station = await captured("create table t (id int primary key); insert into t values (1)", ["t"]);
    const { capture } = station.database;
    await capture.changed();
    for (const harm of ['drop trigger "!waybill_row" on t', "alter table t disable trigger user"]) {
      await station.run(harm);
      expect((await capture.pack(LIMITS)).remade).toEqual(["t"]);
      while ((await capture.resyncStep(10)) === "more");
      expect(await told(station)).toEqual(["upsert t 1 1"]);
    }
  });

  test("an application with rights on its own tables alone writes as before; a replica's session is captured too", async () => {
    const ddl = "create table t (id int primary key)";
    await using station = await captured(ddl, ["t"]);
    const role = `cashier_${Date.now()}`;
    await station.run(`create role ${role}; grant insert on t to ${role}`);
    try {
      await station.run(`set role ${role}; insert into t values (1); reset role`);
      await station.run(
        "set session_replication_role = replica; insert into t values (2); reset session_replication_role",
      );
      expect(await told(station)).toEqual(["insert t 1 1", "insert t 2 2"]);
    } finally {
      await station.run(`reset role; drop owned by ${role}; drop role ${role}`);
    }
  });

  test("a value above the limit becomes a refused message before the changes around it", async () => {
    await using station = await captured("create table t (id int primary key, a text)", ["t"]);
    await station.run(
      "begin; insert into t values (1, 'a'); insert into t values (2, repeat('x', 5000)); insert into t values (3, 'c'); commit",
    );
    const limits = { ...LIMITS, valueBytes: 4_999 };
    const found = (await messages(station, limits)) as (Message & { refused?: string; key?: unknown })[];
    expect(found[0]).toMatchObject({ seq: 1, refused: "VALUE_TOO_LARGE", table: "t", key: { id: 2 } });
    expect(found[1]?.changes.map(short)).toEqual(["insert t 1 1,a", "insert t 3 3,c"]);
    expect(found).toHaveLength(2);
    expect(await station.rows("select count(*) from waybill_outbox")).toEqual([["0"]]);
  });

  test("a large transaction is one message of many parts; a backlog is packed in steps, each row once", async () => {
    await using station = await captured("create table t (id int primary key, a text)", ["t"]);
    await station.run("insert into t select g, 'row ' || g from generate_series(1, 30000) g");
    for (let n = 0; n < 50; n++)
      await station.run(`insert into t select ${100_000 + n * 1000} + g, '' from generate_series(1, 500) g`);
    const { capture } = station.database;
    const steps: number[] = [];
    for (let more = true; more;) {
      const packed = await capture.pack({ ...LIMITS, partBytes: 100_000 });
      steps.push(packed.packedChanges);
      more = packed.more;
    }
    expect(steps[0]).toBe(30_000);
    expect(steps.reduce((sum, count) => sum + count, 0)).toBe(55_000);
    expect(steps.length).toBeGreaterThan(2);
    const all = await station.rows("select count(*), count(distinct seq), sum(changes) from waybill_message");
    expect(all[0]?.slice(1)).toEqual(["51", "55000"]);
    expect(Number(all[0]?.[0])).toBeGreaterThan(60);
  });
});
