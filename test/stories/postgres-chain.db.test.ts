import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import { expect, test } from "vitest";
import { spawnWaybill, type Child } from "../kit/child.ts";
import { freePort } from "../kit/free-port.ts";
import { describeWith } from "../kit/needs.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { until } from "../kit/until.ts";

/**
 * A chain whose centre and one of whose tills are PostgreSQL, the other till SQLite: sales go up, prices come down and an
 * article kept on both sides goes round, while hub and agents are killed.
 */
const SALES = 150;
const TABLES = `
  create table sale (sale_id varchar(40) primary key, till varchar(20) not null, total decimal(12, 2) not null);
  create table sale_line (sale_id varchar(40) not null references sale (sale_id), line_no integer not null,
    quantity integer not null, primary key (sale_id, line_no));
  create table price (sku varchar(20) primary key, amount decimal(12, 2) not null);
  create table article (sku varchar(20) primary key, name varchar(80) not null);
`;
// SQLite's decimal would be a float: there it is text.
const SQLITE_TABLES = TABLES.replaceAll("decimal(12, 2)", "text");
const CONFIG = {
  tables: {
    sale: { direction: "up", owner: { column: "till", is: "terminal" } },
    sale_line: { direction: "up" },
    price: { direction: "down", audience: "all" },
    article: { direction: "both", audience: "all", onExisting: "overwrite" },
  },
  retry: { attempts: 20, firstMs: 50, factor: 2, capMs: 1_000 },
  processor: { leaseMs: 2_000, pollMs: 100 },
  publisher: { pollMs: 50 },
};
type Cells = readonly (readonly string[])[];
type Shop = { readonly run: (sql: string) => Promise<void>; readonly rows: (sql: string) => Promise<Cells> };

describeWith("postgres", "a chain over PostgreSQL", (server) => {
  test("sales go up, prices come down, an article goes round, through kills of every process", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = stack.use(tempDir());
    const centre = await postgres(server, TABLES, stack);
    const till1 = await postgres(server, TABLES, stack);
    const file = join(dir.path, "till-2.db");
    const till2 = sqlite(file, stack);
    const shops: Readonly<Record<string, Shop>> = { "till-1": till1, "till-2": till2 };
    const databases: Readonly<Record<string, string>> = { "till-1": till1.url, "till-2": `sqlite:${file}` };
    const port = await freePort();
    const config = join(dir.path, "waybill.config.json");
    writeFileSync(
      config,
      JSON.stringify({ ...CONFIG, port, central: centre.url, ledger: `sqlite:${join(dir.path, "ledger.db")}` }),
    );

    const processes = new Map<string, Child>();
    stack.defer(async () => void (await Promise.all([...processes.values()].map((child) => child.kill("SIGKILL")))));
    const tokens = new Map<string, string>();
    const start = async (name: string): Promise<void> => {
      const words =
        name === "hub"
          ? ["hub", "--log", "warn", "--config", config]
          : [
              ...["terminal", "--log", "warn", "--hub", `http://127.0.0.1:${port}`, "--id", name],
              ...["--database", databases[name] ?? "", "--state", join(dir.path, name)],
              ...["--token", tokens.get(name) ?? ""],
            ];
      const child = spawnWaybill(words);
      processes.set(name, child);
      if (name === "hub") await child.waitForLine(/The hub answers at/, { timeoutMs: 20_000 });
    };
    const complaints = (): string => [...processes].map(([name, child]) => `${name}: ${child.stderr}`).join("\n");
    await start("hub");
    for (const till of Object.keys(shops)) {
      await using enrolled = spawnWaybill(["enroll", till, "--json", "--config", config]);
      await enrolled.ended;
      tokens.set(till, (JSON.parse(enrolled.stdout) as { token: string }).token);
      await start(till);
    }

    const selling = Object.entries(shops).map(async ([till, shop]) => {
      for (let n = 1; n <= SALES; n++) {
        const id = `${till}-${n}`;
        await shop.run(
          `begin; insert into sale values ('${id}', '${till}', '${n}.50'); insert into sale_line values ('${id}', 1, ${n}), ('${id}', 2, 1); commit`,
        );
        if (n % 50 === 0) await shop.run(`insert into article values ('${id}', 'from ${till}')`);
      }
    });
    for (let n = 1; n <= 40; n++)
      await centre.run(
        `insert into price values ('P-${n % 10}', ${n}.90) on conflict (sku) do update set amount = excluded.amount`,
      );
    for (const name of ["hub", "till-1", "till-2", "hub"]) {
      await processes.get(name)?.kill("SIGKILL");
      await start(name);
    }
    await Promise.all(selling);

    const articles = "select sku, name from article order by sku";
    const prices = "select sku, amount from price order by sku";
    const settled = async (): Promise<boolean> => {
      const [[sales = ""] = [], [lines = ""] = []] = [
        ...(await centre.rows("select count(*) from sale")),
        ...(await centre.rows("select count(*) from sale_line")),
      ];
      if (sales !== String(2 * SALES) || lines !== String(4 * SALES)) return false;
      const wanted = JSON.stringify([await centre.rows(articles), await centre.rows(prices)]);
      for (const shop of Object.values(shops))
        if (JSON.stringify([await shop.rows(articles), await shop.rows(prices)]) !== wanted) return false;
      return (await centre.rows(articles)).length === 6;
    };
    await until(settled, { timeoutMs: 40_000, what: "both sides equal" }).catch((cause: unknown) => {
      throw new Error(complaints(), { cause });
    });
    const total = "select sum(total * 100), (select sum(quantity) from sale_line) from sale";
    const expected = 2 * ((SALES * (SALES + 1)) / 2);
    expect((await centre.rows(total))[0]?.map(Number)).toEqual([expected * 100 + 2 * SALES * 50, expected + 2 * SALES]);
    expect(await centre.rows("select * from waybill_passed where state <> 'discarded'")).toEqual([]);
    // I12: what came from the centre is not sent back to it.
    expect(await till1.rows("select count(*) from waybill_outbox")).toEqual([["0"]]);
  }, 120_000);
});

async function postgres(
  server: string,
  ddl: string,
  stack: AsyncDisposableStack,
): Promise<Shop & { readonly url: string }> {
  const name = `waybill_story_${randomUUID().replaceAll("-", "")}`;
  const admin = new Client({ connectionString: server });
  await admin.connect();
  await admin.query(`create database ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const client = new Client({ connectionString: url.href });
  await client.connect();
  await client.query(ddl);
  stack.defer(async () => {
    await client.end();
    await admin.query(`drop database ${name} with (force)`);
    await admin.end();
  });
  return {
    url: url.href,
    run: async (sql) => void (await client.query(sql)),
    rows: async (sql) =>
      (await client.query<string[]>({ text: sql, rowMode: "array" })).rows.map((row) => row.map(String)),
  };
}

function sqlite(path: string, stack: AsyncDisposableStack): Shop {
  const db = new DatabaseSync(path, { timeout: 10_000 });
  db.exec(`pragma journal_mode = wal; ${SQLITE_TABLES}`);
  stack.defer(() => db.close());
  return {
    run: async (sql) => db.exec(sql.replace("begin;", "begin immediate;")),
    rows: async (sql) =>
      db
        .prepare(sql)
        .all()
        .map((row) => Object.values(row).map(String)),
  };
}
