import fc from "fast-check";
import { expect, test } from "vitest";
import type { Row } from "../../message/change.ts";
import { stationIn } from "./station.test-kit.ts";

const open = stationIn("wal");

test("pages cover every row exactly once, whatever values SQLite let into the key", async () => {
  await using station = await open("create table t (a, b text collate nocase, n integer, primary key (a, b))");
  const key = fc.tuple(
    fc.oneof(
      fc.integer(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.double({ noNaN: true }),
      fc.string(),
      fc.uint8Array({ maxLength: 4 }),
    ),
    fc.oneof(fc.string({ maxLength: 3 }), fc.uint8Array({ maxLength: 2 })),
  );
  const { db } = station.connection;
  await fc.assert(
    fc.asyncProperty(fc.array(key, { maxLength: 30 }), fc.integer({ min: 1, max: 7 }), async (keys, limit) => {
      db.exec("delete from t");
      const put = db.prepare("insert or ignore into t values (?, ?, 1)");
      for (const [a, b] of keys) put.run(a, b);
      const total = Number(db.prepare("select count(*) as n from t").get()?.["n"]);
      const seen: Row[] = [];
      for (let after: Row | null = null; ;) {
        const page: readonly Row[] = await station.database.read.page("t", after, limit);
        seen.push(...page);
        expect(seen.length).toBeLessThanOrEqual(total); // or a page that gives its own start again would never end
        if (page.length < limit) break;
        after = JSON.parse(JSON.stringify(page.at(-1))) as Row; // as it would come back over the wire
      }
      expect(seen).toHaveLength(total);
      for (const row of seen) expect(await station.database.read.row("t", row)).toEqual(row);
    }),
    { numRuns: 60 },
  );
});

test("rows with NULL in their key are left out, and do not end the reading", async () => {
  await using station = await open(
    "create table t (a text, b text, primary key (a, b)); insert into t values (null, 'x'), ('a', null), ('a', 'b'), ('c', 'd')",
  );
  expect(await station.database.read.page("t", null, 1)).toEqual([{ a: "a", b: "b" }]);
  expect(await station.database.read.page("t", { a: "a", b: "b" }, 9)).toEqual([{ a: "c", b: "d" }]);
});

test("a table without a key cannot be read in order; a key that no row can have finds none", async () => {
  await using station = await open("create table log (line text); create table t (id integer primary key)");
  await expect(station.database.read.page("log", null, 1)).rejects.toMatchObject({ code: "KEY_INVALID" });
  expect(await station.database.read.row("t", { id: "seven" })).toBeNull();
  await expect(station.database.read.page("t", { id: "seven" }, 1)).rejects.toMatchObject({ code: "TYPE_REFUSED" });
});
