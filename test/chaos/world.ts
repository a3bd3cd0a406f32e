import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Client } from "pg";
import { spawnWaybill, type Child } from "../kit/child.ts";
import { Cluster } from "../kit/cluster.ts";
import { freePort } from "../kit/free-port.ts";
import { Proxy } from "../kit/proxy.ts";
import { REPO } from "../kit/repo.ts";
import { findSmallDisks, SmallDisk } from "../kit/small-disk.ts";
import { until } from "../kit/until.ts";
import { PostgresShop, SKUS, SqliteShop, TABLES, type Shop } from "./shops.ts";

export const LEASE_MS = 2_000;
const TOKEN = "the-operator-of-chaos";
const CONFIG = {
  tables: {
    sale: { direction: "up", owner: { column: "till", is: "terminal" }, search: ["sale_id"] },
    sale_line: { direction: "up" },
    tally: { direction: "up", owner: { column: "till", is: "terminal" } },
    stock: { direction: "up", owner: { column: "till", is: "terminal" }, conflict: { add: ["on_hand"] } },
    price: { direction: "down", audience: "all" },
  },
  retry: { attempts: 20, firstMs: 50, factor: 2, capMs: 1_000 },
  processor: { leaseMs: LEASE_MS, pollMs: 200 },
  publisher: { quietGapMs: 50 },
  tokens: [{ name: "chaos", role: "operator", token: TOKEN }],
};

export type Size = {
  readonly hubs: number;
  /** Every other one is a PostgreSQL database, the rest are SQLite files. */
  readonly tills: number;
};

/** A hub and what it talks through: proxies of its own to the ledger, to the centre, and for the terminals that call it. */
export type HubSeat = {
  readonly name: string;
  readonly process: Supervised;
  readonly ledger: Proxy;
  readonly centre: Proxy;
  readonly door: Proxy;
};
/** What a disk is named after is on it; of `shops`: the SQLite tills and what the agents keep beside them. */
export type Disks = Readonly<Record<"ledger" | "centre" | "tills" | "shops", SmallDisk>>;
/** Enough for hours of sales, and filled in a moment. */
const DISK_MIB = 768;
const SERVER_SETTINGS = ["shared_buffers=64MB", "max_wal_size=128MB"];
export type TillSeat = { readonly shop: Shop; readonly agent: Supervised };

/**
 * Real processes as in a chain's computer centre: three PostgreSQL servers (ledger, centre, tills), several hubs over one
 * ledger, an agent beside each till, and a proxy on every way between them. Whatever ends is started again, as a service
 * manager does.
 */
export class World implements AsyncDisposable {
  readonly servers: Readonly<Record<"ledger" | "centre" | "tills", Cluster>>;
  readonly hubs: readonly HubSeat[];
  readonly tills: TillSeat[] = [];
  /** Null where nobody may make disks that can be filled. */
  readonly disks: Disks | null;
  readonly #folder: string;
  readonly #stack: AsyncDisposableStack;

  static async make(folder: string, size: Size): Promise<World> {
    await using stack = new AsyncDisposableStack();
    const disk = (name: string): SmallDisk => stack.use(new SmallDisk(join(folder, name), DISK_MIB));
    const disks =
      "at" in findSmallDisks()
        ? { ledger: disk("ledger"), centre: disk("centre"), tills: disk("tills"), shops: disk("shops") }
        : null;
    mkdirSync(join(folder, "shops"), { recursive: true });
    const [ledger, centre, tills] = await Promise.all(
      ["ledger", "centre", "tills"].map((name) => Cluster.make(join(folder, name), SERVER_SETTINGS)),
    );
    if (!ledger || !centre || !tills) throw new Error("three servers were asked for");
    for (const server of [ledger, centre, tills]) stack.use(server);
    await sql(ledger.url("postgres"), "create database ledger");
    await sql(centre.url("postgres"), "create database centre");
    await sql(centre.url("centre"), `${TABLES}; create index sale_of_till on sale (till, n)`);

    const hubs: HubSeat[] = [];
    for (let at = 0; at < size.hubs; at++) {
      const port = await freePort();
      const proxyTo = async (target: number): Promise<Proxy> =>
        stack.use(await Proxy.to(() => ({ host: "127.0.0.1", port: target })));
      const ways = {
        ledger: await proxyTo(ledger.port),
        centre: await proxyTo(centre.port),
        door: await proxyTo(port),
      };
      const name = `hub-${at + 1}`;
      const config = join(folder, `${name}.config.json`);
      writeFileSync(
        config,
        JSON.stringify({
          ...CONFIG,
          port,
          ledger: ledger.url("ledger", ways.ledger.port),
          central: centre.url("centre", ways.centre.port),
        }),
      );
      const process = stack.use(new Supervised(name, ["hub", "--log", "warn", "--config", config], folder));
      hubs.push({ name, process, ...ways });
    }
    const world = new World(folder, disks, { ledger, centre, tills }, hubs, stack.move());
    try {
      await Promise.all(hubs.map(({ process }) => process.line(/The hub answers at/)));
      await Promise.all(Array.from({ length: size.tills }, (_, at) => world.#open(at)));
      // The rows a till had before its triggers come table by table, not sale by sale: only then is a torn sale a fault.
      await until(
        async () => (await world.central("select count(*) from stock"))[0]?.[0] === String(size.tills * SKUS),
        {
          timeoutMs: 180_000,
          what: "the first rows of all tills at the centre",
        },
      );
    } catch (thrown) {
      await world[Symbol.asyncDispose]();
      throw thrown;
    }
    return world;
  }
  private constructor(
    folder: string,
    disks: Disks | null,
    servers: World["servers"],
    hubs: readonly HubSeat[],
    stack: AsyncDisposableStack,
  ) {
    this.#folder = folder;
    this.disks = disks;
    this.servers = servers;
    this.hubs = hubs;
    this.#stack = stack;
  }

  /** A till with its database and agent; it calls one hub's door. */
  async #open(at: number): Promise<void> {
    const till = `till-${at + 1}`;
    const folder = join(this.#folder, "shops");
    const hub = this.hubs[at % this.hubs.length];
    if (!hub) throw new Error("there is no hub");
    const address = `http://127.0.0.1:${hub.door.port}`;
    const shop: Shop =
      at % 2 === 0 ? new SqliteShop(till, join(folder, `${till}.db`)) : await this.#postgresShop(till, at);
    this.#stack.use(shop);
    const made = await fetch(`${address}/api/enroll-tokens`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify({ terminal: till }),
    });
    const { token } = (await made.json()) as { token: string };
    const words = ["terminal", "--log", "warn", "--hub", address, "--id", till, "--token", token];
    const own = ["--database", shop.url, "--state", join(folder, `${till}.agent`)];
    const agent = this.#stack.use(new Supervised(till, [...words, ...own], this.#folder));
    this.tills.push({ shop, agent });
  }
  async #postgresShop(till: string, at: number): Promise<Shop> {
    const { tills } = this.servers;
    await sql(tills.url("postgres"), `create database till_${at + 1}`);
    return PostgresShop.make(till, tills.url(`till_${at + 1}`));
  }

  /** Past every proxy, as the centre's own readers do. */
  central(text: string): Promise<string[][]> {
    return sql(this.servers.centre.url("centre"), text);
  }
  ledger(text: string): Promise<string[][]> {
    return sql(`${this.servers.ledger.url("ledger")}?options=-csearch_path%3Dwaybill_ledger`, text);
  }
  complaints(): string {
    const all = [...this.hubs.map(({ process }) => process), ...this.tills.map(({ agent }) => agent)];
    return all.map((each) => `${each.name} (started ${each.starts} times):\n${each.lastWords()}`).join("\n");
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** A process that is started again whenever it ends, until it is disposed. */
export class Supervised implements AsyncDisposable {
  readonly name: string;
  starts = 0;
  readonly #words: readonly string[];
  readonly #clock: string;
  #child: Child;
  #isOver = false;
  readonly #running: Promise<void>;

  /** @param folder where the file is that sets its clock */
  constructor(name: string, words: readonly string[], folder: string) {
    this.name = name;
    this.#words = words;
    this.#clock = join(folder, `${name}.clock`);
    this.#child = this.#start();
    this.#running = this.#keep();
  }

  /** Ends it as a power cut does; it comes back by itself. */
  kill(): void {
    void this.#child.kill("SIGKILL");
  }
  /** Stands still for so long, then goes on as if nothing had happened. */
  async freeze(ms: number): Promise<void> {
    const child = this.#child;
    await child.kill("SIGSTOP");
    await pause(ms);
    await child.kill("SIGCONT");
  }
  /** Its machine's clock stands so far beside the true time from now on, after its next starts too. */
  setClock(skewMs: number): void {
    writeFileSync(this.#clock, String(Math.round(skewMs)));
  }
  async line(pattern: RegExp): Promise<void> {
    await this.#child.waitForLine(pattern, { timeoutMs: 60_000 });
  }
  lastWords(): string {
    return this.#child.stderr.slice(-1_500);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#child.kill("SIGKILL");
    await this.#running;
  }

  #start(): Child {
    this.starts += 1;
    const preload = `--import=${join(REPO, "test/kit/skewed-clock.ts")}`;
    return spawnWaybill(this.#words, { env: { NODE_OPTIONS: preload, SKEWED_CLOCK: this.#clock } });
  }
  async #keep(): Promise<void> {
    for (;;) {
      await this.#child.ended;
      if (this.#isOver) return;
      await pause(200);
      if (this.#isOver) return;
      this.#child = this.#start();
    }
  }
}

/** One text of statements on a connection of its own; the rows of the last as text. Tried again while the server is away. */
export async function sql(url: string, text: string, timeoutMs = 60_000): Promise<string[][]> {
  return until(
    async () => {
      const client = new Client({ connectionString: url });
      client.on("error", () => undefined); // the query tells
      try {
        await client.connect();
        const { rows } = await client.query<unknown[]>({ text, rowMode: "array" });
        return (rows ?? []).map((row) => row.map(String));
      } finally {
        await client.end().catch(() => undefined); // it was broken
      }
    },
    { timeoutMs, what: text.slice(0, 80) },
  );
}
