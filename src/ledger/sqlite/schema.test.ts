import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemRuntime } from "../../base/runtime.ts";
import { FINAL_STATES, STATE_KINDS } from "../../message/lifecycle.ts";
import { send, Till } from "../contract/till.ts";
import { openSqliteLedger } from "./ledger.ts";
import { migrations } from "./migrate.ts";

describe("the ledger's file", () => {
  let folder = "";
  const path = (): string => join(folder, "ledger.db");
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "waybill-schema-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const make = async (): Promise<void> => (await openSqliteLedger(path(), systemRuntime))[Symbol.asyncDispose]();
  const inspect = <T>(work: (db: DatabaseSync) => T): T => {
    const db = new DatabaseSync(path());
    try {
      return work(db);
    } finally {
      db.close();
    }
  };

  test("allows an exception exactly the states of the table of moves that are more than a range", async () => {
    await make();
    const sql = inspect((db) => db.prepare("select sql from sqlite_schema where name = 'exception'").get()?.sql);
    const listed = (after: string): string[] => {
      const at = String(sql).indexOf(after);
      return [
        ...(
          String(sql)
            .slice(at)
            .match(/\(([^)]*)\)/)?.[1] ?? ""
        ).matchAll(/'(\w+)'/g),
      ].map((found) => found[1]!);
    };
    expect(listed("check (state in")).toEqual(STATE_KINDS.filter((state) => state !== "processing"));
    expect(listed("is not null) = (state in".slice(16)).length).toBeGreaterThan(0);
    expect(listed("= (state in").toSorted()).toEqual(FINAL_STATES.toSorted());
  });

  test("is made with its folder at the first start", async () => {
    const deep = join(folder, "data", "hub", "ledger.db");
    await (await openSqliteLedger(deep, systemRuntime))[Symbol.asyncDispose]();
    expect(statSync(deep).isFile()).toBe(true);
  });

  test("is the work of numbered migrations, and opening it again changes nothing", async () => {
    await make();
    await make();
    expect(inspect((db) => db.prepare("pragma user_version").get())).toEqual({ user_version: migrations().length });
    expect(inspect((db) => db.prepare("select count(*) as n from event where kind = 'ledger migrated'").get())).toEqual(
      {
        n: migrations().length,
      },
    );
  });

  test("of a newer Waybill is refused, and not touched", async () => {
    await make();
    inspect((db) => db.exec("pragma user_version = 99"));
    await expect(make()).rejects.toMatchObject({ code: "SCHEMA_NEWER", facts: { found: 99 } });
    expect(inspect((db) => db.prepare("pragma user_version").get())).toEqual({ user_version: 99 });
  });

  test("of another program is refused, and not touched", async () => {
    inspect((db) => db.exec("create table sale (id integer primary key)"));
    await expect(make()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect(inspect((db) => db.prepare("select count(*) as n from sqlite_schema").get())).toEqual({ n: 1 });
  });

  test("a failed open gives the lock back", async () => {
    inspect((db) => db.exec("create table sale (id integer primary key)"));
    await expect(make()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    rmSync(path());
    await make();
  });

  test("is refused to a second opener, and nothing is harmed", async () => {
    await using ledger = await openSqliteLedger(path(), systemRuntime);
    await expect(openSqliteLedger(path(), systemRuntime)).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
    await send(ledger, new Till("t1").write(1).messages(1, 1));
  });

  test("finds due lanes, runs and events by index, never by scanning", async () => {
    await make();
    const plans = inspect((db) =>
      [
        "select lane from lane_out where work_at <= 1 order by work_at, lane limit 5",
        "select min(work_at) as at from lane_out where work_at is not null",
        "select through_seq as through, part, bytes from run where lane = 1 and through_seq >= 1 order by through_seq, through_part",
        "select id, tx, bytes from update_entry where audience = 'all' and id > 1 and (origin is null or origin <> 't') order by id limit 9",
        "select min(due_at) as at from exception where lane = 1 and due_at is not null and seq <= 9",
        "select i.seq from lane l join imprint i on i.lane = l.id and i.id = x'01' where l.terminal = 't1'",
      ].map((sql) =>
        db
          .prepare(`explain query plan ${sql}`)
          .all()
          .map((row) => String(row.detail))
          .join("; "),
      ),
    );
    for (const plan of plans) {
      expect(plan).toMatch(
        /^SEARCH .* USING (COVERING )?INDEX|^SEARCH lane_out USING|^SCAN lane_out USING COVERING INDEX lane_due/,
      );
      expect(plan).not.toMatch(/TEMP B-TREE/);
    }
  });
});
