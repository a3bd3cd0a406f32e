import { describe, expect, test, vi } from "vitest";
import { describeWith } from "../../test/kit/needs.ts";
import { until } from "../../test/kit/until.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import type { Bulk, BulkItem } from "../ledger/exceptions.ts";
import type { Event } from "../ledger/trail.ts";
import type { Rehearsal } from "../load/port.ts";
import type { Change } from "../message/change.ts";
import type { TraceAnswer } from "./api/trace.ts";
import { BULK_ORDERS, BULK_REST_MS } from "./bulk-runner.ts";
import { Desk, onPostgres, onSqlite, type OpenPlace } from "./desk.test-kit.ts";

// A hub of its own for each test, over a server that others use too.
vi.setConfig({ testTimeout: 60_000 });

type Row = { readonly id: string; readonly qty: number; readonly op?: "insert" | "update"; readonly was?: number };

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

const TABLES = { sale: { direction: "up", search: ["id"] } };
/** The same words in both engines. */
const DDL = "create table sale (id varchar(40) primary key, qty integer, constraint not_negative check (qty >= 0))";
const SALES = "select id, qty from sale order by id";

/** What operators do, one at a time and many, through a hub over a centre that takes no negative quantity. */
function deskTests(open: OpenPlace, closedShop: { readonly on: string; readonly off: string }): void {
  const desk = async (config: Readonly<Record<string, unknown>> = {}): Promise<Desk> =>
    Desk.open(await open(DDL), { tables: TABLES, ...config });

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
    expect(await at.rows(SALES)).toEqual(["B 1"]);
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
    expect(await at.rows(SALES)).toEqual(["A 5", "B 1"]);
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
    expect(await at.rows(SALES)).toEqual(["A 1", "B 3", "C 4"]);
    expect((await at.show(1)).payload.lines).toEqual([line(1, { id: "A", qty: -1 })]);
  });

  test("an edit of an edited message counts; one made of an older revision is refused, and no effect is doubled", async () => {
    const at = await desk();
    await at.send(line(1, { id: "A", qty: -1 }));
    await at.becomes(1, "dead");
    await at.place.centre.run(closedShop.on);
    const path = `${at.exception(1)}/requeue`;
    // The dry run meets the trigger too: with it in place no edit is taken.
    const first = await at.call(path, { reason: "one", payload: line(1, { id: "A", qty: 1 }) });
    expect(first.status).toBe(409);
    await at.place.centre.run(closedShop.off);
    const both = await Promise.all([
      at.call(path, { reason: "mine", payload: line(1, { id: "A", qty: 2 }), basedOn: null }),
      at.call(path, { reason: "yours", payload: line(1, { id: "A", qty: 3 }), basedOn: null }),
    ]);
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409]);
    await at.becomes(1, "loaded");
    const { revisions } = await at.show(1);
    expect(revisions).toHaveLength(1);
    expect(await at.rows(SALES)).toEqual([revisions[0]?.reason === "mine" ? "A 2" : "A 3"]);
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
    expect(await at.rows(SALES)).toEqual([]);
    const passed = await at.rows("select number, state from waybill_passed where number < 3 order by number");
    expect(passed).toEqual(["1 discarded", "2 discarded"]);
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
    expect(await at.rows(SALES)).toEqual(["S0 9"]);
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
      const response = await fetch(`${at.address}/api/audit?${query}`, {
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
    expect(csv).toMatch(
      /^id,at,lane,from,through,kind,actor,detail,trace,requestTrace\r\n\d+,\d{4}-.*,t1\/E1,2,2,dead,worker:/,
    );
  });

  test("an act names the trace of its request in its event: in the message's story and in the audit file", async () => {
    const at = await desk({ tracing: { link: "https://traces.example/{trace}" } });
    await at.send(line(1, { id: "A", qty: -4 }));
    await at.becomes(1, "dead");
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const given = { reason: "a test sale" };
    await at.call(`${at.exception(1)}/discard`, given, at.operator, `00-${trace}-00f067aa0ba902b7-01`);
    const { body } = await at.call<TraceAnswer>("/api/trace/t1/1");
    const events = body.messages[0]?.events ?? [];
    expect(events.map(({ kind, requestTrace }) => [kind, requestTrace]).slice(0, 3)).toEqual([
      ["received", null],
      ["dead", null],
      ["discard ordered", trace],
    ]);
    expect(body.traceLink).toBe("https://traces.example/{trace}");
    const audit = async (format: string): Promise<string> =>
      (await at.call<string>(`/api/audit?format=${format}&kind=discard%20ordered`)).body;
    expect(await audit("csv")).toMatch(new RegExp(`,a test sale,[0-9a-f]*,${trace}\r\n$`));
    const ndjson = await at.call<{ requestTrace: string }>("/api/audit?format=ndjson&kind=discard%20ordered");
    expect(ndjson.body.requestTrace).toBe(trace);
    // An act without one is told under the trace that its answer names.
    const paused = await at.call<unknown>("/api/pauses", { kind: "everything", reason: "a drill" });
    expect(paused.status).toBe(200);
    const { body: newest } = await at.call<{ events: Event[] }>("/api/events?kind=paused");
    expect(newest.events[0]?.requestTrace).toMatch(/^[0-9a-f]{32}$/);
  });

  test("a transform deployed between the refusal and the requeue is what counts, once", async () => {
    const at = await desk();
    await at.send(line(1, { id: "A", qty: -4 }));
    await at.becomes(1, "dead"); // else the next change would mend it within one batch
    await at.send(line(2, { id: "A", qty: 9, op: "update", was: 4 }), line(3, { id: "B", qty: 1 }));
    await at.becomes(2, "held");
    await at.becomes(3, "loaded");
    const turned = (change: Change): Change => ({
      ...change,
      row: { ...change.row, qty: Math.abs(Number(change.row?.["qty"])) },
    });
    await at.restart({ tables: { sale: { ...TABLES.sale, transform: turned } } });
    expect((await at.call(`${at.exception(1)}/requeue`, { reason: "the transform mends it" })).status).toBe(200);
    await at.becomes(2, "loaded");
    expect(await at.state(1)).toBe("loaded");
    expect(await at.rows(SALES)).toEqual(["A 9", "B 1"]);
  });

  test("a transform deployed since that touches rows of later messages is refused, and nothing is overwritten", async () => {
    const at = await desk();
    await at.send(line(1, { id: "A", qty: -4 }), line(2, { id: "B", qty: 7 }));
    await at.becomes(1, "dead");
    await at.becomes(2, "loaded");
    const elsewhere = (change: Change): Change =>
      change.key["id"] === "A" ? { ...change, op: "upsert", key: { id: "B" }, row: { id: "B", qty: 1 } } : change;
    await at.restart({ tables: { sale: { ...TABLES.sale, transform: elsewhere } } });
    expect((await at.call(`${at.exception(1)}/requeue`, { reason: "again" })).status).toBe(200);
    await until(async () => (await at.show(1)).exception.fault === "SETS_CHANGED", {
      what: "it was tried and refused",
    });
    expect(await at.state(1)).toBe("dead");
    expect(await at.rows(SALES)).toEqual(["B 7"]);
  });

  test("a requeue while followers arrive: each has its effect once, in order", async () => {
    const at = await desk();
    const last = 60;
    await at.send(line(1, { id: "A", qty: -1 }));
    await at.becomes(1, "dead");
    let sent = 1;
    const arrive = async (): Promise<void> => {
      while (sent < last) await at.send(line(++sent, { id: "A", qty: sent, op: "update", was: sent - 1 }));
    };
    const requeue = async (): Promise<void> => {
      await until(() => sent > 20, { what: "some followers came" });
      const edit = { reason: "typo", payload: line(1, { id: "A", qty: 1 }) };
      expect((await at.call(`${at.exception(1)}/requeue`, edit)).status).toBe(200);
    };
    await Promise.all([arrive(), requeue()]);
    await at.becomes(last, "loaded");
    // Each compares the row with what the one before left: one that came out of turn, or twice, would be a conflict.
    const states = await Promise.all(Array.from({ length: last }, (_, n) => at.state(n + 1)));
    expect(new Set(states)).toEqual(new Set(["loaded"]));
    expect(await at.rows(SALES)).toEqual([`A ${last}`]);
  });

  test("two operators start one bulk: one of them does, and each message is ordered once", async () => {
    const at = await desk();
    await at.send(...Array.from({ length: 30 }, (_, n) => line(n + 1, { id: `S${n}`, qty: -1 })));
    await at.becomes(30, "dead");
    await at.place.centre.run("delete from sale");
    const { body } = await at.call<{ bulk: Bulk }>("/api/bulk", {
      verb: "discard",
      filter: { fault: "CHECK_VIOLATED" },
    });
    const path = `/api/bulk/${body.bulk.id}`;
    const both = await Promise.all(["anna", "ben"].map((who) => at.call(`${path}/start`, { reason: who })));
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409]);
    await until(async () => (await at.state(30)) === "discarded" && (await at.state(1)) === "discarded", {
      what: "all are given up",
    });
    const done = await at.call<{ bulk: Bulk }>(path);
    expect(done.body.bulk).toMatchObject({ state: "done", ordered: 30, skipped: 0 });
    const events = await at.call<{ events: { kind: string }[] }>("/api/events?limit=1000");
    const kinds = events.body.events.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === "bulk started")).toHaveLength(1);
    expect(kinds.filter((kind) => kind === "discard ordered")).toHaveLength(30);
  });

  test("many are requeued through the hub after the centre was mended; cancelled on the way, what was ordered is loaded and the rest stays", async () => {
    const { runtime, resting, goOn } = heldBetweenSteps();
    const at = await Desk.open(await open(DDL), { tables: TABLES }, runtime);
    const count = 2 * BULK_ORDERS + 20;
    await at.send(...Array.from({ length: count }, (_, n) => line(n + 1, { id: `S${n}`, qty: -1 })));
    await at.becomes(count, "dead");
    await at.place.centre.run(MENDED_BY_RENAME);
    type Page = { readonly bulk: Bulk; readonly items: readonly BulkItem[] };
    const { body } = await at.call<{ bulk: Bulk }>("/api/bulk", { verb: "requeue", filter: {} });
    const path = `/api/bulk/${body.bulk.id}`;
    expect((await at.call(`${path}/start`, { reason: "the limit is gone" })).status).toBe(200);
    await resting;
    expect((await at.call<Page>(path)).body.bulk).toMatchObject({ state: "running", ordered: BULK_ORDERS, skipped: 0 });
    expect((await at.call(`${path}/cancel`, { reason: "wait" })).status).toBe(200);
    goOn();
    const { bulk, items } = await until(
      async () => {
        const page = (await at.call<Page>(`${path}?limit=1000`)).body;
        return page.items.every(({ outcome, now }) => now === (outcome === "ordered" ? "loaded" : "dead")) && page;
      },
      { what: "each item is as it was told to be" },
    );
    expect(bulk).toMatchObject({ state: "cancelled", ordered: BULK_ORDERS, skipped: 0 });
    expect(items).toHaveLength(count);
    expect(items.filter(({ outcome }) => outcome === "ordered")).toHaveLength(BULK_ORDERS);
    expect(await at.rows("select count(*) from sale")).toEqual([`${BULK_ORDERS}`]);
    expect((await at.call(`${path}/start`, { reason: "after all" })).status).toBe(409);
    // The rest is requeued by a list of its own.
    const rest = await at.call<{ bulk: Bulk }>("/api/bulk", { verb: "requeue", filter: {} });
    expect(rest.body.bulk).toMatchObject({ messages: count - BULK_ORDERS, beyond: 0 });
    await at.call(`/api/bulk/${rest.body.bulk.id}/start`, { reason: "go on" });
    await until(async () => Number((await at.rows("select count(*) from sale"))[0]) === count, {
      what: "all are at the centre, once",
    });
  });
}

/** A runtime in which an act on many messages stays between its first two steps until it may go on. */
function heldBetweenSteps(): { readonly runtime: Runtime; readonly resting: Promise<void>; readonly goOn: () => void } {
  const begun = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const sleep: Runtime["timers"]["sleep"] = async (ms, signal) => {
    if (ms !== BULK_REST_MS) return systemRuntime.timers.sleep(ms, signal);
    begun.resolve();
    await held.promise;
  };
  const runtime = { ...systemRuntime, timers: { ...systemRuntime.timers, sleep } };
  return { runtime, resting: begun.promise, goOn: held.resolve };
}

/** The check is taken away in a way that both engines know. */
const MENDED_BY_RENAME =
  "alter table sale rename to old_sale; create table sale (id varchar(40) primary key, qty integer)";

describe("the desk over SQLite", () => {
  deskTests(onSqlite, {
    on: "create trigger full_shop before insert on sale begin select raise(abort, 'closed'); end",
    off: "drop trigger full_shop",
  });
});
describeWith("postgres", "the desk over PostgreSQL", (server) => {
  deskTests(onPostgres(server), {
    on: `create function closed() returns trigger language plpgsql as $$ begin raise exception 'closed'; end $$;
         create trigger full_shop before insert on sale for each row execute function closed()`,
    off: "drop trigger full_shop on sale",
  });
});
