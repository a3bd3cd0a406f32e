import { readFile, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../test/kit/temp-dir.ts";
import { until } from "../../test/kit/until.ts";
import { systemRuntime } from "../base/runtime.ts";
import { Stop } from "../base/stop.ts";
import { CHAIN_START, chainHex } from "../message/chain.ts";
import { createLog } from "../observe/log.ts";
import { startHub, type Hub } from "./hub.ts";
import { loadHubSettings, type ConfigSource } from "./load-config.ts";
import { readOperatorToken } from "./operator-token.ts";

type Site = { readonly source: ConfigSource; readonly lines: string[]; readonly file: (name: string) => string };

async function site(): Promise<Site> {
  const dir = tempDir();
  onTestFinished(() => dir[Symbol.asyncDispose]());
  {
    using centre = new DatabaseSync(dir.file("central.db"));
    centre.exec(
      "pragma journal_mode = wal; create table sale (sale_id text primary key, total text); create table price (item text primary key, price text)",
    );
  }
  const config = {
    ledger: "sqlite:./ledger.db",
    central: "sqlite:./central.db",
    port: 0,
    tables: { sale: { direction: "up", search: ["sale_id"] }, price: { direction: "down", audience: "all" } },
  };
  await writeFile(dir.file("hub.json"), JSON.stringify(config));
  return { source: { path: dir.file("hub.json") }, lines: [], file: dir.file };
}

async function start({ source, lines }: Site, how: "threads" | "one thread" = "threads"): Promise<Hub> {
  const log = createLog({ level: "debug", form: "json", to: { write: (line) => lines.push(line) } });
  const what = how === "threads" ? { source } : { settings: await loadHubSettings(source) };
  const hub = await startHub({ ...what, runtime: systemRuntime, log, stop: new Stop() });
  onTestFinished(() => hub.close());
  return hub;
}

async function enrolled(hub: Hub, { file }: Site): Promise<(path: string, body?: string) => Promise<Response>> {
  const operator = await readOperatorToken(`sqlite:${file("ledger.db")}`);
  const call = (path: string, token: string | null, body?: string) =>
    fetch(`${hub.address}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        "content-type": body?.startsWith('{"epoch') ? "application/x-ndjson" : "application/json",
      },
      ...(body === undefined ? {} : { body }),
    });
  const made = (await (
    await call("/api/enroll-tokens", operator, JSON.stringify({ terminal: "t1", tags: { store: "1" } }))
  ).json()) as { token: string };
  const answer = await call("/v1/enroll", null, JSON.stringify({ token: made.token, terminal: "t1" }));
  expect(answer.status).toBe(201);
  const { key } = (await answer.json()) as { key: string };
  return (path, body) => call(path, key, body);
}

const message = (n: number): string =>
  JSON.stringify({
    seq: n,
    at: "2026-11-23T09:00:00Z",
    changes: [{ table: "sale", op: "insert", key: { sale_id: `S${n}` }, row: { sale_id: `S${n}`, total: "1.50" } }],
  });
const submission = (count: number): string =>
  [
    JSON.stringify({ epoch: "E1", after: 0, chain: chainHex(CHAIN_START) }),
    ...Array.from({ length: count }, (_, n) => message(n + 1)),
    "",
  ].join("\n");
const salesIn = (place: Site): number => {
  using centre = new DatabaseSync(place.file("central.db"), { readOnly: true });
  return Number(centre.prepare("select count(*) as n from sale").get()?.["n"]);
};

test.each(["threads", "one thread"] as const)(
  "what a terminal sends comes to the centre, and what changes there comes to the terminal (%s)",
  async (how) => {
    const place = await site();
    const hub = await start(place, how);
    const call = await enrolled(hub, place);
    const answer = await call("/v1/messages", submission(20));
    expect(await answer.json()).toMatchObject({ receivedThrough: 20 });
    await until(() => salesIn(place) === 20, { what: "20 sales at the centre" });
    {
      using centre = new DatabaseSync(place.file("central.db"), { timeout: 5_000 });
      centre.exec("insert into price values ('tea', '2.50')");
    }
    const updates = await (await call("/v1/updates?after=0&wait=5")).text();
    expect(updates).toContain('"op":"upsert","key":{"item":"tea"},"row":{"item":"tea","price":"2.50"}');
    expect(await (await fetch(`${hub.address}/readyz`)).json()).toMatchObject({
      ready: true,
      parts: { central: { state: "ok" } },
    });
    expect(await (await fetch(`${hub.address}/metrics`)).text()).toContain("waybill_messages_loaded_total 20\n");
    await hub.close();
    expect(place.lines.filter((each) => each.includes('"level":"error"'))).toEqual([]);
  },
);

test("a second hub on the same ledger is refused, and the first goes on", async () => {
  const place = await site();
  const hub = await start(place);
  await expect(start(place)).rejects.toThrow(/ALREADY_RUNNING/);
  expect((await fetch(`${hub.address}/healthz`)).status).toBe(200);
});

test("a stop in the middle of work loses nothing, and the next start goes on", async () => {
  const place = await site();
  const first = await start(place);
  const call = await enrolled(first, place);
  await call("/v1/messages", submission(2_000));
  await first.close();
  const before = salesIn(place);
  const second = await start(place);
  await until(() => salesIn(place) === 2_000, { what: `2,000 sales at the centre (${before} before the stop)` });
  await second.close();
  expect(place.lines.filter((each) => each.includes('"level":"error"'))).toEqual([]);
});

test("a message that kills the loading thread each time ends dead alone, and everything else is loaded", async () => {
  const place = await site();
  const config = `export default {
    ledger: "sqlite:./ledger.db",
    central: "sqlite:./central.db",
    port: 0,
    tables: { sale: { direction: "up", transform: (change) => (change.key.sale_id === "S3" ? process.exit(1) : change) } },
  };`;
  await writeFile(place.file("hub.config.mjs"), config);
  const killing = { ...place, source: { path: place.file("hub.config.mjs") } };
  const hub = await start(killing);
  const call = await enrolled(hub, killing);
  await call("/v1/messages", submission(5));
  const status = async () => (await (await call("/v1/status")).json()) as { lanes: { open: { dead: number } }[] };
  await until(async () => (await status()).lanes[0]?.open.dead === 1, { what: "message 3 is dead", timeoutMs: 60_000 });
  await until(() => salesIn(place) === 4, { what: "the 4 others at the centre" });
}, 90_000);

test("nothing is published through the API before the centre was asked whether the ledger was set back, and the centre is told of what is", async () => {
  const place = await site();
  const config = JSON.parse(await readFile(place.file("hub.json"), "utf8")) as object;
  const tokens = [{ name: "erp", role: "publisher", token: "a-publisher-of-the-tests" }];
  const away = { ...config, central: "postgres://127.0.0.1:1/nowhere", tokens };
  const publish = async (hub: Hub): Promise<number> => {
    const changes = [{ table: "price", op: "upsert", key: { item: "tea" }, row: { item: "tea", price: "1" } }];
    const { status } = await fetch(`${hub.address}/v1/updates`, {
      method: "POST",
      headers: { authorization: "Bearer a-publisher-of-the-tests", "content-type": "application/json" },
      body: JSON.stringify({ audience: "all", changes }),
    });
    return status;
  };
  await writeFile(place.file("hub.json"), JSON.stringify(away));
  const hub = await start(place);
  expect(await publish(hub)).toBe(503);
  await hub.close();
  await writeFile(place.file("hub.json"), JSON.stringify({ ...config, tokens }));
  expect(await publish(await start(place))).toBe(201);
  using centre = new DatabaseSync(place.file("central.db"), { readOnly: true });
  const told = centre.prepare("select value from waybill_fact where name = 'update-head'");
  await until(() => told.get()?.["value"] === "1", { what: "the centre was told of the update" });
});
