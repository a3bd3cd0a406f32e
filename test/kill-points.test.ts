import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, expect, test, vi } from "vitest";
import { instant, later, systemClock, type Clock } from "../src/base/clock.ts";
import { actor, epoch, laneName, seq, terminalId, updateId, type TerminalId } from "../src/base/ids.ts";
import { systemRuntime, type Runtime } from "../src/base/runtime.ts";
import { openDatabase } from "../src/database/open.ts";
import { CentralStation } from "../src/hub/central-station.ts";
import { Engine } from "../src/hub/engine.ts";
import { checkHubConfig, hubSettings } from "../src/hub/load-config.ts";
import type { HubSettings } from "../src/hub/settings.ts";
import type { Ledger } from "../src/ledger/port.ts";
import type { StoredUpdate } from "../src/ledger/update-log.ts";
import { openSqliteBytes, openSqliteLedger } from "../src/ledger/sqlite/ledger.ts";
import { createLoader } from "../src/load/loader.ts";
import { CHAIN_START, chainHex, chainNext } from "../src/message/chain.ts";
import type { Change, Row } from "../src/message/change.ts";
import { silentLog } from "../src/observe/log.ts";
import { Metrics } from "../src/observe/metrics.ts";
import { audiencesOf } from "../src/wire/manifest.ts";
import { readSubmission, submissionBody } from "../src/wire/submission.ts";
import { Crash, CrashWorld, type Moment } from "./kit/crash.ts";
import { tempDir } from "./kit/temp-dir.ts";

/**
 * The hub is killed at every call of its ports, before the call and after it, with new objects over the same files going
 * on from there (DESIGN §4, I1–I6). Two tills ring up sales that also count down one stock by differences, so that an
 * effect that is lost or comes twice shows in one number; one sale is refused, one waits behind it, a person mends it.
 */

const EPOCH = epoch("E1");
const TILLS = [terminalId("t1"), terminalId("t2")] as const;
const LEASE_MS = 30_000;

// ── what the tills committed ───────────────────────────────────────────────────────────────────────────────────────

const sale = (id: string, till: TerminalId, total: number): Change => {
  const row = { sale_id: id, till, store_id: till === "t1" ? 1 : 2, total };
  return { table: "sale", op: "insert", key: { sale_id: id }, row };
};
const line = (id: string, n: number, quantity: number): Change => {
  const row = { sale_id: id, line: n, item_id: "tea", quantity };
  return { table: "sale_line", op: "insert", key: { sale_id: id, line: n }, row };
};
const stock = (before: number, after: number): Change => {
  const row = (of: number): Row => ({ item_id: "tea", price: "2.50", stock: of });
  return { table: "item", op: "update", key: { item_id: "tea" }, before: row(before), row: row(after) };
};

const POISON = seq(2);
const mended = [sale("A2", TILLS[0], 5), line("A2", 1, 2), stock(99, 97)];
const MESSAGES: Readonly<Record<string, readonly (readonly Change[])[]>> = {
  t1: [
    [sale("A1", TILLS[0], 3), line("A1", 1, 1), stock(100, 99)],
    [sale("A2", TILLS[0], -5), line("A2", 1, 2), stock(99, 97)], // the centre refuses a total below 0
    [line("A2", 2, 4)], // needs the sale before: waits
    [sale("A3", TILLS[0], 4), line("A3", 1, 1), stock(97, 96)],
  ],
  t2: [
    [sale("B1", TILLS[1], 1), line("B1", 1, 1), stock(100, 99)],
    [sale("B2", TILLS[1], 2), line("B2", 1, 1), stock(99, 98)],
    [{ table: "sale", op: "update", key: { sale_id: "B2" }, row: { ...sale("B2", TILLS[1], 9).row } }],
  ],
};
const SALES = [
  ["A1", 3],
  ["A2", 5],
  ["A3", 4],
  ["B1", 1],
  ["B2", 9],
];
const STOCK_LEFT = 100 - (1 + 2 + 1) - (1 + 1);

const textOf = (number: number, changes: readonly Change[]): string =>
  JSON.stringify({ seq: number, at: "2026-11-23T09:00:00.000Z", changes });

function submission(till: TerminalId, from: number, through: number) {
  const lines = (MESSAGES[till] ?? []).map((changes, at) => Buffer.from(textOf(at + 1, changes)));
  const chain = lines.slice(0, from - 1).reduce((before: Uint8Array, each) => chainNext(before, each), CHAIN_START);
  const body = submissionBody(
    { epoch: EPOCH, after: from - 1, chain: chainHex(chain) },
    lines.slice(from - 1, through),
  );
  return readSubmission(body, { terminal: till, maxLines: 100, search: new Map(), receivedAt: systemClock.now() });
}

// ── the hub ────────────────────────────────────────────────────────────────────────────────────────────────────────

const CENTRE = `
  create table store (store_id integer primary key, name text not null);
  create table item (item_id text primary key, price text not null, stock integer not null);
  create table sale (sale_id text primary key, till text not null, store_id integer not null references store, total integer not null check (total >= 0));
  create table sale_line (sale_id text not null references sale, line integer not null, item_id text not null references item,
    quantity integer not null, primary key (sale_id, line));
  insert into store values (1, 'North'), (2, 'South');
  insert into item values ('tea', '2.50', 100);`;

function settingsIn(folder: string): HubSettings {
  const config = {
    ledger: "sqlite:./ledger.db",
    central: "sqlite:./central.db",
    tables: {
      sale: { direction: "up", owner: { column: "till", is: "terminal" } },
      sale_line: { direction: "up" },
      item: { direction: "both", conflict: { add: ["stock"] }, audience: "all" },
      store: { direction: "down", audience: "store:{store_id}" },
    },
    processor: { leaseMs: LEASE_MS },
  };
  return hubSettings(checkHubConfig(config, folder, {}));
}

/** A clock that can be put forward: what waits for a lease or a retry of a dead process need not be waited for. */
class PushedClock implements Clock {
  #aheadMs = 0;
  now = () => later(instant(systemClock.now()), this.#aheadMs);
  elapsed = () => systemClock.elapsed() + this.#aheadMs;
  push(ms: number): void {
    this.#aheadMs += ms;
  }
}

class Hub implements AsyncDisposable {
  readonly ledger: Ledger;
  readonly engine: Engine;
  readonly #raw: AsyncDisposable[];

  private constructor(ledger: Ledger, engine: Engine, raw: AsyncDisposable[]) {
    this.ledger = ledger;
    this.engine = engine;
    this.#raw = raw;
  }

  static async boot(folder: string, clock: Clock, world: CrashWorld): Promise<Hub> {
    const settings = settingsIn(folder);
    const timers = { sleep: async () => {}, every: () => ({ [Symbol.dispose]: () => {} }) };
    const runtime: Runtime = { ...systemRuntime, clock, timers };
    const ledger = await openSqliteLedger(`${folder}/ledger.db`, runtime);
    const bytes = await openSqliteBytes(`${folder}/ledger.db`, runtime);
    const database = await openDatabase(settings.centralUrl, runtime);
    const mortal = world.mortal(database);
    const loader = createLoader({
      database: mortal,
      bytes: world.mortal(bytes),
      rules: settings.rules,
      clock,
      random: runtime.random,
    });
    const central = new CentralStation({ database: mortal, bytes, loader, settings, runtime });
    const engine = new Engine({
      ledger: world.mortal(ledger),
      central,
      settings,
      runtime,
      log: silentLog,
      metrics: new Metrics(),
      onPublished: () => undefined,
    });
    return new Hub(world.mortal(ledger), engine, [ledger, bytes, database]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#raw.toReversed()) await each[Symbol.asyncDispose]();
  }
}

/** How far each till was told that its messages are stored. */
type Acknowledged = Map<TerminalId, number>;

/** Everything that happens on a good day; each part can be done again. */
async function live(hub: Hub, folder: string, world: CrashWorld, acknowledged: Acknowledged): Promise<void> {
  const { ledger, engine } = hub;
  for (const till of TILLS) {
    for (const [from, through] of [
      [1, 2],
      [1, 4],
    ] as const) {
      const [answer] = await ledger.lanes.append([submission(till, from, through)]);
      if (!answer || "refused" in answer) throw new Error(`${till}: ${JSON.stringify(answer)}`);
      acknowledged.set(till, answer.receivedThrough);
    }
  }
  await settle(engine, world);
  using centre = new DatabaseSync(`${folder}/central.db`);
  centre.exec("update store set name = 'North End' where store_id = 1 and name = 'North'");
  await settle(engine, world);
  const lane = laneName(TILLS[0], EPOCH);
  const refused = await ledger.exceptions.get(lane, POISON);
  if (refused?.state === "dead") {
    await ledger.exceptions.requeue(
      lane,
      POISON,
      actor("operator:anna"),
      "typing error",
      Buffer.from(textOf(POISON, mended)),
    );
  }
  await settle(engine, world);
}

/** Lets processor and publisher run until neither finds anything. */
async function settle({ processor, publisher }: Engine, world: CrashWorld): Promise<void> {
  for (let turns = 0; turns < 60; turns++) {
    const loaded = await processor.turn();
    const published = await publisher.turn();
    if (world.diedAt !== null) throw new Crash(world.diedAt); // the processor survives what its ports throw; a dead process does not
    if (!loaded && !published) return;
  }
  throw new Error("processor and publisher do not come to rest");
}

// ── what must be true ──────────────────────────────────────────────────────────────────────────────────────────────

/** At any moment, also right after a crash. */
async function checkAlways(hub: Hub, folder: string, acknowledged: Acknowledged): Promise<void> {
  for (const [till, told] of acknowledged) {
    const received = (await hub.ledger.lanes.of(till))[0]?.receivedThrough ?? 0;
    expect(received, `I2: ${till} was told that ${told} are stored`).toBeGreaterThanOrEqual(told);
  }
  using centre = new DatabaseSync(`${folder}/central.db`, { readOnly: true });
  const parts = centre
    .prepare(
      "select count(*) as n from sale s where not exists (select 1 from sale_line l where l.sale_id = s.sale_id)",
    )
    .get();
  expect(parts?.["n"], "I4: a sale without the line of its message").toBe(0);
}

async function checkInTheEnd(hub: Hub, folder: string): Promise<void> {
  for (const till of TILLS) {
    const lane = laneName(till, EPOCH);
    for (const [at] of (MESSAGES[till] ?? []).entries()) {
      expect(await hub.ledger.trail.state(lane, seq(at + 1)), `I1: ${lane}/${at + 1}`).toBe("loaded");
      const events = (await hub.ledger.trail.of(lane, seq(at + 1))).map(({ kind }) => kind);
      expect(
        events.some((kind) => ["loaded", "loaded late", "adopted"].includes(kind)),
        `I8: ${lane}/${at + 1} has ${events.join()}`,
      ).toBe(true);
    }
  }
  using centre = new DatabaseSync(`${folder}/central.db`, { readOnly: true });
  const all = (sql: string): unknown[] =>
    centre
      .prepare(sql)
      .all()
      .map((row) => Object.values(row));
  expect(all("select sale_id, total from sale order by sale_id"), "I3, I5").toEqual(SALES);
  expect(all("select stock from item"), "I3: each difference once").toEqual([[STOCK_LEFT]]);
  expect(all("select count(*) from sale_line"), "I1, I3").toEqual([[6]]);
  expect(all("select count(*) from waybill_passed"), "I1: nothing is left open").toEqual([[0]]);
  await checkUpdates(hub, all);
}

/** Whoever reads the update log from its start has the centre's rows; no entry is in it twice. */
async function checkUpdates(hub: Hub, all: (sql: string) => unknown[]): Promise<void> {
  const read: StoredUpdate[] = [];
  for (let after = updateId(0); ;) {
    const page = await hub.ledger.updates.read(
      audiencesOf("t1", { store: "1" }),
      terminalId("nobody"),
      after,
      1_000_000,
    );
    read.push(...page.updates);
    if (!page.more) break;
    after = page.through;
  }
  const names = read.map(
    ({ tx, audience, origin, changes }) => `${tx} ${audience} ${origin} ${Buffer.from(changes).toString("utf8")}`,
  );
  expect(new Set(names).size, "an entry was forwarded twice").toBe(names.length);
  const rows = new Map<string, Row>();
  for (const { changes } of read) {
    for (const { table, key, row } of JSON.parse(Buffer.from(changes).toString("utf8")) as Change[]) {
      if (row) rows.set(`${table} ${JSON.stringify(key)}`, row);
    }
  }
  expect(rows.get('item {"item_id":"tea"}'), "the last state of a row came last").toMatchObject({ stock: STOCK_LEFT });
  expect(rows.get('store {"store_id":1}')).toEqual({ store_id: 1, name: "North End" });
  expect(rows.has('store {"store_id":2}')).toBe(false);
  expect(all("select name from store where store_id = 1")).toEqual([["North End"]]);
}

// ── the runs ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function enrolled(folder: string, clock: Clock): Promise<void> {
  await using ledger = await openSqliteLedger(`${folder}/ledger.db`, { ...systemRuntime, clock });
  for (const [n, till] of TILLS.entries()) {
    const token = Buffer.alloc(32, n + 1);
    const tags = { store: String(n + 1) };
    await ledger.terminals.createToken(token, { terminal: till, tags, validMs: 60_000, by: actor("operator:anna") });
    await ledger.terminals.enroll(token, till, tags, Buffer.alloc(32, n + 11));
  }
}

/** One run that is killed at that call. @returns the call it died at, null when it lived to the end */
async function runKilledAt(at: number, moment: Moment): Promise<string | null> {
  await using dir = tempDir();
  const clock = new PushedClock();
  {
    using centre = new DatabaseSync(dir.file("central.db"));
    centre.exec(`pragma journal_mode = wal; ${CENTRE}`);
  }
  await enrolled(dir.path, clock);
  const acknowledged: Acknowledged = new Map();
  const world = new CrashWorld(at, moment);
  {
    await using hub = await Hub.boot(dir.path, clock, world);
    await live(hub, dir.path, world, acknowledged).catch((thrown: unknown) => {
      if (world.diedAt === null) throw thrown;
    });
  }
  clock.push(LEASE_MS + 1);
  const after = new CrashWorld(Number.POSITIVE_INFINITY, "before");
  await using hub = await Hub.boot(dir.path, clock, after);
  await checkAlways(hub, dir.path, acknowledged);
  await live(hub, dir.path, after, acknowledged);
  await checkAlways(hub, dir.path, acknowledged);
  await checkInTheEnd(hub, dir.path);
  return world.diedAt;
}

// What dies here is the process, not the machine: files in memory show the same and do not wait for a disk.
const IN_MEMORY = "/dev/shm";
beforeEach(() => {
  if (existsSync(IN_MEMORY)) vi.stubEnv("TMPDIR", IN_MEMORY);
});

test.each<Moment>(["before", "after"])(
  "the hub killed %s any call of its ports loses, doubles and reorders nothing",
  async (moment) => {
    const died: string[] = [];
    for (let at = 1; ; at++) {
      const where = await runKilledAt(at, moment).catch((thrown: unknown) => {
        throw new Error(`killed ${moment} call ${at}, behind ${died.at(-1) ?? "the start"}`, { cause: thrown });
      });
      if (where === null) break;
      died.push(where);
    }
    // The steps of DESIGN §4 are all among them.
    for (const step of [
      "lanes.append",
      "work.claim",
      "load.transaction",
      "load.transaction.moveLanes",
      "load.transaction.pass",
      "work.settle",
      "exceptions.requeue",
      "capture.pack",
      "updates.forward",
      "capture.acknowledge",
    ]) {
      expect(
        died.some((where) => where.startsWith(step)),
        `never killed at ${step}`,
      ).toBe(true);
    }
  },
);
