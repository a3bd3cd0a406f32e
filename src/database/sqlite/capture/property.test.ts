import fc from "fast-check";
import { expect, test } from "vitest";
import { Replica, Till } from "./till.test-kit.ts";

/**
 * Whatever an application does: a strict receiver, who refuses an insert of a row that is there, a change of one that is
 * not, and any before-image that is not the row as it has it, ends with the application's tables.
 */
const SCHEMAS = {
  "a rowid table with two more unique keys":
    "create table item (id integer primary key, a int unique, b text collate nocase, c int not null default 2, d, unique (b, c)); create index item_c on item (c);",
  "a WITHOUT ROWID table with a composite key":
    "create table item (id int, a int not null default 1, b text collate nocase unique, c int, d, primary key (id, a)) without rowid; create unique index item_c on item (c) where a > 1;",
  "a rowid table with a text key and an index on an expression":
    "create table item (id text primary key not null, a int, b text, c int unique on conflict replace, d); create unique index item_b on item (lower(b), a % 2);",
};
const CHILD =
  "create table part (id integer primary key, item references item (id) on delete cascade on update cascade, v unique);";
const STAMP = `create trigger stamp after insert on item when new.c is not 9 begin update item set d = new.b where id = new.id and a = new.a; end;
  create trigger restamp after update of c on item begin update item set d = old.c where id = new.id and a = new.a; end;`;

const value = fc.oneof(
  fc.integer({ min: 0, max: 3 }).map(String),
  fc.constantFrom("null", "'x'", "'X'", "'y'", "x'01'", "1.5"),
);
const small = fc.integer({ min: 0, max: 4 }).map(String);
const text = fc.constantFrom("'x'", "'X'", "'y'", "'z'", "null");
const row = fc
  .tuple(small, small, text, fc.oneof(small, fc.constant("null")))
  .map((values) => `(${values.join(", ")})`);
const conflict = fc.constantFrom("", "or replace", "or replace", "or ignore", "or fail", "or abort");
const where = fc.oneof(
  fc.constant(""),
  fc.tuple(fc.constantFrom("id", "a", "c"), small).map(([column, v]) => `where ${column} = ${v}`),
);
const statement = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(conflict, fc.array(row, { minLength: 1, maxLength: 3 }))
      .map(([or, rows]) => `insert ${or} into item (id, a, b, c) values ${rows.join(", ")}`),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(conflict, fc.constantFrom("id", "a", "b", "c"), value, where)
      .map(([or, column, v, w]) => `update ${or} item set ${column} = ${v} ${w}`),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(conflict, where).map(([or, w]) => `update ${or} item set a = a + 1, c = c - 1 ${w}`),
  },
  { weight: 2, arbitrary: where.map((w) => `delete from item ${w}`) },
  {
    weight: 1,
    arbitrary: row.map(
      (values) => `insert into item (id, a, b, c) values ${values} on conflict do update set c = 7, a = excluded.a`,
    ),
  },
  {
    weight: 1,
    arbitrary: row.map((values) => `insert into item (id, a, b, c) values ${values} on conflict do nothing`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(conflict, small, small, value)
      .map(([or, id, item, v]) => `insert ${or} into part values (${id}, ${item}, ${v})`),
  },
  { weight: 1, arbitrary: fc.tuple(conflict, value).map(([or, v]) => `update ${or} part set v = ${v}`) },
  { weight: 1, arbitrary: fc.constantFrom("savepoint s", "rollback to s", "release s", "begin", "commit", "rollback") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "pragma recursive_triggers = on",
      "pragma recursive_triggers = off",
      "pragma foreign_keys = on",
    ),
  },
  { weight: 1, arbitrary: fc.constant("PACK") },
);

test.each(
  Object.entries(SCHEMAS).flatMap(([name, schema]) => [
    [name, schema, ""] as const,
    [`${name}, stamped`, schema, STAMP] as const,
  ]),
)(
  "the changes packed replay to the table as it is: %s",
  async (_, schema, stamp) => {
    // A composite key cannot be named by the child's one column: that table stays alone.
    const tables = schema.includes("without rowid") ? ["item"] : ["item", "part"];
    const child = tables.length > 1 ? CHILD : "create table part (id integer primary key, item, v);";
    await fc.assert(
      fc.asyncProperty(
        fc.array(statement, { minLength: 5, maxLength: 40 }),
        fc.boolean(),
        async (statements, stampFirst) => {
          using till = new Till(`pragma synchronous = off; ${schema} ${child} ${stampFirst ? stamp : ""}`);
          till.connection.db.exec("pragma synchronous = off"); // for speed: nothing loses power here
          await till.start({ tables });
          if (!stampFirst) till.app.exec(stamp);
          const replicas = tables.map((table) => new Replica(till, table));
          const compare = async (): Promise<void> => {
            const changes = await till.changes();
            for (const [i, table] of tables.entries())
              expect(replicas[i]?.apply(changes).rows).toEqual(till.rows(table));
          };
          for (const sql of statements) {
            if (sql !== "PACK") attempt(till, sql);
            else if (!till.app.isTransaction) await compare();
          }
          if (till.app.isTransaction) till.app.exec("commit");
          await compare();
        },
      ),
      { numRuns: 15 },
    );
  },
  60_000,
);

/** The application's statements may be refused: that is part of the life we watch. */
function attempt(till: Till, sql: string): void {
  try {
    till.app.exec(sql);
  } catch (thrown) {
    expect(String(thrown)).toMatch(/constraint|savepoint|transaction|mismatch/);
  }
}
