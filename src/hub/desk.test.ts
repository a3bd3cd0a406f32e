import { writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../test/kit/temp-dir.ts";
import { until } from "../../test/kit/until.ts";
import { systemRuntime } from "../base/runtime.ts";
import { Stop } from "../base/stop.ts";
import type { Bulk, BulkItem, ExceptionRow, Waiting } from "../ledger/exceptions.ts";
import type { Rehearsal } from "../load/port.ts";
import { CHAIN_START, chainHex } from "../message/chain.ts";
import { silentLog } from "../observe/log.ts";
import { startHub, type Hub } from "./hub.ts";
import { loadHubSettings } from "./load-config.ts";
import { readOperatorToken } from "./operator-token.ts";

type Row = { readonly id: string; readonly qty: number; readonly op?: "insert" | "update"; readonly was?: number };
type Shown = {
  readonly exception: ExceptionRow;
  readonly waiting: Waiting;
  readonly revisions: readonly {
    readonly n: number;
    readonly by: string;
    readonly reason: string;
    readonly line: string;
  }[];
  readonly centre: { readonly rows: Rehearsal["rows"] };
  readonly payload: { readonly lines: readonly string[] };
};
type Answer<T> = { readonly status: number; readonly body: T };

const line = (seq: number, ...rows: readonly Row[]): string =>
  JSON.stringify({
    seq,
    at: "2026-11-23T09:00:00Z",
    changes: rows.map(({ id, qty, op = "insert", was }) => ({
      table: "sale",
      op,
      key: { id },
      row: { id, qty },
      ...(was === undefined ? {} : { before: { id, qty: was } }),
    })),
  });

/** A hub over a centre that takes no negative quantity, with one till. */
async function desk() {
  const dir = tempDir();
  onTestFinished(() => dir[Symbol.asyncDispose]());
  const centre = new DatabaseSync(dir.file("central.db"), { timeout: 5_000 });
  centre.exec(
    "pragma journal_mode = wal; create table sale (id text primary key, qty integer check (qty >= 0)) strict",
  );
  const tables = { sale: { direction: "up", search: ["id"] } };
  const config = {
    ledger: "sqlite:./ledger.db",
    central: "sqlite:./central.db",
    port: 0,
    tables,
    processor: { pollMs: 20 },
  };
  await writeFile(dir.file("hub.json"), JSON.stringify(config));
  const settings = await loadHubSettings({ path: dir.file("hub.json") });
  const start = async (): Promise<Hub> => {
    const made = await startHub({ settings, runtime: systemRuntime, log: silentLog, stop: new Stop() });
    onTestFinished(() => made.close());
    return made;
  };
  let hub = await start();
  const operator = (await readOperatorToken(settings.ledgerUrl)) ?? "";
  const call = async <T>(path: string, json?: unknown, key = operator): Promise<Answer<T>> => {
    const response = await fetch(`${hub.address}${path}`, {
      method: json === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${key}`,
        "content-type": typeof json === "string" ? "application/x-ndjson" : "application/json",
      },
      ...(json === undefined ? {} : { body: typeof json === "string" ? json : JSON.stringify(json) }),
    });
    return { status: response.status, body: (await response.json()) as T };
  };
  const { body: made } = await call<{ token: string }>("/api/enroll-tokens", {
    terminal: "t1",
    tags: { store: "014" },
  });
  const { body: enrolled } = await call<{ key: string }>("/v1/enroll", { token: made.token, terminal: "t1" }, "none");
  const lines: string[] = [];
  const exception = (seq: number): string => `/api/exceptions/t1/E1/${seq}`;
  const state = async (seq: number): Promise<string> => {
    const { body } = await call<{ messages?: { state: string }[] }>(`/api/trace/t1/E1%2F${seq}`);
    return body.messages?.[0]?.state ?? "none";
  };
  return {
    call,
    exception,
    state,
    /** The till sends all it has written so far: known numbers are skipped. */
    send: async (...more: readonly string[]): Promise<void> => {
      lines.push(...more);
      const head = JSON.stringify({ epoch: "E1", after: 0, chain: chainHex(CHAIN_START) });
      const { status } = await call("/v1/messages", [head, ...lines, ""].join("\n"), enrolled.key);
      expect(status).toBe(200);
    },
    becomes: (seq: number, wanted: string) =>
      until(async () => (await state(seq)) === wanted, { what: `message ${seq} is ${wanted}`, timeoutMs: 20_000 }),
    show: async (seq: number): Promise<Shown> => (await call<Shown>(exception(seq))).body,
    sales: (): unknown[] =>
      centre
        .prepare("select id || ' ' || qty as sale from sale order by id")
        .all()
        .map((row) => row["sale"]),
    restart: async (): Promise<void> => {
      await hub.close();
      hub = await start();
    },
    address: () => hub.address,
    operator,
    centre,
  };
}

test("a dry run says what the centre would do, and does nothing; an edit that it refuses is not taken", async () => {
  const at = await desk();
  await at.send(line(1, { id: "A", qty: -1 }));
  await at.becomes(1, "dead"); // else the next change would mend it within one batch
  await at.send(line(2, { id: "A", qty: 5, op: "update", was: 7 }), line(3, { id: "B", qty: 1 }));
  await at.becomes(2, "held");
  await at.becomes(3, "loaded");
  const shown = await at.show(1);
  expect(shown.waiting).toMatchObject({ messages: 1, terminals: 1 });
  expect(shown.centre.rows).toEqual([{ table: "sale", key: { id: "A" }, now: null, after: null }]);
  const asItIs = await at.call<Rehearsal>(`${at.exception(1)}/dry-run`, {});
  expect(asItIs.body.fault?.code).toBe("CHECK_VIOLATED");
  const mended = await at.call<Rehearsal>(`${at.exception(1)}/dry-run`, { payload: line(1, { id: "A", qty: 7 }) });
  expect(mended.body).toMatchObject({ fault: null, rows: [{ now: null, after: { id: "A", qty: 7 } }] });
  expect(at.sales()).toEqual(["B 1"]);
  const refused = await at.call(`${at.exception(1)}/requeue`, {
    reason: "typo",
    payload: line(1, { id: "A", qty: -7 }),
  });
  expect(refused).toMatchObject({ status: 409, body: { code: "CHECK_VIOLATED" } });
  expect(await at.state(1)).toBe("dead");
  expect((await at.show(1)).revisions).toEqual([]);
  // Taken: what waited behind it follows, in order.
  await at.call(`${at.exception(1)}/requeue`, { reason: "typo", payload: line(1, { id: "A", qty: 7 }) });
  await at.becomes(2, "loaded");
  expect(at.sales()).toEqual(["A 5", "B 1"]);
  expect((await at.show(1)).revisions).toMatchObject([{ n: 1, by: "token:local", reason: "typo" }]);
});

test("an edit that adds a row which later messages touched is refused; the original stays untouched beside the edits", async () => {
  const at = await desk();
  await at.send(
    line(1, { id: "A", qty: -1 }),
    line(2, { id: "B", qty: 2 }),
    line(3, { id: "B", qty: 3, op: "update" }),
  );
  await at.becomes(1, "dead");
  await at.becomes(3, "loaded");
  const wide = { reason: "more", payload: line(1, { id: "A", qty: 1 }, { id: "B", qty: 9, op: "update" }) };
  expect(await at.call(`${at.exception(1)}/requeue`, wide)).toMatchObject({
    status: 409,
    body: { code: "SETS_CHANGED" },
  });
  const free = { reason: "more", payload: line(1, { id: "A", qty: 1 }, { id: "C", qty: 4 }) };
  expect((await at.call(`${at.exception(1)}/requeue`, free)).status).toBe(200);
  await at.becomes(1, "loaded");
  expect(at.sales()).toEqual(["A 1", "B 3", "C 4"]);
  expect((await at.show(1)).payload.lines).toEqual([line(1, { id: "A", qty: -1 })]);
});

test("an edit of an edited message counts; one made of an older revision is refused, and no effect is doubled", async () => {
  const at = await desk();
  await at.send(line(1, { id: "A", qty: -1 }));
  await at.becomes(1, "dead");
  at.centre.exec("create trigger full before insert on sale begin select raise(abort, 'closed'); end");
  const path = `${at.exception(1)}/requeue`;
  // The dry run meets the trigger too: with it in place no edit is taken.
  const first = await at.call(path, { reason: "one", payload: line(1, { id: "A", qty: 1 }) });
  expect(first.status).toBe(409);
  at.centre.exec("drop trigger full");
  const both = await Promise.all([
    at.call(path, { reason: "mine", payload: line(1, { id: "A", qty: 2 }), basedOn: null }),
    at.call(path, { reason: "yours", payload: line(1, { id: "A", qty: 3 }), basedOn: null }),
  ]);
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409]);
  await at.becomes(1, "loaded");
  const { revisions } = await at.show(1);
  expect(revisions).toHaveLength(1);
  expect(at.sales()).toEqual([revisions[0]?.reason === "mine" ? "A 2" : "A 3"]);
});

test("a held head is discarded: what waited behind it goes on, and the centre knows", async () => {
  const at = await desk();
  await at.send(
    line(1, { id: "A", qty: -1 }),
    line(2, { id: "A", qty: 2 }),
    line(3, { id: "A", qty: 3, op: "update", was: 2 }),
  );
  await at.becomes(1, "dead");
  await at.becomes(3, "held");
  expect((await at.call(`${at.exception(2)}/discard`, { reason: "rung up twice" })).status).toBe(200);
  await at.becomes(2, "discarded");
  expect(await at.state(3)).toBe("held");
  await at.call(`${at.exception(1)}/discard`, { reason: "training" });
  await at.becomes(1, "discarded");
  // It is free, and tried: but the row that it changes never came.
  await until(async () => (await at.show(3)).exception.fault, { what: "message 3 was tried" });
  expect((await at.show(3)).exception).toMatchObject({
    behind: null,
    fault: expect.stringMatching(/ROW_MISSING|CONFLICT/),
  });
  expect(at.sales()).toEqual([]);
  const rows = at.centre.prepare("select number, state from waybill_passed where number < 3 order by number").all();
  expect(rows.map((row) => `${row["number"]} ${row["state"]}`)).toEqual(["1 discarded", "2 discarded"]);
});

test("many at once: previewed with its impact, worked off across a restart, followers loaded, each item told truthfully", async () => {
  const at = await desk();
  const bad = Array.from({ length: 120 }, (_, n) => line(n + 1, { id: `S${n}`, qty: -1 }));
  await at.send(...bad, line(121, { id: "S0", qty: 9 }));
  await at.becomes(120, "dead");
  await at.becomes(121, "held");
  const filter = { fault: "CHECK_VIOLATED" };
  const { body: made } = await at.call<{ bulk: Bulk }>("/api/bulk", { verb: "discard", filter });
  expect(made.bulk).toMatchObject({ messages: 120, terminals: 1, waiting: { messages: 1 } });
  await at.call(`${at.exception(5)}/discard`, { reason: "before the others" });
  await at.becomes(5, "discarded");
  const begun = await at.call(`/api/bulk/${made.bulk.id}/start`, { reason: "training day" });
  expect(begun.status).toBe(200);
  await at.restart();
  const path = `/api/bulk/${made.bulk.id}?limit=1000`;
  type Page = { readonly bulk: Bulk; readonly items: readonly BulkItem[] };
  const done = await until(
    async () => {
      const { body } = await at.call<Page>(path);
      return body.bulk.state === "done" && body.items.every(({ now }) => now === "discarded") && body;
    },
    { what: "the bulk act is done" },
  );
  expect(done.bulk).toMatchObject({ ordered: 119, skipped: 1 });
  expect(done.items.filter(({ outcome }) => outcome === "skipped")).toMatchObject([{ seq: 5, now: "discarded" }]);
  await at.becomes(121, "loaded");
  expect(at.sales()).toEqual(["S0 9"]);
  expect((await at.call(`/api/bulk/${made.bulk.id}/cancel`, { reason: "late" })).status).toBe(409);
});

test("receipt 4711 of store 014 is found without naming the till, and the trail is exported whole", async () => {
  const at = await desk();
  await at.send(line(1, { id: "4711", qty: 1 }), line(2, { id: "=cmd|' /C calc'!A0", qty: -1 }));
  await at.becomes(2, "dead");
  const found = await at.call<{ messages: { lane: string; seq: number }[] }>("/api/find?value=4711&tag=store:014");
  expect(found.body.messages).toMatchObject([{ lane: "t1/E1", seq: 1, state: "loaded" }]);
  expect(await at.call("/api/find?value=4711&tag=store:015")).toMatchObject({
    status: 404,
    body: { code: "NOT_FOUND" },
  });
  const file = async (query: string): Promise<string> => {
    const response = await fetch(`${at.address()}/api/audit?${query}`, {
      headers: { authorization: `Bearer ${at.operator}` },
    });
    expect(response.status).toBe(200);
    return response.text();
  };
  const events = (await file("format=ndjson"))
    .trimEnd()
    .split("\n")
    .map((text) => JSON.parse(text) as { id: number; kind: string });
  expect(events.map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(["token made", "enrolled", "received", "dead"]),
  );
  expect(events.map(({ id }) => id)).toEqual(events.map((_, n) => n + (events[0]?.id ?? 0)));
  const csv = await file("format=csv&kind=dead");
  expect(csv.trimEnd().split("\r\n")).toHaveLength(2);
  expect(csv).toMatch(/^id,at,lane,from,through,kind,actor,detail\r\n\d+,\d{4}-.*,t1\/E1,2,2,dead,worker:/);
});
