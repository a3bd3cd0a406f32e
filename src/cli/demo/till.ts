import { DatabaseSync, type StatementSync } from "node:sqlite";
import { centsOf, ITEMS, money, TILL_SCHEMA, type Shop } from "./shop.ts";

/** One till as its cashier uses it: an application of its own on its own connection, which knows nothing of Waybill. */
export class Till {
  readonly #db: DatabaseSync;
  readonly #shop: Shop;
  readonly #random: () => number;
  readonly #now: () => string;
  readonly #insertSale: StatementSync;
  readonly #insertLine: StatementSync;
  readonly #takeStock: StatementSync;
  readonly #priceOf: StatementSync;
  #next: number;
  /** A sale with a mistake that its cashier will want to void soon: shows what waits behind a dead letter. */
  #mistake: string | null = null;

  constructor(path: string, shop: Shop, random: () => number, now: () => string) {
    this.#db = new DatabaseSync(path);
    this.#shop = shop;
    this.#random = random;
    this.#now = now;
    this.#db.exec("pragma busy_timeout = 10000; pragma journal_mode = wal; pragma synchronous = normal");
    this.#db.exec(TILL_SCHEMA);
    this.#stockUp();
    this.#insertSale = this.#db.prepare(
      "insert into sale (sale_id, store_id, sold_at, cashier, total) values (?, ?, ?, ?, ?)",
    );
    this.#insertLine = this.#db.prepare(
      "insert into sale_line (sale_id, line_no, sku, qty, unit_price) values (?, ?, ?, ?, ?)",
    );
    this.#takeStock = this.#db.prepare("update stock set on_hand = on_hand - ? where store_id = ? and sku = ?");
    this.#priceOf = this.#db.prepare("select price from price where sku = ?");
    const last = this.#db.prepare("select max(sale_id) as id from sale").get() as { id: string | null };
    this.#next = last.id === null ? 1 : Number(last.id.split("-")[1]) + 1;
  }

  /** One sale is one transaction: header, lines, stock. Gives the number of rows written. */
  sell(): number {
    const saleId = this.#newSaleId();
    const lines = Array.from({ length: 1 + Math.floor(this.#random() ** 2 * 5) }, () => this.#pick());
    this.#commit(saleId, lines);
    return 1 + lines.length * 2;
  }

  /** A sale with a line of quantity 0: the till allows it, the centre's check constraint does not. */
  sellNothing(): void {
    const saleId = this.#newSaleId();
    this.#commit(saleId, [{ ...this.#pick(), qty: 0 }]);
    this.#mistake = saleId;
  }

  /** The cashier voids the mistaken sale; at the centre this waits behind the sale it belongs to. */
  voidMistake(): void {
    if (this.#mistake === null) return;
    this.#db.prepare("update sale set voided = 1 where sale_id = ?").run(this.#mistake);
    this.#mistake = null;
  }

  close(): void {
    this.#db.close();
  }

  #newSaleId(): string {
    return `${this.#shop.store}-${String(this.#next++).padStart(7, "0")}`;
  }

  #pick(): { sku: string; qty: number; cents: number } {
    const item = ITEMS[Math.floor(this.#random() * ITEMS.length)] ?? ITEMS[0];
    if (!item) throw new RangeError("the demo has no items");
    const known = this.#priceOf.get(item.sku) as { price: string } | undefined;
    return { sku: item.sku, qty: 1 + Math.floor(this.#random() * 3), cents: known ? centsOf(known.price) : item.cents };
  }

  #commit(saleId: string, lines: readonly { sku: string; qty: number; cents: number }[]): void {
    const total = lines.reduce((sum, line) => sum + line.qty * line.cents, 0);
    this.#db.exec("begin immediate");
    try {
      this.#insertSale.run(
        saleId,
        this.#shop.store,
        this.#now(),
        `cashier ${1 + Math.floor(this.#random() * 4)}`,
        money(total),
      );
      lines.forEach((line, i) => {
        this.#insertLine.run(saleId, BigInt(i + 1), line.sku, BigInt(line.qty), money(line.cents));
        this.#takeStock.run(BigInt(line.qty), this.#shop.store, line.sku);
      });
      this.#db.exec("commit");
    } catch (thrown) {
      this.#db.exec("rollback");
      throw thrown;
    }
  }

  #stockUp(): void {
    const add = this.#db.prepare("insert or ignore into stock (store_id, sku, on_hand) values (?, ?, ?)");
    this.#db.exec("begin immediate");
    for (const item of ITEMS) add.run(this.#shop.store, item.sku, 100_000n);
    this.#db.exec("commit");
  }
}
