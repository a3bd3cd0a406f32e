import { setTimeout as pause } from "node:timers/promises";
import type { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { tempDir } from "../kit/temp-dir.ts";
import { until } from "../kit/until.ts";
import { Chain, type ChainShape } from "./chain.ts";

/**
 * Waybill comes to a shop that has been open for years: its rows are there before any trigger is, and it goes on selling
 * while they are captured for the first time. Sales made meanwhile name articles whose turn has not come yet, and make
 * new ones. `WAYBILL_ARTICLES` is the size of the shop.
 */
const ARTICLES = Number(process.env["WAYBILL_ARTICLES"] ?? 3_000);

const TABLES = `
  create table article (sku text primary key, name text not null) without rowid;
  create table stock (store_id text not null, sku text not null references article (sku), on_hand integer not null, primary key (store_id, sku)) without rowid;
  create table sale (sale_id text primary key, store_id text not null, sold_at text not null) without rowid;
  create table sale_line (sale_id text not null references sale (sale_id), line_no integer not null, sku text not null references article (sku),
    qty integer not null, primary key (sale_id, line_no)) without rowid;`;
const SHAPE: ChainShape = {
  till: TABLES,
  central: TABLES,
  config: {
    tables: {
      article: { direction: "up", onExisting: "keep" },
      stock: { direction: "up", owner: { column: "store_id", is: "terminal" }, conflict: { add: ["on_hand"] } },
      sale: { direction: "up", owner: { column: "store_id", is: "terminal" } },
      sale_line: { direction: "up" },
    },
    // Until its article's page has come, a sale is tried again; how long that takes is the machine's affair.
    retry: { attempts: 100, firstMs: 50, factor: 2, capMs: 2_000 },
  },
};

/** The shop before Waybill: articles, stock and some sales. */
function yearsBefore(db: DatabaseSync, till: string): void {
  db.exec(`begin immediate;
    with recursive n (i) as (select 1 union all select i + 1 from n where i < ${ARTICLES})
      insert into article select printf('A-%05d', i), 'article ' || i from n;
    insert into stock select '${till}', sku, 1000 from article;
    with recursive n (i) as (select 1 union all select i + 1 from n where i < ${ARTICLES / 10})
      insert into sale select printf('${till}-old-%05d', i), '${till}', '2025-01-01T09:00:00' from n;
    insert into sale_line select sale_id, 1, printf('A-%05d', 1 + (row_number() over ()) % ${ARTICLES}), 2 from sale;
    commit`);
}

/** Sells old articles and, now and then, one that has never been seen: header, lines and stock in one transaction. */
function sell(db: DatabaseSync, till: string, n: number): void {
  const saleId = `${till}-new-${String(n).padStart(5, "0")}`;
  const skus = [1, 7, 13].map((step) => `A-${String(1 + ((n * step * 37) % ARTICLES)).padStart(5, "0")}`);
  db.exec("begin immediate");
  if (n % 3 === 0) {
    const fresh = `A-${String(1 + ((n * 101) % ARTICLES)).padStart(5, "0")}-new`;
    db.prepare("insert or ignore into article values (?, ?)").run(fresh, `new ${n}`);
    db.prepare("insert or ignore into stock values (?, ?, 50)").run(till, fresh);
    skus.push(fresh);
  }
  db.prepare("insert into sale values (?, ?, ?)").run(saleId, till, "2026-11-23T10:00:00");
  for (const [at, sku] of [...new Set(skus)].entries()) {
    db.prepare("insert into sale_line values (?, ?, ?, ?)").run(saleId, BigInt(at + 1), sku, BigInt(1 + (n % 3)));
    db.prepare("update stock set on_hand = on_hand - ? where store_id = ? and sku = ?").run(
      BigInt(1 + (n % 3)),
      till,
      sku,
    );
  }
  db.exec("commit");
}

test(
  "a till that sells while its old rows are captured for the first time: no dead letter, stock exact",
  {
    timeout: 120_000,
  },
  async ({ annotate }) => {
    await using dir = tempDir();
    const chain = await Chain.make(dir.path, 2, SHAPE);
    const open = new AbortController();
    let selling: Promise<void> = Promise.resolve();
    try {
      await chain.startHub();
      await chain.enrollAll();
      using first = chain.till("till-1");
      using second = chain.till("till-2");
      const shops = [
        ["till-1", first],
        ["till-2", second],
      ] as const;
      for (const [till, db] of shops) yearsBefore(db, till);

      let sold = 0;
      selling = (async () => {
        for (; !open.signal.aborted; sold++) {
          for (const [till, db] of shops) sell(db, till, sold);
          await pause(15); // pages are paced: they go when the sales are through
        }
      })();
      await until(() => sold > 20);
      for (const till of chain.tills) chain.startAgent(till);
      // The shops sell through the first capture and some time beyond it.
      const count = (sql: string): number =>
        chain.central<{ n: number }>(`select count(*) as n from ${sql}`)[0]?.n ?? 0;
      await chain.until("half of the articles", () => count("article") >= ARTICLES / 2);
      await chain.killAgent("till-2");
      await chain.until("the old sales", () => count("sale where sale_id like '%old%'") === (2 * ARTICLES) / 10);
      open.abort();
      await selling;
      await chain.until("all sales", () => count("sale") === 2 * (sold + ARTICLES / 10));
      await chain.until("an empty backlog", async () => (await chain.overview()).backlog === 0);
      expect(await chain.overview()).toMatchObject({ dead: 0, held: 0, retrying: 0, discarded: 0 });
      for (const [till, db] of shops) {
        for (const sql of [
          `select * from stock where store_id = '${till}' order by sku`,
          `select * from sale where store_id = '${till}' order by sale_id`,
          `select * from sale_line where sale_id like '${till}-%' order by sale_id, line_no`,
        ])
          expect(chain.central(sql)).toEqual(db.prepare(sql).all());
      }
      await annotate(`${ARTICLES} articles, ${2 * sold} sales while they were captured`);
    } finally {
      open.abort();
      await selling.catch(() => undefined); // awaited above, where its error counts
      await chain.stop();
    }
  },
);
