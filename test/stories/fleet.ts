import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { DatabaseSync } from "node:sqlite";
import { spawnWaybill, type Child } from "../kit/child.ts";
import { freePort } from "../kit/free-port.ts";
import { until } from "../kit/until.ts";
import { TILL_TABLES } from "./chain.ts";

export const LEASE_MS = 2_000;
const OPERATOR = "an operator of the fleet test";
const CONFIG = {
  tables: {
    item: { direction: "up", onExisting: "keep" },
    sale: { direction: "up", owner: { column: "store_id", is: "terminal" } },
    sale_line: { direction: "up" },
    price: { direction: "down", audience: "all" },
  },
  retry: { attempts: 20, firstMs: 50, factor: 2, capMs: 1_000 },
  processor: { leaseMs: LEASE_MS, pollMs: 200 },
  publisher: { quietGapMs: 50 },
  tokens: [{ name: "fleet", role: "operator", token: OPERATOR.replaceAll(" ", "-") }],
};
const PRICE = "create table price (stock_code text primary key, pence integer not null) without rowid;";

/** Several hub processes over one ledger, one centre, and tills with their agents; each till calls a hub of its own. */
export class Fleet {
  readonly tills: readonly string[];
  readonly #folder: string;
  readonly #ports: readonly number[];
  readonly #roles: readonly (string | null)[];
  readonly #hubs: Child[] = [];
  readonly #agents: Child[] = [];

  /** @param roles of each hub; null: all. Tills call those that have all. */
  static async make(folder: string, ledger: string, roles: readonly (string | null)[], tills: number): Promise<Fleet> {
    const ports: number[] = [];
    for (const _ of roles) ports.push(await freePort());
    const names = Array.from({ length: tills }, (_, i) => `till-${i + 1}`);
    mkdirSync(join(folder, "data"), { recursive: true });
    writeFileSync(join(folder, "waybill.config.json"), JSON.stringify({ ...CONFIG, ledger }));
    for (const file of ["data/central.db", ...names.map((till) => `${till}.db`)]) {
      using db = new Disposing(join(folder, file));
      db.exec(`pragma journal_mode = wal; ${TILL_TABLES} ${PRICE}`);
    }
    return new Fleet(folder, ports, roles, names);
  }
  private constructor(
    folder: string,
    ports: readonly number[],
    roles: readonly (string | null)[],
    tills: readonly string[],
  ) {
    this.#folder = folder;
    this.#ports = ports;
    this.#roles = roles;
    this.tills = tills;
  }

  async start(): Promise<void> {
    await Promise.all(this.#ports.map((_, at) => this.#startHub(at)));
    const callable = this.#ports.filter((_, at) => this.#roles[at] === null);
    for (const [i, till] of this.tills.entries()) {
      const port = callable[i % callable.length];
      await using enroll = spawnWaybill([
        ...["enroll", till, "--json", "--hub", `http://127.0.0.1:${port}`, "--token", CONFIG.tokens[0]!.token],
        ...["--config", join(this.#folder, "waybill.config.json")],
      ]);
      const { code } = await enroll.ended;
      if (code !== 0) throw new Error(`enroll ended with ${code}: ${enroll.stderr}`);
      const { token } = JSON.parse(enroll.stdout) as { token: string };
      this.#agents.push(
        spawnWaybill([
          ...["terminal", "--log", "warn", "--hub", `http://127.0.0.1:${port}`, "--id", till, "--token", token],
          ...[
            "--database",
            `sqlite:${join(this.#folder, `${till}.db`)}`,
            "--state",
            join(this.#folder, `${till}.agent`),
          ],
        ]),
      );
    }
  }

  async #startHub(at: number): Promise<void> {
    const roles = this.#roles[at];
    const hub = spawnWaybill([
      ...["hub", "--log", "info", "--port", String(this.#ports[at]), ...(roles ? ["--roles", roles] : [])],
      ...["--config", join(this.#folder, "waybill.config.json")],
    ]);
    this.#hubs[at] = hub;
    await hub.waitForLine(/The hub answers at/, { timeoutMs: 30_000 });
  }

  async killHub(at: number): Promise<void> {
    await this.#hubs[at]?.kill("SIGKILL");
    await this.#startHub(at);
  }
  /** Paused for longer than a lease, then let go on as if nothing had happened. */
  async pauseHub(at: number): Promise<void> {
    await this.#hubs[at]?.kill("SIGSTOP");
    await pause(LEASE_MS * 1.5);
    await this.#hubs[at]?.kill("SIGCONT");
  }

  till(name: string): DatabaseSync & Disposable {
    const db = new Disposing(join(this.#folder, `${name}.db`));
    db.exec("pragma busy_timeout = 10000; pragma synchronous = full; pragma foreign_keys = on");
    return db;
  }
  central<T>(sql: string): T[] {
    using db = new Disposing(join(this.#folder, "data/central.db"));
    db.exec("pragma busy_timeout = 10000");
    return db.prepare(sql).all() as T[];
  }
  price(stockCode: string, pence: number): void {
    using db = new Disposing(join(this.#folder, "data/central.db"));
    db.exec("pragma busy_timeout = 10000");
    db.prepare("insert into price values (?, ?) on conflict do update set pence = excluded.pence").run(
      stockCode,
      pence,
    );
  }
  async loaded(lines: number, timeoutMs: number): Promise<void> {
    const count = (): number => this.central<{ n: number }>("select count(*) as n from sale_line")[0]?.n ?? 0;
    await until(() => count() === lines, { timeoutMs, what: `${lines} lines at the centre` });
  }
  /** Each hub's log so far, as it was written. */
  log(at: number): string {
    const hub = this.#hubs[at];
    return hub ? hub.stdout + hub.stderr : "";
  }
  complaints(): string {
    return [...this.#hubs, ...this.#agents].map((child) => child.stderr.slice(-3_000)).join("\n────\n");
  }
  async stop(): Promise<void> {
    await Promise.all([...this.#hubs, ...this.#agents].map((child) => child.kill("SIGKILL")));
  }
}

class Disposing extends DatabaseSync implements Disposable {
  override [Symbol.dispose](): void {
    this.close();
  }
}
