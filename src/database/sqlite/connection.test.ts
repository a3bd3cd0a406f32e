import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { WaybillError } from "../../base/errors.ts";
import { openDatabase } from "../open.ts";
import { Connection, quoted } from "./connection.ts";
import { sqlitePath } from "./open.ts";
import { stationIn } from "./station.test-kit.ts";

const DDL = "create table item (id integer primary key, n integer)";

test.each(["wal", "delete"] as const)(
  "the journal mode that the application chose is kept, every commit is on the disk, foreign keys hold (%s)",
  async (mode) => {
    await using station = await stationIn(mode)(DDL);
    const pragma = (name: string): unknown =>
      Object.values(station.connection.statement(`pragma ${name}`).get() ?? {})[0];
    expect([pragma("journal_mode"), pragma("synchronous"), pragma("foreign_keys")]).toEqual([mode, 2, 1]);
  },
);

test("a file of ours may be turned to write-ahead logging", async () => {
  await using station = await stationIn("delete")(DDL);
  using ours = new Connection(station.path, { journal: "wal" });
  expect(ours.statement("pragma journal_mode").get()).toEqual({ journal_mode: "wal" });
});

test("immediate commits what returned and undoes what threw", async () => {
  await using station = await stationIn("wal")(DDL);
  const { connection } = station;
  expect(connection.immediate(() => connection.statement("insert into item values (1, 1)").run().changes)).toBe(1);
  const fault = new WaybillError("STATE_CONFLICT", "no");
  expect(() =>
    connection.immediate(() => {
      connection.statement("insert into item values (2, 2)").run();
      throw fault;
    }),
  ).toThrow(fault);
  expect(await station.rows("select id from item")).toEqual([["1"]]);
  expect(() => connection.immediate(() => connection.statement("insert into item values (1, 1)").run())).toThrow(
    expect.objectContaining({ code: "UNIQUE_VIOLATED" }),
  );
  expect(() => connection.immediate(() => connection.immediate(() => 1))).toThrow(
    expect.objectContaining({ code: "INTERNAL" }),
  );
  expect(connection.db.isTransaction).toBe(false);
});

test("a snapshot sees one moment while the application goes on", async () => {
  await using station = await stationIn("wal")(DDL);
  const { connection } = station;
  const rows = (): number => Number(connection.statement("select count(*) as n from item").get()?.["n"]);
  connection.snapshot(() => {
    expect(rows()).toBe(0);
    void station.run("insert into item values (1, 1)"); // runs at once: the application's side is synchronous
    expect(rows()).toBe(0);
  });
  expect(rows()).toBe(1);
});

test("statements are kept prepared, exact ones give the storage class of each value", async () => {
  await using station = await stationIn("wal")(DDL);
  const { connection } = station;
  expect(connection.statement("select 1")).toBe(connection.statement("select 1"));
  expect(connection.exact("select 9223372036854775807, 1.0, 'x', x'00', null").get()).toEqual([
    9223372036854775807n,
    1,
    "x",
    new Uint8Array(1),
    null,
  ]);
  const first = connection.statement("select 1");
  for (let n = 0; n < 600; n++) connection.statement(`select ${n} as n`).get();
  expect(connection.statement("select 1")).not.toBe(first); // forgotten, not failing
  expect(connection.statement("select 5 as n").get()).toEqual({ n: 5 });
});

test("a file that is no database, and one that cannot be opened, are DATABASE_UNAVAILABLE", async () => {
  await using station = await stationIn("delete")(DDL);
  const path = `${station.path}.txt`;
  writeFileSync(path, "not a database at all, but long enough to be looked at ".repeat(40));
  expect(() => new Connection(path)).toThrow(expect.objectContaining({ code: "DATABASE_UNAVAILABLE" }));
  expect(readFileSync(path, "utf8")).toMatch(/^not a database/);
  expect(() => new Connection(`${station.path}/below/a-file.db`)).toThrow(
    expect.objectContaining({ code: "DATABASE_UNAVAILABLE" }),
  );
});

test("an application's file that is not there is a fault, and is not made; one of ours is", async () => {
  await using station = await stationIn("wal")(DDL);
  const url = `sqlite:${station.path}.other`;
  await expect(openDatabase(url)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  expect(existsSync(sqlitePath(url))).toBe(false);
  await using ours = await openDatabase(url, { ours: true });
  expect((await ours.describe()).tables.size).toBe(0);
  await expect(openDatabase("oracle://scott:tiger@host/db")).rejects.toThrow(
    /^CONFIG_INVALID: database URL with scheme "oracle"(?!.*tiger)/,
  );
});

test("URLs and names", () => {
  expect(sqlitePath("sqlite:./shop.db")).toBe("./shop.db");
  expect(sqlitePath("sqlite:/var/lib/shop.db")).toBe("/var/lib/shop.db");
  expect(sqlitePath("sqlite:///var/lib/shop.db")).toBe("/var/lib/shop.db");
  expect(sqlitePath("sqlite::memory:")).toBe(":memory:");
  expect(() => sqlitePath("sqlite:")).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  expect(quoted('a"b')).toBe('"a""b"');
});

/** Takes the lock, and lets go of it when it is told. */
const HOLDER = `
const { DatabaseSync } = require("node:sqlite");
const { parentPort, workerData } = require("node:worker_threads");
const db = new DatabaseSync(workerData.path);
db.exec("begin immediate; insert into item values (1, 1)");
parentPort.postMessage("held");
Atomics.wait(new Int32Array(workerData.letGo), 0, 0, workerData.forMs);
db.exec("commit");
`;

test("who asks eagerly gets the lock when it is let go, waits no longer than it may, and keeps its patience for the rest", async () => {
  await using station = await stationIn("wal")(DDL);
  const letGo = new SharedArrayBuffer(4);
  const holder = new Worker(HOLDER, { eval: true, workerData: { path: station.path, letGo, forMs: 60_000 } });
  await once(holder, "message");
  using hasty = new Connection(station.path, { busyMs: 20, eager: true });
  expect(() => hasty.immediate(() => 1)).toThrow(expect.objectContaining({ code: "DATABASE_BUSY" }));
  Atomics.store(new Int32Array(letGo), 0, 1);
  Atomics.notify(new Int32Array(letGo), 0);
  await once(holder, "exit");

  // Now by one that lets go by itself.
  await using other = await stationIn("wal")(DDL);
  const passing = new Worker(HOLDER, {
    eval: true,
    workerData: { path: other.path, letGo: new SharedArrayBuffer(4), forMs: 50 },
  });
  await once(passing, "message");
  using eager = new Connection(other.path, { busyMs: 30_000, eager: true });
  expect(eager.immediate(() => eager.statement("select n from item").get())).toEqual({ n: 1 });
  expect(eager.statement("pragma busy_timeout").get()).toEqual({ timeout: 30_000 });
});
