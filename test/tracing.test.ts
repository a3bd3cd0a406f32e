import { expect, test } from "vitest";
import { contextOf } from "../src/observe/trace-context.ts";
import { collector, type ReceivedSpan } from "./kit/otlp.ts";
import { PUBLISHER, SmallChain } from "./kit/small-chain.ts";
import { until } from "./kit/until.ts";

type Traced = {
  readonly messages: readonly {
    readonly seq: number;
    readonly state: string;
    readonly trace: string | null;
    readonly events: readonly { readonly kind: string; readonly trace: string | null }[];
  }[];
};

/** Every span of the trace but its first hangs below one that was received, too. @returns names in the order of their beginning */
function unbroken(spans: readonly ReceivedSpan[]): string[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  expect(ids.size, "each span has an id of its own").toBe(spans.length);
  expect(spans.filter(({ parent }) => parent === null)).toHaveLength(1);
  for (const { name, parent } of spans) expect(parent === null || ids.has(parent), `${name} has its parent`).toBe(true);
  return spans.map(({ name, service }) => `${service}: ${name}`).toSorted();
}

test("one sale from till to centre and one price from centre to till are one unbroken trace each", async () => {
  await using collecting = await collector();
  await using world = await SmallChain.start({ tracing: { url: collecting.url, headers: { "x-tenant": "shop" } } });
  await world.till("t1", { tracing: { url: collecting.url } });

  world.sql("t1.db", "insert into sale values ('S-1', 't1', '9.99')");
  await until(() => world.rows("central.db", "select * from sale").length === 1, { what: "the sale at the centre" });
  const { messages } = await world.operator<Traced>("/api/trace/t1/S-1");
  const sale = messages[0]?.trace ?? "";
  expect(sale, "console and command line know the trace").toMatch(/^[0-9a-f]{32}$/);
  const up = ["waybill-hub: load", "waybill-hub: receive", "waybill-terminal: capture", "waybill-terminal: submit"];
  await until(() => collecting.trace(sale).length >= up.length, { what: "the sale's spans", timeoutMs: 10_000 });
  const way = collecting.trace(sale);
  expect(unbroken(way)).toEqual(up);
  // Each names the batch that carried it, and that batch names the sale.
  for (const { name, links } of way.filter(({ parent }) => parent !== null)) {
    const [link] = links;
    const batch = await until(() => collecting.spans.find(({ spanId }) => spanId === link?.spanId), {
      what: `${name}'s batch`,
    });
    expect(batch.links.map(({ traceId }) => traceId)).toContain(sale);
  }
  expect(way.find(({ name }) => name === "load")?.attributes).toMatchObject({
    "waybill.state": "loaded",
    "waybill.seq": String(messages[0]?.seq),
  });
  const at = (name: string): bigint => way.find((span) => span.name === name)?.from ?? 0n;
  expect(at("capture") <= at("submit") && at("submit") <= at("receive") && at("receive") <= at("load")).toBe(true);
  expect(collecting.headers).toContainEqual(expect.objectContaining({ "x-tenant": "shop" }));

  world.sql("central.db", "insert into price values ('milk', '1.09')");
  await until(() => world.rows("t1.db", "select * from price").length === 1, { what: "the price at the till" });
  const [entry] = world.rows("ledger.db", "select trace from update_entry order by id desc limit 1");
  const price = contextOf(String(entry?.["trace"]))?.traceId ?? "";
  const down = ["waybill-hub: capture", "waybill-hub: deliver", "waybill-hub: publish", "waybill-terminal: apply"];
  await until(() => collecting.trace(price).length >= down.length, { what: "the price's spans", timeoutMs: 10_000 });
  expect(unbroken(collecting.trace(price))).toEqual(down);
});

test("a refused sale's trace says so, and its dead letter, its events and the log name the same trace", async () => {
  await using collecting = await collector();
  await using world = await SmallChain.start({ tracing: { url: collecting.url } });
  await world.till("t1", {}); // the agent does not trace: the hub tells of the beginning in its place
  world.sql("t1.db", "pragma ignore_check_constraints = on; insert into sale values ('S-2', 't1', 'bad')");
  await until(async () => (await world.operator<{ dead: number }>("/api/overview")).dead === 1, {
    what: "a dead letter",
  });
  const { messages } = await world.operator<Traced>("/api/trace/t1/S-2");
  const message = messages.find(({ state }) => state === "dead");
  const trace = message?.trace ?? "";
  expect(message?.events.find(({ kind }) => kind === "dead")?.trace).toBe(trace);
  await until(() => collecting.trace(trace).length >= 3, { what: "spans", timeoutMs: 10_000 });
  const spans = collecting.trace(trace);
  expect(unbroken(spans)).toEqual(["waybill-hub: capture", "waybill-hub: load", "waybill-hub: receive"]);
  expect(spans.find(({ name }) => name === "load")).toMatchObject({
    failed: true,
    attributes: { "waybill.state": "dead" },
  });
});

test("what is published through the API belongs to its caller's trace, down to the till", async () => {
  await using collecting = await collector();
  await using world = await SmallChain.start({ tracing: { url: collecting.url } });
  await world.till("t1", { tracing: { url: collecting.url } });
  const [trace, parent] = ["ab".repeat(16), "cd".repeat(8)];
  const answer = await fetch(`${world.address}/v1/updates`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${PUBLISHER}`,
      "content-type": "application/json",
      traceparent: `00-${trace}-${parent}-01`,
    },
    body: JSON.stringify({
      audience: "all",
      changes: [{ table: "price", op: "upsert", key: { sku: "tea" }, row: { sku: "tea", amount: "2.00" } }],
    }),
  });
  expect(answer.status).toBe(201);
  await until(() => collecting.trace(trace).length >= 3, { what: "spans", timeoutMs: 10_000 });
  const spans = collecting.trace(trace);
  expect(spans.map(({ name }) => name).toSorted()).toEqual(["POST /v1/updates", "apply", "deliver"]);
  const request = spans.find(({ name }) => name === "POST /v1/updates");
  expect(request?.parent).toBe(parent);
  for (const span of spans) if (span !== request) expect(span.parent).toBe(request?.spanId);
});

test("nothing is sent, read from disk or waited for when nobody asked for traces, or the share is nothing", async () => {
  await using collecting = await collector();
  await using world = await SmallChain.start({ tracing: { url: collecting.url, ratio: 0 } });
  await world.till("t1", {});
  world.sql("t1.db", "insert into sale values ('S-3', 't1', '1.00')");
  await until(() => world.rows("central.db", "select * from sale").length === 1, { what: "the sale at the centre" });
  await world[Symbol.asyncDispose](); // sends what waits
  expect(collecting.spans).toEqual([]);
});
