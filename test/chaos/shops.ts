import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { Client } from "pg";
import type { RetailInvoice } from "../kit/retail.ts";
import { until } from "../kit/until.ts";

/** `n` numbers a till's sales without gaps; `lines` says how many lines belong to the sale: a reader can tell a torn one. */
export const TABLES = `
  create table sale (sale_id varchar(40) primary key, till varchar(20) not null, n integer not null, lines integer not null,
    sold_at varchar(40) not null, customer varchar(20), country varchar(40) not null);
  create table sale_line (sale_id varchar(40) not null references sale (sale_id), line_no integer not null,
    stock_code varchar(20) not null, quantity integer not null, unit_price varchar(20) not null, primary key (sale_id, line_no));
  create table tally (till varchar(20) primary key, sales integer not null);
  create table stock (till varchar(20) not null, sku integer not null, on_hand integer not null, primary key (till, sku));
  create table price (sku integer primary key, pence integer not null);
`;
export const SKUS = 5;
/** What is compared between a till and the centre in the end: a query, with the till's name where its rows are chosen. */
export const COMPARED = {
  sale: (where: string) => `select sale_id, till, n, lines, sold_at, customer, country from sale ${where} order by n`,
  sale_line: (where: string) =>
    `select l.sale_id, l.line_no, l.stock_code, l.quantity, l.unit_price from sale_line l join sale s on s.sale_id = l.sale_id ${where} order by s.n, l.line_no`,
  tally: (where: string) => `select till, sales from tally ${where}`,
  stock: (where: string) => `select till, sku, on_hand from stock ${where} order by sku`,
} as const;

/** A till's own program: rings up sales, each one transaction, and knows which of them were committed. */
export interface Shop extends AsyncDisposable {
  readonly till: string;
  /** What the agent opens. */
  readonly url: string;
  readonly committed: number;
  /** Rings up one sale, again and again until it is committed, whatever becomes of the server meanwhile. */
  sell(sale: RetailInvoice, saleId: string): Promise<void>;
  rows(sql: string): Promise<readonly (readonly string[])[]>;
}

type Statement = readonly [sql: string, ...values: (string | number | null)[]];

/** One sale: header, lines, the till's tally, and the stock of one article counted by its difference. */
function statements(till: string, n: number, saleId: string, sale: RetailInvoice): Statement[] {
  return [
    [
      "insert into sale (sale_id, till, n, lines, sold_at, customer, country) values ($1, $2, $3, $4, $5, $6, $7)",
      ...[saleId, till, n, sale.lines.length, sale.at, sale.customer, sale.country],
    ],
    ...sale.lines.map(({ line, stockCode, quantity, unitPrice }): Statement => [
      "insert into sale_line (sale_id, line_no, stock_code, quantity, unit_price) values ($1, $2, $3, $4, $5)",
      ...[saleId, line, stockCode, Number(quantity), unitPrice],
    ]),
    ["update tally set sales = sales + 1 where till = $1", till],
    ["update stock set on_hand = on_hand - $1 where till = $2 and sku = $3", sale.lines.length, till, n % SKUS],
  ];
}
const firstRows = (till: string): string =>
  [
    `insert into tally values ('${till}', 0)`,
    ...Array.from({ length: SKUS }, (_, sku) => `insert into stock values ('${till}', ${sku}, 1000)`),
  ].join(";");

export class SqliteShop implements Shop {
  readonly till: string;
  readonly url: string;
  committed = 0;
  readonly #db: DatabaseSync;

  constructor(till: string, file: string) {
    this.till = till;
    this.url = `sqlite:${file}`;
    // It waits for a lock by asking again, not within SQLite: an agent that was stopped in a transaction of its own is only let go
    // on by this very thread.
    this.#db = new DatabaseSync(file, { timeout: 0 });
    this.#db.exec(`pragma journal_mode = wal; pragma synchronous = full; ${TABLES}; ${firstRows(till)}`);
  }
  async sell(sale: RetailInvoice, saleId: string): Promise<void> {
    await until(() => this.#ring(sale, saleId), { timeoutMs: 60_000, what: `a sale of ${this.till} committed` });
    this.committed += 1;
  }
  #ring(sale: RetailInvoice, saleId: string): boolean {
    this.#begin();
    try {
      for (const [sql, ...values] of statements(this.till, this.committed + 1, saleId, sale))
        this.#db.prepare(sql.replaceAll(/\$\d/g, "?")).run(...values);
      this.#db.exec("commit");
      return true;
    } catch (thrown) {
      // A full disk; SQLite itself may have rolled back already.
      if (this.#db.isTransaction) this.#db.exec("rollback");
      throw thrown;
    }
  }
  /** Throws while another has the lock. */
  #begin(): void {
    this.#db.exec("begin immediate");
  }
  async rows(sql: string): Promise<string[][]> {
    return this.#db
      .prepare(sql)
      .all()
      .map((row) => Object.values(row).map(String));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#db.close();
  }
}

export class PostgresShop implements Shop {
  readonly till: string;
  readonly url: string;
  committed = 0;
  #client: Client | null = null;

  static async make(till: string, url: string): Promise<PostgresShop> {
    const shop = new PostgresShop(till, url);
    await (await shop.#connected()).query(`${TABLES}; ${firstRows(till)}`);
    return shop;
  }
  private constructor(till: string, url: string) {
    this.till = till;
    this.url = url;
  }
  async sell(sale: RetailInvoice, saleId: string): Promise<void> {
    for (;;) {
      try {
        const client = await this.#connected();
        // The commit before the server died may stand: whoever does not look sells twice.
        const { rowCount } = await client.query("select from sale where sale_id = $1", [saleId]);
        if (rowCount === 0) {
          await client.query("begin");
          for (const [sql, ...values] of statements(this.till, this.committed + 1, saleId, sale))
            await client.query(sql, values);
          await client.query("commit");
        }
        this.committed += 1;
        return;
      } catch {
        // With its open transaction, if the server is up: a full disk fails a statement, not the connection.
        await this.#client?.end().catch(() => undefined);
        this.#client = null;
        await pause(100);
      }
    }
  }
  async rows(sql: string): Promise<string[][]> {
    const { rows } = await (await this.#connected()).query<unknown[]>({ text: sql, rowMode: "array" });
    return rows.map((row) => row.map(String));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.end().catch(() => undefined); // its server may be gone
  }
  async #connected(): Promise<Client> {
    if (this.#client !== null) return this.#client;
    const client = new Client({ connectionString: this.url });
    client.on("error", () => {
      if (this.#client === client) this.#client = null;
    });
    await client.connect();
    this.#client = client;
    return client;
  }
}
