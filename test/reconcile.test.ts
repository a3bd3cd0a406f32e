import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { systemRuntime } from "../src/base/runtime.ts";
import { Stop } from "../src/base/stop.ts";
import { startHub } from "../src/hub/hub.ts";
import { checkHubConfig, hubSettings } from "../src/hub/load-config.ts";
import { readOperatorToken } from "../src/hub/operator-token.ts";
import type { Difference, Reconcile } from "../src/ledger/reconciles.ts";
import { silentLog } from "../src/observe/log.ts";
import { readTerminalConfig } from "../src/terminal/config.ts";
import { startTerminal } from "../src/terminal/terminal.ts";
import { tempDir } from "./kit/temp-dir.ts";
import { until } from "./kit/until.ts";

const CENTRAL = `
  create table clerk (id text primary key) without rowid;
  create table sale (sale_id text primary key, till text not null, sum text not null, clerk text references clerk) without rowid;
  create table stock (sku text primary key, name text not null, on_hand integer not null) without rowid;
  create table price (sku text primary key, price text not null, store text) without rowid;
  insert into price values ('A', '1.00', null), ('B', '2.00', '014'), ('C', '3.00', '015'), ('D', '4.00', null);`;
const TILL = `
  create table sale (id text primary key, till text not null, total numeric(12, 2) not null, clerk text, note text) without rowid;
  create table stock (sku text primary key, name text not null, on_hand integer not null) without rowid;
  create table price (sku text primary key, price numeric(12, 2) not null, store text) without rowid;
  insert into stock values ('tea', 'Tea', 40);`;
const TABLES = {
  sale: {
    direction: "up",
    owner: { column: "till", is: "terminal" },
    columns: { id: "sale_id", total: "sum", note: false },
  },
  stock: { direction: "up", conflict: { add: ["on_hand"] } },
  price: {
    direction: "down",
    audience: (row: { store?: unknown }) => (row.store === null ? "all" : `store:${String(row.store)}`),
  },
};

type Answer = Reconcile & { readonly differences: readonly Difference[] };

class Shop implements AsyncDisposable {
  readonly central: DatabaseSync;
  readonly till: DatabaseSync;
  readonly #stop = new Stop();
  readonly #folder: ReturnType<typeof tempDir>;
  #call: <T>(method: "GET" | "POST", path: string, body?: unknown) => Promise<T> = async () => {
    throw new Error("the hub does not run yet");
  };

  private constructor(folder: ReturnType<typeof tempDir>) {
    this.#folder = folder;
    const made = (name: string, schema: string): DatabaseSync => {
      const db = new DatabaseSync(folder.file(name), { timeout: 0 });
      db.exec(`pragma journal_mode = wal; pragma synchronous = off; pragma foreign_keys = on; ${schema}`);
      return db;
    };
    this.central = made("central.db", CENTRAL);
    this.till = made("till.db", TILL);
  }

  static async open(): Promise<Shop> {
    const shop = new Shop(tempDir());
    const folder = shop.#folder;
    const ledger = `sqlite:${folder.file("ledger.db")}`;
    const given = {
      ledger,
      central: `sqlite:${folder.file("central.db")}`,
      port: 0,
      tables: TABLES,
      retry: { attempts: 1 },
      limits: { freeDiskMib: 0 },
    };
    const settings = hubSettings(checkHubConfig(given, folder.path, {}));
    const stop = shop.#stop;
    const hub = await startHub({ settings, runtime: systemRuntime, log: silentLog, stop });
    const token = await readOperatorToken(ledger);
    shop.#call = async (method, path, body) => {
      const answer = await fetch(`${hub.address}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`);
      return (await answer.json()) as never;
    };
    const enrol = { terminal: "t1", tags: { store: "014" }, validMinutes: 5 };
    const made = await shop.call<{ token: string }>("POST", "/api/enroll-tokens", enrol);
    const config = readTerminalConfig({
      hub: hub.address,
      terminal: "t1",
      database: `sqlite:${folder.file("till.db")}`,
      state: folder.file("agent"),
      token: made.token,
      pollMs: 20,
    });
    await startTerminal({ config, runtime: systemRuntime, log: silentLog, stop });
    const sales = Array.from({ length: 30 }, (_, i) => sale(`S-${i + 1}`));
    await shop.run(shop.till, `begin immediate; ${sales.join(";")}; commit`);
    // The first load brings the stock, and what it brings after a test has begun would mend what the test has broken.
    const isAtRest = (): boolean =>
      shop.count(shop.central, "sale") === 30 &&
      shop.count(shop.central, "stock") === 1 &&
      shop.count(shop.till, "price") === 3;
    await until(isAtRest, { timeoutMs: 10_000, what: "a shop at rest" });
    return shop;
  }

  call<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> {
    return this.#call<T>(method, path, body);
  }
  /** Stations share this thread: nobody may wait for a lock in it. @returns false when another held it */
  tryTo(db: DatabaseSync, sql: string): boolean {
    try {
      db.exec(sql);
      return true;
    } catch (thrown) {
      if ((thrown as { errcode?: number }).errcode !== 5) throw thrown;
      return false;
    }
  }
  async run(db: DatabaseSync, sql: string): Promise<void> {
    await until(() => this.tryTo(db, sql), { timeoutMs: 10_000, what: "a moment without another writer" });
  }
  count(db: DatabaseSync, table: string): number {
    return Number(db.prepare(`select count(*) as n from ${table}`).get()?.["n"]);
  }

  async compare(more: object = {}): Promise<Answer> {
    return this.over(await this.call("POST", "/api/terminals/t1/reconcile", { reason: "test", ...more }));
  }
  async over({ id }: { readonly id: string }): Promise<Answer> {
    let answer: Answer | null = null;
    await until(
      async () => {
        answer = await this.call<Answer>("GET", `/api/reconciles/${id}?limit=1000`);
        return answer.endedAt !== null;
      },
      { timeoutMs: 60_000, what: `the end of ${id}` },
    );
    return answer as never;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop.end((what, thrown) => {
      throw new Error(`${what} did not close`, { cause: thrown });
    });
    this.central.close();
    this.till.close();
    await this.#folder[Symbol.asyncDispose]();
  }
}

const sale = (id: string, clerk = "null"): string =>
  `insert into sale (id, till, total, clerk, note) values ('${id}', 't1', 12.5, ${clerk}, 'only here')`;
const brief = ({ table, key, kind, repair }: Difference): string =>
  `${table} ${Object.values(key).join()} ${kind} → ${repair}`;

test("two sides in step are equal; what is not compared is said", async () => {
  await using shop = await Shop.open();
  const { state, report, differences } = await shop.compare();
  expect({ state, fault: report.fault, differences }).toEqual({ state: "done", fault: null, differences: [] });
  expect(report.tables).toMatchObject([
    { table: "sale", direction: "up", rowsAtCentre: 30, rowsAtTerminal: 30, leftOut: ["note"], complete: true },
    { table: "stock", direction: "up", rowsAtCentre: 1, rowsAtTerminal: 1, leftOut: ["on_hand"] },
    { table: "price", direction: "down", rowsAtCentre: 3, rowsAtTerminal: 3, leftOut: [] },
  ]);
});

test("I9: every difference is named by its key with both values, repaired by the table's direction, and then gone", async () => {
  await using shop = await Shop.open();
  await shop.run(
    shop.central,
    `delete from sale where sale_id in ('S-3', 'S-4'); update sale set sum = '99.00' where sale_id = 'S-5';
    insert into sale values ('S-lost', 't1', '1.00', null), ('S-other', 't2', '1.00', null);
    update stock set name = 'Coffee', on_hand = 7; insert into stock values ('jam', 'Jam', 1)`,
  );
  await shop.run(
    shop.till,
    `update price set price = 0.5 where sku = 'A'; delete from price where sku = 'B';
    insert into price values ('Z', 9, null)`,
  );
  const found = await shop.compare();
  expect(found.differences.map(brief).toSorted()).toEqual([
    "price A different → down",
    "price B missing at terminal → down",
    "price Z missing at centre → removal",
    "sale S-3 missing at centre → up",
    "sale S-4 missing at centre → up",
    "sale S-5 different → up",
    "sale S-lost missing at terminal → null",
    "stock tea different → up",
  ]);
  const five = found.differences.find(({ key }) => key["id"] === "S-5");
  expect(five?.columns).toEqual([{ name: "total", terminal: "12.5", centre: "99.00" }]);

  const repair = `/api/reconciles/${found.id}/repair`;
  expect(await shop.call("POST", repair, { preview: true, reason: "look" })).toMatchObject({
    up: 4,
    down: 2,
    removal: 1,
    nobody: 1,
    waits: 0,
  });
  expect(shop.count(shop.central, "sale"), "a preview changes nothing").toBe(30);
  const done = await shop.over(await shop.call("POST", repair, { reason: "mend", removals: true }));
  expect(done.report).toMatchObject({ fault: null, sent: { up: 4, down: 3, healed: 7 } });
  expect(shop.central.prepare("select sum from sale where sale_id = 'S-5'").get()).toEqual({ sum: "12.5" });
  expect(shop.central.prepare("select on_hand from stock where sku = 'tea'").get(), "a sum is left alone").toEqual({
    on_hand: 7,
  });
  expect(shop.till.prepare("select sku, price from price order by sku").all()).toMatchObject([
    { sku: "A", price: 1 },
    { sku: "B", price: 2 },
    { sku: "D", price: 4 },
  ]);
  const again = await shop.compare();
  expect(again.differences.map(brief)).toEqual(["sale S-lost missing at terminal → null"]);
  const events = await shop.call<{ events: { kind: string; actor: string }[] }>("GET", "/api/events?limit=200");
  const kinds = events.events.filter(({ kind }) => kind === "repair ordered");
  expect(kinds.map(({ actor }) => actor)).toEqual(["token:local"]);
});

test("only the differences that are named are repaired", async () => {
  await using shop = await Shop.open();
  await shop.run(shop.central, "delete from sale where sale_id in ('S-3', 'S-4')");
  const found = await shop.compare({ tables: ["sale"] });
  const four = found.differences.find(({ key }) => key["id"] === "S-4");
  await shop.over(
    await shop.call("POST", `/api/reconciles/${found.id}/repair`, { numbers: [four?.n], reason: "mend one" }),
  );
  const left = await shop.compare({ tables: ["sale"] });
  expect(left.differences.map(({ key }) => key["id"])).toEqual(["S-3"]);
});

test("a row that waits in a dead letter is explained by it, and a repair leaves it alone", async () => {
  await using shop = await Shop.open();
  await shop.run(shop.till, sale("S-dead", "'nobody'"));
  await until(async () => (await shop.call<{ rows: unknown[] }>("GET", "/api/exceptions")).rows.length === 1, {
    timeoutMs: 10_000,
    what: "the dead letter",
  });
  const found = await shop.compare();
  expect(found.differences).toMatchObject([
    { key: { id: "S-dead" }, kind: "missing at centre", because: { state: "dead" }, repair: null },
  ]);
});

test("I9: rows under way are no differences, however much is sold meanwhile", async () => {
  await using shop = await Shop.open();

  let sold = 0;
  const selling = setInterval(() => {
    shop.tryTo(
      shop.till,
      `begin immediate; ${[1, 2, 3].map((n) => sale(`L-${sold}-${n}`)).join(";")};
      update sale set total = total + 1 where id = 'S-${(sold % 30) + 1}'; commit`,
    );
    if (sold % 8 === 0) shop.tryTo(shop.central, `update price set price = '${sold}.10' where sku = 'A'`);
    sold++;
  }, 50);
  try {
    // A comparison may be through before much was sold.
    await until(
      async () => {
        const found = await shop.compare();
        expect(found.differences).toEqual([]);
        expect(found.state).toBe("done");
        return sold >= 10;
      },
      { timeoutMs: 60_000, what: "a comparison of rows under way" },
    );
  } finally {
    clearInterval(selling);
  }
});
