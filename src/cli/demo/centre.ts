import { DatabaseSync } from "node:sqlite";
import { centsOf, CENTRAL_SCHEMA, ITEMS, money, shopAt } from "./shop.ts";

/** Head office as the demo plays it: an application on the central database that changes prices and knows nothing of Waybill. */
export class Centre {
  readonly #db: DatabaseSync;
  readonly #random: () => number;
  readonly #now: () => string;

  constructor(path: string, shops: number, random: () => number, now: () => string) {
    this.#db = new DatabaseSync(path);
    this.#random = random;
    this.#now = now;
    this.#db.exec("pragma busy_timeout = 10000; pragma journal_mode = wal; pragma synchronous = normal");
    this.#db.exec(CENTRAL_SCHEMA);
    this.#db.exec("begin immediate");
    const store = this.#db.prepare("insert or ignore into store (store_id, name, region) values (?, ?, ?)");
    for (let i = 0; i < shops; i++) {
      const shop = shopAt(i);
      store.run(shop.store, shop.name, shop.region);
    }
    const item = this.#db.prepare("insert or ignore into item (sku, name) values (?, ?)");
    const price = this.#db.prepare("insert or ignore into price (sku, price, changed_at) values (?, ?, ?)");
    for (const { sku, name, cents } of ITEMS) {
      item.run(sku, name);
      price.run(sku, money(cents), this.#now());
    }
    this.#db.exec("commit");
  }

  /** Changes up to three prices by up to ten percent in one transaction; gives the items changed. */
  changePrices(): readonly string[] {
    const changed = Array.from(
      { length: 1 + Math.floor(this.#random() * 3) },
      () => ITEMS[Math.floor(this.#random() * ITEMS.length)],
    ).filter((item) => item !== undefined);
    const read = this.#db.prepare("select price from price where sku = ?");
    const write = this.#db.prepare("update price set price = ?, changed_at = ? where sku = ?");
    this.#db.exec("begin immediate");
    for (const { sku, cents } of changed) {
      const now = (read.get(sku) as { price: string } | undefined)?.price ?? money(cents);
      write.run(money(Math.max(10, Math.round(centsOf(now) * (0.9 + this.#random() * 0.2)))), this.#now(), sku);
    }
    this.#db.exec("commit");
    return changed.map((item) => item.name);
  }

  sales(): number {
    return (this.#db.prepare("select count(*) as n from sale").get() as { n: number }).n;
  }
  close(): void {
    this.#db.close();
  }
}
