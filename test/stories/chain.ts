import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { readOperatorToken } from "../../src/hub/operator-token.ts";
import { spawnWaybill, type Child } from "../kit/child.ts";
import { freePort } from "../kit/free-port.ts";
import type { HubConfig } from "../../src/hub/config.ts";
import type { RetailInvoice } from "../kit/retail.ts";
import { until } from "../kit/until.ts";

/** A small chain of real processes over loopback: a hub and agents that a test may kill and start again at will. */
export const TILL_TABLES = `
  create table item (stock_code text primary key, description text not null) without rowid;
  create table sale (sale_id text primary key, store_id text not null, sold_at text not null, customer text, country text not null) without rowid;
  create table sale_line (
    sale_id text not null references sale (sale_id), line_no integer not null, stock_code text not null references item (stock_code),
    quantity integer not null, unit_price text not null, primary key (sale_id, line_no)
  ) without rowid;
`;
/** What a chain's databases look like and how they are kept in step. */
export type ChainShape = {
  readonly till: string;
  readonly central: string;
  /** The hub's config but for port, retries and lease, which are made for tests unless it names them. */
  readonly config: Omit<HubConfig, "port">;
};
export const RETAIL: ChainShape = {
  till: TILL_TABLES,
  central: TILL_TABLES,
  config: {
    tables: {
      // Tills know some articles by other names; the first name the centre heard stays.
      item: { direction: "up", onExisting: "keep" },
      sale: { direction: "up", owner: { column: "store_id", is: "terminal" }, search: ["sale_id"] },
      sale_line: { direction: "up" },
    },
  },
};
const HURRIED = {
  retry: { attempts: 20, firstMs: 50, factor: 2, capMs: 1_000 },
  processor: { leaseMs: 2_000, pollMs: 100 },
} satisfies Partial<HubConfig>;

/** Counts over all terminals, as `GET /api/overview` tells them. */
export type Overview = Readonly<
  Record<"received" | "loaded" | "backlog" | "retrying" | "held" | "dead" | "discarded", number>
>;

export class Chain {
  readonly folder: string;
  readonly tills: readonly string[];
  readonly #port: number;
  readonly #shape: ChainShape;
  #hub: Child | null = null;
  readonly #agents = new Map<string, Child>();
  readonly #tokens = new Map<string, string>();

  static async make(folder: string, tills: number, shape: ChainShape = RETAIL): Promise<Chain> {
    const chain = new Chain(
      folder,
      Array.from({ length: tills }, (_, i) => `till-${i + 1}`),
      await freePort(),
      shape,
    );
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "waybill.config.json"),
      JSON.stringify({ ...HURRIED, ...shape.config, port: chain.#port }),
    );
    for (const file of ["data/central.db", ...chain.tills.map((till) => `${till}.db`)]) {
      mkdirSync(join(folder, "data"), { recursive: true });
      using db = new Disposing(join(folder, file));
      db.exec(`pragma journal_mode = wal; ${file === "data/central.db" ? shape.central : shape.till}`);
    }
    return chain;
  }
  private constructor(folder: string, tills: readonly string[], port: number, shape: ChainShape) {
    this.folder = folder;
    this.#shape = shape;
    this.tills = tills;
    this.#port = port;
  }

  get address(): string {
    return `http://127.0.0.1:${this.#port}`;
  }
  /** The ledger's file. */
  get ledger(): string {
    return join(this.folder, "data/ledger.db");
  }
  get centralPath(): string {
    return join(this.folder, "data/central.db");
  }
  /** The hub's process. */
  get hub(): Child {
    if (!this.#hub) throw new Error("the hub has not been started");
    return this.#hub;
  }

  async startHub(): Promise<void> {
    this.#hub = spawnWaybill(["hub", "--log", "warn", "--config", join(this.folder, "waybill.config.json")]);
    await this.#hub.waitForLine(/The hub answers at/, { timeoutMs: 20_000 });
  }
  async enrollAll(): Promise<void> {
    for (const till of this.tills) {
      const { token } = await this.waybill<{ token: string }>("enroll", till);
      this.#tokens.set(till, token);
    }
  }
  /** Enrols a terminal that the test itself plays over HTTP, and gives its key. */
  async enrolRaw(terminal: string): Promise<string> {
    const { token } = await this.operator<{ token: string }>("POST", "/api/enroll-tokens", { terminal });
    const { key } = await call<{ key: string }>(
      `${this.address}/v1/enroll`,
      "POST",
      {},
      JSON.stringify({ token, terminal }),
    );
    return key;
  }
  /** One request of a terminal that the test plays; gives the acknowledgement. */
  submit<T>(key: string, body: Uint8Array<ArrayBuffer>): Promise<T> {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/x-ndjson" };
    return call<T>(`${this.address}/v1/messages`, "POST", headers, body);
  }
  /** What the command line and the console call. @throws Error with the problem document of a refusal */
  async operator<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> {
    const token = await readOperatorToken(`sqlite:${this.ledger}`);
    const headers = { authorization: `Bearer ${token}` };
    return call<T>(`${this.address}${path}`, method, headers, body === undefined ? undefined : JSON.stringify(body));
  }
  overview(): Promise<Overview> {
    return this.operator<Overview>("GET", "/api/overview");
  }
  startAgent(till: string): void {
    const token = this.#tokens.get(till);
    this.#agents.set(
      till,
      spawnWaybill([
        ...[
          "terminal",
          "--log",
          "warn",
          "--hub",
          this.address,
          "--id",
          till,
          "--database",
          `sqlite:${join(this.folder, `${till}.db`)}`,
        ],
        ...["--state", join(this.folder, `${till}.agent`), ...(token === undefined ? [] : ["--token", token])],
      ]),
    );
  }
  async stopHub(): Promise<void> {
    await this.#hub?.kill("SIGTERM");
  }
  async killHub(): Promise<void> {
    await this.#hub?.kill("SIGKILL");
    await this.startHub();
  }
  async killAgent(till: string): Promise<void> {
    await this.#agents.get(till)?.kill("SIGKILL");
    this.startAgent(till);
  }
  /** Runs the command line against this chain's hub and reads its JSON. */
  async waybill<T>(...words: string[]): Promise<T> {
    await using child = spawnWaybill([...words, "--json", "--config", join(this.folder, "waybill.config.json")]);
    const { code } = await child.ended;
    if (code !== 0) throw new Error(`waybill ${words.join(" ")} ended with ${code}: ${child.stderr}`);
    return JSON.parse(child.stdout) as T;
  }
  central<T>(sql: string): T[] {
    using db = new Disposing(this.centralPath);
    return db.prepare(sql).all() as T[];
  }
  /** The till's database, as its application opens it. */
  till(name: string): DatabaseSync & Disposable {
    const db = new Disposing(join(this.folder, `${name}.db`));
    db.exec("pragma busy_timeout = 10000; pragma synchronous = full; pragma foreign_keys = on");
    return db;
  }
  /** What the processes said on standard error, for the report of a failure. */
  complaints(): string {
    return [["hub", this.#hub] as const, ...this.#agents]
      .map(([name, child]) => `${name}:\n${child?.stderr.slice(-2_000) ?? ""}`)
      .join("\n");
  }
  /** Waits for `condition`; when it does not come, tells what the processes said and which messages are in trouble. */
  async until(what: string, condition: () => unknown, timeoutMs = 40_000): Promise<void> {
    await until(condition, { timeoutMs, what }).catch(async (cause: unknown) => {
      const { rows } = await this.operator<{ rows: readonly { lane: string; seq: number; detail: string }[] }>(
        "GET",
        "/api/exceptions?limit=20&states=retrying,held,dead",
      );
      const open = rows.map(({ lane, seq, detail }) => `${lane}/${seq} ${detail}`).join("\n");
      throw new Error(`${open}\n${this.complaints()}`, { cause });
    });
  }
  /**
   * Waits until the agent has put every table as it is into the lane once. Until then a page of rows may wait behind a
   * message in trouble, and sales behind that page; what a till sells afterwards waits only for its own reasons.
   */
  async firstRowsSent(till: string): Promise<void> {
    using db = this.till(till);
    const up = Object.values(this.#shape.config.tables).filter(({ direction }) => direction !== "down").length;
    await this.until(`the first rows of ${till}`, () => {
      if (!db.prepare("select 1 from sqlite_schema where name = 'waybill_fact'").get()) return false;
      const { begun } = db.prepare("select count(*) as begun from waybill_fact where name like 'resync:%'").get() ?? {};
      const waiting = db.prepare("select 1 from waybill_resync union all select 1 from waybill_outbox limit 1").get();
      return begun === up && waiting === undefined;
    });
  }
  async loaded(total: number, timeoutMs: number): Promise<void> {
    await until(() => this.central<{ n: number }>("select count(*) as n from sale_line")[0]?.n === total, {
      timeoutMs,
      what: `${total} lines at the centre`,
    });
  }
  async stop(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.kill("SIGKILL")));
    await this.#hub?.kill("SIGKILL");
  }
}

async function call<T>(
  url: string,
  method: "GET" | "POST",
  headers: Readonly<Record<string, string>>,
  body?: string | Uint8Array<ArrayBuffer>,
): Promise<T> {
  const response = await fetch(url, {
    method,
    headers: { ...(typeof body === "string" ? { "content-type": "application/json" } : {}), ...headers },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
}

class Disposing extends DatabaseSync implements Disposable {
  override [Symbol.dispose](): void {
    this.close();
  }
}

/** One invoice is one local transaction of header, lines and items as seen. */
export function ringUp(db: DatabaseSync, till: string, sale: RetailInvoice): void {
  db.exec("begin immediate");
  const item = db.prepare("insert or ignore into item (stock_code, description) values (?, ?)");
  const line = db.prepare(
    "insert into sale_line (sale_id, line_no, stock_code, quantity, unit_price) values (?, ?, ?, ?, ?)",
  );
  db.prepare("insert into sale (sale_id, store_id, sold_at, customer, country) values (?, ?, ?, ?, ?)").run(
    sale.invoice,
    till,
    sale.at,
    sale.customer,
    sale.country,
  );
  for (const sold of sale.lines) {
    item.run(sold.stockCode, sold.description);
    line.run(sale.invoice, BigInt(sold.line), sold.stockCode, BigInt(sold.quantity), sold.unitPrice);
  }
  db.exec("commit");
}

/** Sum of quantity × unit price in exact hundredths. */
export function totalOf(lines: readonly { quantity: number; unit_price: string }[]): string {
  let hundredths = 0n;
  for (const { quantity, unit_price } of lines) {
    const [whole = "0", fraction = ""] = unit_price.split(".");
    hundredths += BigInt(quantity) * BigInt(`${whole}${fraction.padEnd(2, "0")}`);
  }
  const digits = String(hundredths < 0n ? -hundredths : hundredths).padStart(3, "0");
  return `${hundredths < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}
