import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { updateId } from "../base/ids.ts";
import { systemRuntime } from "../base/runtime.ts";
import { openDatabase } from "../database/open.ts";
import { tempDir, type TempDir } from "../../test/kit/temp-dir.ts";
import { applySlice, type ApplyParts } from "./apply.ts";
import { Slicer } from "./slicer.ts";
import { StaleRows } from "./stale.ts";

async function parts(
  dir: TempDir,
  schema: string,
  lockMs: number,
): Promise<ApplyParts & AsyncDisposable & { readonly app: DatabaseSync }> {
  const app = new DatabaseSync(dir.file("till.db"));
  app.exec(schema);
  const database = await openDatabase(`sqlite:${dir.file("till.db")}`, { random: systemRuntime.random });
  await database.capture.install({ role: "terminal", tables: [], quietGapMs: 1_000 });
  await database.load.install();
  const { tables } = await database.describe();
  return {
    app,
    database,
    clock: systemClock,
    lockMs,
    stale: await StaleRows.open(database.capture),
    allowed: new Set(tables.keys()),
    shapes: tables,
    [Symbol.asyncDispose]: async () => {
      await database[Symbol.asyncDispose]();
      app.close();
    },
  };
}
const row = (table: string, id: number, more: Record<string, number | null> = {}) => ({
  table,
  op: "upsert" as const,
  key: { id },
  row: { id, ...more },
});
const start = { id: updateId(0), changes: 0, seen: null, inside: null, strand: "S" };

test("a slice ends early when the application's own triggers are slower than it was planned for", async () => {
  await using dir = tempDir();
  // About two milliseconds a row.
  await using it = await parts(
    dir,
    `create table item (id integer primary key);
     create trigger slow after insert on item begin
       select max(i) from (with recursive n (i) as (select 1 union all select i + 1 from n where i < 10000) select i from n);
     end`,
    20,
  );
  const changes = Array.from({ length: 200 }, (_, i) => row("item", i));
  const slicer = new Slicer(
    { updates: [{ id: updateId(5), tx: "t", changes }], through: updateId(5), cut: false, strand: "S" },
    start,
  );
  const applied = await applySlice(it, slicer, 200);
  expect(applied.changes).toBeGreaterThan(0);
  expect(applied.changes).toBeLessThan(200);
  const cursor = (await it.database.capture.state()).cursor;
  expect(cursor).toEqual({ id: 4, changes: applied.changes, seen: null, inside: null, strand: "S" });
  expect(it.app.prepare("select count(*) as n from item").get()?.["n"]).toBe(applied.changes);
});

test("a deferred constraint that only the commit finds marks its row, and nothing else", async () => {
  await using dir = tempDir();
  await using it = await parts(
    dir,
    `create table parent (id integer primary key);
     create table child (id integer primary key, parent integer references parent (id) deferrable initially deferred)`,
    50,
  );
  const changes = [
    row("parent", 1),
    row("child", 1, { parent: 1 }),
    row("child", 2, { parent: 99 }),
    row("child", 3, { parent: 1 }),
  ];
  const slicer = new Slicer(
    { updates: [{ id: updateId(5), tx: "t", changes }], through: updateId(5), cut: false, strand: "S" },
    start,
  );
  while (!slicer.done) await applySlice(it, slicer, 200);
  expect(
    it.app
      .prepare("select id from child order by id")
      .all()
      .map(({ id }) => id),
  ).toEqual([1, 3]);
  expect(it.stale.list(9)).toMatchObject([{ id: 5, table: "child", code: "PARENT_MISSING" }]);
  expect((await it.database.capture.state()).cursor).toEqual({
    id: 5,
    changes: 0,
    seen: null,
    inside: null,
    strand: "S",
  });
});

test("refusals are on the disk before the cursor passes them", async () => {
  await using dir = tempDir();
  await using it = await parts(dir, "create table item (id integer primary key, grade integer not null)", 50);
  const slicer = new Slicer(
    {
      updates: [{ id: updateId(5), tx: "t", changes: [row("item", 1, { grade: null })] }],
      through: updateId(5),
      cut: false,
      strand: "S",
    },
    start,
  );
  const seen: string[] = [];
  const { capture } = it.database;
  const remember = capture.remember.bind(capture);
  capture.remember = async (name, value) => {
    seen.push(`written down at ${(await capture.state()).cursor.id}`);
    await remember(name, value);
  };
  const applied = await applySlice(it, slicer, 10);
  expect(applied.refused).toHaveLength(1);
  expect(seen).toEqual(["written down at 0"]);
  expect((await StaleRows.open(capture)).list(9)).toMatchObject([{ table: "item", code: "NULL_REFUSED" }]);
});
