import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Client, Pool, type PoolClient } from "pg";
import { Cluster } from "../test/kit/cluster.ts";
import { familyCpu, timed } from "./machine.ts";
import { rowsOf, sale, saleId, schema, type Sale, type Shape } from "./shape.ts";

export type EngineName = "sqlite" | "postgres";

/** One database with the tables of the measurements, as its owner's program uses it: fully durable. */
export interface Station extends AsyncDisposable {
  readonly url: string;
  /** Rows in all tables. Reads them all: not for waiting. */
  count(): Promise<number>;
  /** Whether the sale is there: how a measurement sees that it arrived. */
  has(saleId: string): Promise<boolean>;
  /** The highest sale id there; "" when there is none. */
  newest(): Promise<string>;
  /** What a query gives, each row as its values. */
  rows(sql: string): Promise<readonly (readonly unknown[])[]>;
  /** Sets the prices of articles from…from + count − 1, all in one transaction. */
  price(from: number, count: number, cents: number): Promise<void>;
  /**
   * Rings up sales number from…from + count − 1 of the terminal, each one transaction, at up to four checkouts at once.
   * @returns the last sale of each checkout: when these have arrived, all have
   */
  ring(terminal: string, from: number, count: number, shape: Shape): Promise<readonly string[]>;
  /**
   * What was captured and not packed yet was sold a minute apart, as by people, not by a loop: SQLite tells one
   * transaction of a backlog from the next by the time between them. PostgreSQL knows its transactions.
   */
  spread(shape: Shape): Promise<void>;
  /** The fastest way this database takes the sales in, without us. Milliseconds. */
  bulk(sales: readonly Sale[]): Promise<number>;
}

/** DDL; `options`: what the engine says after a table's columns. */
export type Ddl = (engine: EngineName, options: string) => string;
const SHOP: Ddl = (_, options) => schema(options);

/** Where databases of one engine are made. */
export interface Place extends AsyncDisposable {
  readonly engine: EngineName;
  readonly version: string;
  /** What the server's own processes used since it began; an embedded database has none. */
  cpuSeconds(): number;
  /** @param tables other tables than those of the measurements */
  station(name: string, tables?: Ddl): Promise<Station>;
  /** A URL for a ledger of its own. */
  ledger(name: string): Promise<string>;
}

export const openPlace = (engine: EngineName, folder: string): Promise<Place> =>
  engine === "sqlite" ? Promise.resolve(sqlitePlace(folder)) : postgresPlace(folder);

const COUNT = "select (select count(*) from sale) + (select count(*) from sale_line) as n";
const NEWEST = "select coalesce(max(sale_id), '') as id from sale";

// ── SQLite ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function sqlitePlace(folder: string): Place {
  return {
    engine: "sqlite",
    version: `SQLite ${process.versions["sqlite"] ?? "built in"}`,
    cpuSeconds: () => 0,
    station: async (name, tables = SHOP) => sqliteStation(join(folder, `${name}.db`), tables),
    ledger: async (name) => `sqlite:${join(folder, `${name}.db`)}`,
    [Symbol.asyncDispose]: async () => {},
  };
}

function sqliteStation(file: string, tables: Ddl): Station {
  const db = new DatabaseSync(file);
  db.exec("pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 10000");
  db.exec(tables("sqlite", "without rowid"));
  const prepared = new Map<string, StatementSync>();
  const statement = (sql: string): StatementSync => {
    const made = prepared.get(sql) ?? db.prepare(sql);
    prepared.set(sql, made);
    return made;
  };
  const insert = (sales: readonly Sale[]): void => {
    db.exec("begin immediate");
    for (const one of sales) {
      statement("insert into sale values (?, ?, ?, ?, ?)").run(...one.header);
      const line = statement("insert into sale_line values (?, ?, ?, ?, ?, ?)");
      for (const row of one.lines) line.run(...row);
    }
    db.exec("commit");
  };
  return {
    url: `sqlite:${file}`,
    count: async () => (statement(COUNT).get() as { n: number }).n,
    has: async (saleId) => statement("select 1 from sale where sale_id = ?").get(saleId) !== undefined,
    newest: async () => (statement(NEWEST).get() as { id: string }).id,
    rows: async (sql) =>
      statement(sql)
        .all()
        .map((row) => Object.values(row)),
    price: async (from, count, cents) => {
      db.exec("begin immediate");
      const price = statement(
        "insert into price values (?, ?) on conflict (sku) do update set unit_price = excluded.unit_price",
      );
      for (let n = from; n < from + count; n++) price.run(`A-${n}`, `${cents / 100}`);
      db.exec("commit");
    },
    ring: async (terminal, from, count, shape) => {
      for (let n = from; n < from + count; n++) insert([sale(terminal, n, shape)]);
      return count > 0 ? [saleId(terminal, from + count - 1)] : [];
    },
    spread: async (shape) =>
      void statement(
        "update waybill_outbox set at = at - (((select max(id) from waybill_outbox) - id) / ?) / 1440.0",
      ).run(BigInt(rowsOf(shape))),
    bulk: async (sales) => timed(() => thousands(sales).forEach(insert)),
    [Symbol.asyncDispose]: async () => db.close(),
  };
}

// ── PostgreSQL ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** One server for all stations, as on a small machine; its own settings are PostgreSQL's but for 256 MB of buffers. */
async function postgresPlace(folder: string): Promise<Place> {
  const cluster = await Cluster.make(join(folder, "postgres"), ["shared_buffers=256MB"]);
  const admin = new Client({ connectionString: cluster.url("postgres") });
  await admin.connect();
  const { rows } = await admin.query<{ server_version: string }>("show server_version");
  return {
    engine: "postgres",
    version: `PostgreSQL ${rows[0]?.server_version.split(" ")[0] ?? ""}`,
    cpuSeconds: () => familyCpu(cluster.pid),
    station: async (name, tables = SHOP) => {
      await admin.query(`create database "${name}"`);
      const station = openPostgres(cluster.url(name));
      await station.make(tables);
      return station;
    },
    ledger: async (name) => {
      await admin.query(`create database "${name}"`);
      return cluster.url(name);
    },
    [Symbol.asyncDispose]: async () => {
      await admin.end();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

const HEADERS = `insert into sale select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])`;
const LINES = `insert into sale_line select * from unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::text[], $6::text[])`;
const column = (rows: readonly (readonly (string | bigint)[])[], at: number): string[] =>
  rows.map((row) => String(row[at]));

/** One round trip a sale, as a good till's program does it. */
const RING = `with h as (insert into sale values ($1, $2, $3, $4, $5))
  insert into sale_line select * from unnest($6::text[], $7::int[], $8::text[], $9::int[], $10::text[], $11::text[])`;
const CHECKOUTS = 4;

async function ringOne(client: PoolClient, { header, lines }: Sale): Promise<void> {
  const columns = [0, 1, 2, 3, 4, 5].map((at) => column(lines, at));
  await client.query({ name: "ring", text: RING, values: [...header.map(String), ...columns] });
}

/** A station whose tables are there already, or are made by `make`. */
export function openPostgres(url: string): Station & { make(tables?: Ddl): Promise<void> } {
  const pool = new Pool({ connectionString: url, max: CHECKOUTS });
  const count = async (): Promise<number> => {
    const { rows } = await pool.query<{ n: string }>(COUNT);
    return Number(rows[0]?.n ?? 0);
  };
  return {
    url,
    make: async (tables = SHOP) => void (await pool.query(tables("postgres", ""))),
    count,
    has: async (saleId) => {
      const { rowCount } = await pool.query({
        name: "has",
        text: "select from sale where sale_id = $1",
        values: [saleId],
      });
      return rowCount === 1;
    },
    newest: async () => {
      const { rows } = await pool.query<{ id: string }>({ name: "newest", text: NEWEST });
      return rows[0]?.id ?? "";
    },
    rows: async (sql) => (await pool.query<unknown[]>({ text: sql, rowMode: "array" })).rows,
    price: async (from, many, cents) => {
      const skus = Array.from({ length: many }, (_, i) => `A-${from + i}`);
      await pool.query(
        `insert into price select sku, $2 from unnest($1::text[]) sku
         on conflict (sku) do update set unit_price = excluded.unit_price`,
        [skus, `${cents / 100}`],
      );
    },
    ring: async (terminal, from, many, shape) => {
      let next = from;
      const lasts = await Promise.all(
        Array.from({ length: Math.min(CHECKOUTS, many) }, async () => {
          const client = await pool.connect();
          let last = "";
          while (next < from + many) {
            last = saleId(terminal, next);
            await ringOne(client, sale(terminal, next++, shape));
          }
          client.release();
          return last;
        }),
      );
      return lasts.filter((last) => last !== "");
    },
    spread: async () => undefined,
    // Arrays are the fastest that a driver offers without COPY; two connections, since one leaves half of the server idle.
    bulk: async (sales) => {
      const chunks = thousands(sales);
      return timed(() =>
        Promise.all(
          [0, 1].map(async () => {
            const client = await pool.connect();
            for (let chunk = chunks.pop(); chunk; chunk = chunks.pop()) {
              const headers = chunk.map(({ header }) => header);
              const lines = chunk.flatMap((one) => one.lines);
              await client.query("begin");
              await client.query({
                name: "h",
                text: HEADERS,
                values: [0, 1, 2, 3, 4].map((at) => column(headers, at)),
              });
              if (lines.length > 0)
                await client.query({
                  name: "l",
                  text: LINES,
                  values: [0, 1, 2, 3, 4, 5].map((at) => column(lines, at)),
                });
              await client.query("commit");
            }
            client.release();
          }),
        ),
      );
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

function thousands(sales: readonly Sale[]): Sale[][] {
  const chunks: Sale[][] = [];
  for (let from = 0; from < sales.length; from += 1_000) chunks.push(sales.slice(from, from + 1_000));
  return chunks;
}
