import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { systemRuntime } from "../src/base/runtime.ts";
import { Stop } from "../src/base/stop.ts";
import { startHub } from "../src/hub/hub.ts";
import { checkHubConfig, hubSettings } from "../src/hub/load-config.ts";
import { readOperatorToken } from "../src/hub/operator-token.ts";
import { silentLog } from "../src/observe/log.ts";
import { readTerminalConfig } from "../src/terminal/config.ts";
import { startTerminal } from "../src/terminal/terminal.ts";
import { tempDir } from "./kit/temp-dir.ts";
import { Till } from "./kit/till.ts";
import { until } from "./kit/until.ts";

const CENTRAL = `
  create table sale (id text primary key, total text not null) without rowid;
  create table sale_line (sale_id text not null references sale (id), no integer not null, qty integer not null, primary key (sale_id, no)) without rowid;
  create table price (sku text primary key, price text not null, class text unique) without rowid;
  insert into price (sku, price) values ('A', '1.00'), ('B', '2.00')`;

test("agent and hub speak the same language: enrolment, sales up, prices down, both over a real socket", async () => {
  await using dir = tempDir();
  using central = new DatabaseSync(dir.file("central.db"));
  central.exec(`pragma journal_mode = wal; ${CENTRAL}`);
  using till = new Till(dir.file("till.db"));
  till.sell();
  const stop = new Stop();
  try {
    const tables = {
      sale: { direction: "up" },
      sale_line: { direction: "up" },
      price: { direction: "down", audience: "all" },
    };
    const ledger = `sqlite:${dir.file("ledger.db")}`;
    const given = { ledger, central: `sqlite:${dir.file("central.db")}`, port: 0, tables };
    const hub = await startHub({
      settings: hubSettings(checkHubConfig(given, dir.path, {})),
      runtime: systemRuntime,
      log: silentLog,
      stop,
    });
    const made = await fetch(`${hub.address}/api/enroll-tokens`, {
      method: "POST",
      headers: { authorization: `Bearer ${await readOperatorToken(ledger)}`, "content-type": "application/json" },
      body: JSON.stringify({ terminal: "t1", tags: {}, validMinutes: 5 }),
    });
    const { token } = (await made.json()) as { token: string };
    const config = readTerminalConfig({
      hub: hub.address,
      terminal: "t1",
      database: `sqlite:${dir.file("till.db")}`,
      state: dir.file("agent"),
      token,
      waitSeconds: 2,
    });
    const terminal = await startTerminal({ config, runtime: systemRuntime, log: silentLog, stop });

    const count = (db: DatabaseSync, table: string): unknown =>
      db.prepare(`select count(*) as n from ${table}`).get()?.["n"];
    await until(() => count(central, "sale_line") === 2, { timeoutMs: 10_000, what: "the sale from before the agent" });
    await until(() => count(till.db, "price") === 2, { timeoutMs: 10_000, what: "the prices from before the agent" });
    for (let i = 0; i < 50; i++) till.sell();
    central.exec("update price set price = '9.90' where sku = 'A'");
    await until(() => count(central, "sale_line") === 102, { timeoutMs: 10_000, what: "the sales" });
    await until(() => till.db.prepare("select price from price where sku = 'A'").get()?.["price"] === "9.90", {
      timeoutMs: 10_000,
      what: "the price",
    });
    expect(central.prepare("select * from sale order by id").all()).toEqual(
      till.db.prepare("select * from sale order by id").all(),
    );
    const status = await until(
      async () => {
        const { up, down, loops } = await terminal.status();
        return up.packedThrough > 0 && up.loadedThrough === up.packedThrough && down.appliedThrough > 0
          ? { up, down, loops }
          : null;
      },
      { timeoutMs: 10_000, what: "both acknowledgements" },
    );
    expect(status.up.open).toEqual({ retrying: 0, held: 0, dead: 0 });
    expect(status.down.stale).toBe(0);
    expect(Object.values(status.loops).map(({ lastError }) => lastError)).toEqual([null, null, null, null, null]);
  } finally {
    await stop.end(() => undefined);
  }
}, 60_000);
