import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import { describe, expect, test } from "vitest";
import { Stop } from "../../src/base/stop.ts";
import type { HubConfig } from "../../src/hub/config.ts";
import { startHub } from "../../src/hub/hub.ts";
import { checkHubConfig, hubSettings } from "../../src/hub/load-config.ts";
import type { Event } from "../../src/ledger/trail.ts";
import { createLog } from "../../src/observe/log.ts";
import { hurried, OPERATOR, TestLane } from "../kit/api.ts";
import { describeWith } from "../kit/needs.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { until } from "../kit/until.ts";

/**
 * A fault that is nobody's message: something of the central database is gone while a fleet sells. One route is paused, and
 * it is said once; nothing dies, the other table flows, and all drains by itself when it is mended.
 */
const TERMINALS = 9;
/** Messages of one terminal before, and while, something is missing: a sale and a change of stock by turns. */
const BEFORE = 4;
const MEANWHILE = 20;
const THROUGH = BEFORE + MEANWHILE;
const SALES = (TERMINALS * THROUGH) / 2;
const SALE = "create table sale (sale_id varchar(40) primary key, total varchar(20) not null, note varchar(40))";
const TABLES = `${SALE}; create table stock (sku varchar(40) primary key, qty integer not null)`;

type Centre = AsyncDisposable & {
  readonly ledger: string;
  /** As the hub reaches it. */
  readonly url: string;
  readonly run: (sql: string) => Promise<unknown>;
  readonly count: (sql: string) => Promise<number>;
};
type Pauses = { readonly pauses: readonly Record<string, unknown>[] };
type Overview = Readonly<Record<"received" | "backlog" | "retrying" | "held" | "dead", number>>;

function laneOf(terminal: string): TestLane {
  return new TestLane("E1", THROUGH, (seq) => {
    const id = `${terminal}-${seq}`;
    const change =
      seq % 2 === 0
        ? { table: "sale", op: "insert", key: { sale_id: id }, row: { sale_id: id, total: "9.90", note: "n" } }
        : { table: "stock", op: "insert", key: { sku: id }, row: { sku: id, qty: seq } };
    return JSON.stringify({ seq, at: "2026-11-23T09:00:00Z", changes: [change] });
  });
}

async function story(centre: Centre, harm: string, mend: string, fault: string): Promise<void> {
  const config: HubConfig = {
    ledger: centre.ledger,
    central: centre.url,
    port: 0,
    tables: { sale: { direction: "up" }, stock: { direction: "up" } },
    tokens: [{ name: "anna", role: "operator", token: OPERATOR }],
    // Few lanes in a batch: that many lanes are hit is seen over several of them.
    processor: { lanesPerBatch: 2, pollMs: 50 },
  };
  const lines: string[] = [];
  const log = createLog({ level: "warn", form: "json", to: { write: (line) => lines.push(line) } });
  const settings = hubSettings(checkHubConfig(config, "/", {}));
  await using stack = new AsyncDisposableStack();
  const hub = await startHub({ settings, runtime: hurried, log, stop: new Stop() });
  stack.defer(() => hub.close());
  const call = async <T>(path: string, key = OPERATOR, body: object | Uint8Array<ArrayBuffer> | null = null) => {
    const type = body instanceof Uint8Array ? "application/x-ndjson" : "application/json";
    const response = await fetch(`${hub.address}${path}`, {
      method: body === null ? "GET" : "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": type },
      ...(body === null ? {} : { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  const events = async (kind: string): Promise<readonly Event[]> =>
    (await call<{ events: readonly Event[] }>("/api/events?limit=500")).events.filter((event) => event.kind === kind);
  const overview = (): Promise<Overview> => call<Overview>("/api/overview");
  const told = (): string => lines.slice(-20).join("");

  const tills = Array.from({ length: TERMINALS }, (_, n) => `t${n + 1}`);
  const keys = new Map<string, string>();
  for (const terminal of tills) {
    const { token } = await call<{ token: string }>("/api/enroll-tokens", OPERATOR, { terminal, tags: {} });
    keys.set(terminal, (await call<{ key: string }>("/v1/enroll", "", { token, terminal })).key);
  }
  const send = (from: number, through: number): Promise<unknown> =>
    Promise.all(tills.map((till) => call("/v1/messages", keys.get(till), laneOf(till).body(from, through))));

  await send(1, BEFORE);
  await until(async () => (await overview()).backlog === 0, { what: "all is loaded", timeoutMs: 20_000 });
  await centre.run(harm);
  for (let seq = BEFORE + 1; seq <= THROUGH; seq += 4) await send(seq, seq + 3);
  await until(
    async () => {
      const { backlog, held, retrying } = await overview();
      return backlog === 0 && retrying === 0 && held === (TERMINALS * MEANWHILE) / 2;
    },
    { what: "the sales wait, and all else is through", timeoutMs: 30_000 },
  ).catch(async (cause: unknown) => {
    throw new Error(`${JSON.stringify(await overview())} ${told()}`, { cause });
  });
  expect(await overview()).toMatchObject({ dead: 0 });
  expect((await call<Pauses>("/api/pauses")).pauses).toMatchObject([
    { kind: "route", name: "sale", fault, waiting: (TERMINALS * MEANWHILE) / 2 },
  ]);
  expect(await centre.count("select count(*) as n from stock")).toBe(SALES);
  expect(await events("route paused")).toHaveLength(1);
  expect(lines.filter((line) => line.includes('"route.paused"'))).toHaveLength(1);

  await centre.run(mend);
  await until(async () => (await overview()).held === 0, { what: "what waited has drained", timeoutMs: 60_000 }).catch(
    async (cause: unknown) => {
      throw new Error(`${JSON.stringify(await overview())} ${told()}`, { cause });
    },
  );
  expect(await overview()).toMatchObject({ backlog: 0, retrying: 0, dead: 0 });
  expect(await centre.count("select count(*) as n from sale where sale_id like 't%'")).toBe(SALES);
  expect((await call<Pauses>("/api/pauses")).pauses).toEqual([]);
  expect(await events("route paused")).toHaveLength(1);
  expect(await events("resumed")).toMatchObject([{ detail: "route sale: the probe went through" }]);
}

describe("a fault of the centre's schema pauses the route of its table (SQLite)", () => {
  function open(): Centre {
    const dir = tempDir();
    const db = new DatabaseSync(dir.file("central.db"), { timeout: 10_000 });
    db.exec(`pragma journal_mode = wal; ${TABLES}`);
    return {
      ledger: `sqlite:${dir.file("ledger.db")}`,
      url: `sqlite:${dir.file("central.db")}`,
      run: async (sql) => db.exec(sql),
      count: async (sql) => Number(db.prepare(sql).get()?.["n"]),
      [Symbol.asyncDispose]: async () => {
        db.close();
        await dir[Symbol.asyncDispose]();
      },
    };
  }
  test("a dropped column", async () => {
    await using centre = open();
    await story(centre, "alter table sale drop column note", "alter table sale add column note text", "COLUMN_UNKNOWN");
  }, 120_000);
  test("a dropped table", async () => {
    await using centre = open();
    const rename = ["alter table sale rename to kept", "alter table kept rename to sale"] as const;
    await story(centre, ...rename, "TABLE_UNKNOWN");
  }, 120_000);
});

describeWith("postgres", "a fault of the centre's schema pauses the route of its table (PostgreSQL)", (server) => {
  async function open(): Promise<Centre> {
    await using stack = new AsyncDisposableStack();
    const name = `waybill_story_${randomUUID().replaceAll("-", "")}`;
    const admin = new Client({ connectionString: server });
    await admin.connect();
    stack.defer(() => admin.end());
    await admin.query(`create role ${name} login`);
    stack.defer(async () => void (await admin.query(`drop role ${name}`)));
    await admin.query(`create database ${name}`);
    stack.defer(async () => void (await admin.query(`drop database ${name} with (force)`)));
    const url = new URL(server);
    url.pathname = `/${name}`;
    const client = new Client({ connectionString: url.href });
    await client.connect();
    client.on("error", () => undefined); // the database is dropped under it
    await client.query(
      `${TABLES}; create schema ledger; grant all on schema public, ledger to ${name}; grant all on all tables in schema public to ${name}`,
    );
    const ledger = url.href;
    url.username = name;
    const owned = stack.move();
    return {
      ledger,
      url: url.href,
      run: (sql) => client.query(sql.replaceAll("ROLE", name)),
      count: async (sql) => Number((await client.query<{ n: string }>(sql)).rows[0]?.n),
      [Symbol.asyncDispose]: async () => {
        await client.end();
        await owned.disposeAsync();
      },
    };
  }
  test.each([
    [
      "a dropped column",
      "alter table sale drop column note",
      "alter table sale add column note text",
      "COLUMN_UNKNOWN",
    ],
    ["a dropped table", "alter table sale rename to kept", "alter table kept rename to sale", "TABLE_UNKNOWN"],
    [
      "a right that was taken away",
      "revoke insert on sale from ROLE",
      "grant insert on sale to ROLE",
      "PRIVILEGE_MISSING",
    ],
  ] as const)(
    "%s",
    async (_, harm, mend, fault) => {
      await using centre = await open();
      await story(centre, harm, mend, fault);
    },
    120_000,
  );
});
