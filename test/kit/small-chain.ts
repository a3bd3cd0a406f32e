import { writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { systemRuntime } from "../../src/base/runtime.ts";
import { Stop } from "../../src/base/stop.ts";
import { startHub, type Hub } from "../../src/hub/hub.ts";
import { readOperatorToken } from "../../src/hub/operator-token.ts";
import { silentLog } from "../../src/observe/log.ts";
import { readTerminalConfig } from "../../src/terminal/config.ts";
import { startTerminal } from "../../src/terminal/terminal.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

const TABLES = `
  create table sale (id text primary key, till text not null, amount text not null check (amount <> 'bad'));
  create table price (sku text primary key, amount text not null check (amount <> 'bad'));`;
export const PUBLISHER = "publisher-token-of-this-test";
const CONFIG = {
  tables: {
    sale: { direction: "up", owner: { column: "till", is: "terminal" }, search: ["id"] },
    price: { direction: "down", audience: "all" },
  },
  processor: { pollMs: 50 },
  publisher: { pollMs: 20, quietGapMs: 10 },
  retry: { attempts: 1 },
  tokens: [{ name: "erp", role: "publisher", token: PUBLISHER }],
};

/** A hub and tills beside it: in this process, but over real HTTP, files and threads, as a config file asks for them. */
export class SmallChain implements AsyncDisposable {
  readonly dir = tempDir();
  readonly #stop = new Stop();
  #hub: Hub | null = null;

  static async start(config: object): Promise<SmallChain> {
    const world = new SmallChain();
    for (const file of ["central.db", "t1.db", "t2.db", "t3.db"])
      world.sql(file, `pragma journal_mode = wal; ${TABLES}`);
    const path = world.dir.file("waybill.config.json");
    const databases = { ledger: "sqlite:./ledger.db", central: "sqlite:./central.db", port: 0 };
    writeFileSync(path, JSON.stringify({ ...CONFIG, ...databases, ...config }));
    world.#hub = await startHub({ source: { path }, runtime: systemRuntime, log: silentLog, stop: world.#stop });
    return world;
  }
  get address(): string {
    return this.#hub?.address ?? "";
  }
  /** Ends the hub alone; its tills go on without it. */
  async closeHub(): Promise<void> {
    await this.#hub?.close();
  }
  async till(terminal: string, given: object = {}): Promise<void> {
    const { token } = await this.operator<{ token: string }>("/api/enroll-tokens", { terminal });
    const config = readTerminalConfig({
      ...{ hub: this.address, terminal, token, pollMs: 5, quietGapMs: 5, statusMs: 100 },
      ...given,
      database: `sqlite:${this.dir.file(`${terminal}.db`)}`,
      state: this.dir.file(`${terminal}-state`),
    });
    await startTerminal({ config, runtime: systemRuntime, log: silentLog, stop: this.#stop });
    const captured = "select count(*) as n from sqlite_master where type = 'trigger' and tbl_name = 'sale'";
    await until(() => Number(this.rows(`${terminal}.db`, captured)[0]?.["n"]) > 0, { what: "triggers" });
  }
  /** The admin's token that lies beside the ledger. */
  async token(): Promise<string> {
    return (await readOperatorToken(`sqlite:${this.dir.file("ledger.db")}`)) ?? "";
  }
  async operator<T>(path: string, body?: unknown): Promise<T> {
    const token = await this.token();
    const answer = await fetch(`${this.address}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await answer.json()) as T;
  }
  sql(file: string, sql: string): void {
    const db = new DatabaseSync(this.dir.file(file));
    db.exec(`pragma busy_timeout = 5000; ${sql}`);
    db.close();
  }
  rows(file: string, sql: string): readonly Record<string, unknown>[] {
    const db = new DatabaseSync(this.dir.file(file));
    try {
      return db.prepare(sql).all();
    } finally {
      db.close();
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop.end(() => undefined);
    await this.dir[Symbol.asyncDispose]();
  }
}
