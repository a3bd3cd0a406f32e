import fc from "fast-check";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hurried, openApi, OPERATOR, PUBLISHER, saleLine, TestLane, type ApiStation } from "../../../test/kit/api.ts";
import { FAULTS, isFaultCode, type FaultCode } from "../../base/errors.ts";
import { seq, terminalId } from "../../base/ids.ts";
import { CHAIN_START, chainHex, chainNext } from "../../message/chain.ts";
import { Lines } from "../../wire/ndjson.ts";
import { problem } from "../../wire/problem.ts";
import type { WireRequest, WireResponse } from "./http.ts";
import { faultsOf } from "./openapi.ts";
import { RouteTable } from "./route.ts";

/** Acceptance: 20,000 by WAYBILL_FUZZ=20000; a bounded share of it in every test run. */
const RUNS = Number(process.env["WAYBILL_FUZZ"] ?? 2_000);
/** Requests a terminal is used for: its lane soon holds mutants, and then everything is CHAIN_BROKEN. */
const REQUESTS_A_TERMINAL = 40;

let hub: ApiStation;
let table: RouteTable;
/** Of a terminal that sends documents only. */
let documentsKey: string;
beforeAll(async () => {
  hub = await openApi({ runtime: hurried, limits: { bodyBytes: 256 << 10, lines: 50 } });
  table = new RouteTable(hub.api.routes);
  documentsKey = await hub.enrol("documents");
});
afterAll(() => hub.close());

type Plain = { method: string; path: string; query: string; headers: Record<string, string>; body: Buffer };
type Sender = { readonly id: string; readonly key: string; readonly lane: TestLane };

const json = (value: unknown): Pick<Plain, "body" | "headers"> => ({
  body: Buffer.from(JSON.stringify(value)),
  headers: { "content-type": "application/json" },
});
const plain = (method: string, path: string, key: string | null, more: Partial<Plain> = {}): Plain => ({
  method,
  path,
  query: "",
  body: Buffer.alloc(0),
  ...more,
  headers: { ...more.headers, ...(key === null ? {} : { authorization: `Bearer ${key}` }) },
});
const changes = [
  { table: "price", op: "upsert", key: { sku: "A" }, row: { sku: "A", price: "9.90", more: { deep: [1, "x", null] } } },
];

const DOCUMENTS = ["a", "b", "c"]
  .map((id) => `${JSON.stringify({ id, type: "sale", at: "2026-11-23T09:14:07Z", body: { total: "12.50" } })}\n`)
  .join("");

/** One good request for each endpoint; mutations start from these. */
function goodRequests({ id, key, lane }: Sender): readonly Plain[] {
  const at = `/api/exceptions/${id}/${lane.epoch}/2`;
  return [
    plain("POST", "/v1/messages", key, { body: Buffer.from(lane.body(1, 4)) }),
    plain("POST", "/v1/messages", key, { body: Buffer.from(lane.body(5, 9)) }),
    plain("POST", "/v1/messages", key, { body: gzipSync(lane.body(1, 9)), headers: { "content-encoding": "gzip" } }),
    plain("POST", "/v1/messages", key, {
      body: zstdCompressSync(lane.body(1, 9)),
      headers: { "content-encoding": "zstd" },
    }),
    plain("POST", "/v1/documents", id.endsWith("1") ? key : documentsKey, { body: Buffer.from(DOCUMENTS) }),
    plain(
      "POST",
      "/v1/enroll",
      null,
      json({ token: "x".repeat(43), terminal: id, tags: { store: "014" }, key: "k".repeat(43) }),
    ),
    plain("GET", "/v1/manifest", key),
    plain("POST", "/v1/epochs", key, json({ previous: lane.epoch, install: "install", reason: "restored" })),
    plain("GET", "/v1/updates", key, { query: "after=0&limit=3&wait=0" }),
    plain(
      "POST",
      "/v1/updates/ack",
      key,
      json({ appliedThrough: "0", refused: [{ id: "0", code: "ROW_REFUSED", detail: "d" }] }),
    ),
    plain("GET", "/v1/status", key),
    plain("POST", "/v1/updates", PUBLISHER, json({ audience: "all", changes, at: "2026-11-23T09:14:07Z" })),
    plain("GET", "/healthz", null),
    plain("GET", "/readyz", null),
    plain("GET", "/metrics", null),
    plain("GET", "/openapi.json", null),
    plain("GET", "/api/overview", OPERATOR),
    plain("GET", "/api/terminals", OPERATOR, { query: "limit=5&after=a" }),
    plain("GET", `/api/terminals/${id}`, OPERATOR),
    plain("GET", "/api/exceptions", OPERATOR, {
      query: "states=dead,held&limit=5&terminal=t1&fault=ROW_EXISTS&table=sale",
    }),
    plain("GET", at, OPERATOR),
    plain("POST", `${at}/requeue`, OPERATOR, json({ reason: "r", payload: saleLine(2) })),
    plain("POST", `${at}/discard`, OPERATOR, json({ reason: "r" })),
    plain("GET", `/api/trace/${id}/4702`, OPERATOR),
    plain("GET", `/api/trace/${id}/2`, OPERATOR),
    plain("GET", "/api/events", OPERATOR, { query: "limit=3&before=9" }),
    plain("POST", "/api/enroll-tokens", OPERATOR, json({ terminal: id, tags: { store: "1" }, validMinutes: 5 })),
  ];
}

/** Values that readers stumble over, as they stand in JSON. */
const ODD = [
  "null",
  "true",
  "-1",
  "0",
  "1e999",
  "9007199254740993",
  "1.5",
  '""',
  '"\\u0000"',
  '"\\ud800"',
  "[]",
  "{}",
  "[[[[[[]]]]]]",
  '{"__proto__":{"x":1}}',
  '{"constructor":1}',
  `"${"x".repeat(300)}"`,
  '"../../etc"',
  '"1; drop table lane"',
  '"2026-02-30T00:00:00Z"',
  "\u00ff",
  "",
];
const DEEP = `${"[".repeat(60_000)}${"]".repeat(60_000)}`;
const oddName = fc.constantFrom(
  "__proto__",
  "constructor",
  "after",
  "limit",
  "wait",
  "states",
  "seq",
  "part",
  "more",
  "é",
  "x".repeat(500),
  "",
);
const oddValue = fc.constantFrom(
  "",
  "0",
  "-1",
  "1e3",
  "NaN",
  "9999999999999999",
  "..%2f",
  "%00",
  "%",
  "null",
  "x".repeat(2_000),
  "💥",
);

type Mutation = (request: Plain) => Plain;
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(fc.nat(), fc.nat(20), fc.uint8Array({ maxLength: 6 })).map(([at, cut, put]): Mutation => (request) => {
    const from = request.body.length === 0 ? 0 : at % request.body.length;
    return {
      ...request,
      body: Buffer.concat([request.body.subarray(0, from), put, request.body.subarray(from + cut)]),
    };
  }),
  // A member nobody knows, in any object.
  fc
    .tuple(fc.nat(), fc.constantFrom(...ODD, DEEP, `{"a":"\\u0041","b":${DEEP}}`))
    .map(([which, odd]): Mutation => (request) => {
      const text = request.body.toString("latin1");
      const objects = [...text.matchAll(/\{(?=")/g)];
      const at = objects[which % Math.max(1, objects.length)]?.index;
      if (at === undefined) return request;
      return {
        ...request,
        body: Buffer.from(`${text.slice(0, at + 1)}"unknown":${odd || "0"},${text.slice(at + 1)}`, "latin1"),
      };
    }),
  // One value of the JSON, wherever it stands, becomes an odd one.
  fc.tuple(fc.nat(), fc.constantFrom(...ODD)).map(([which, odd]): Mutation => (request) => {
    const text = request.body.toString("latin1");
    const values = [...text.matchAll(/(?<=:)("[^"]*"|-?\d+|\[[^\][]*\]|\{[^{}]*\}|true|false|null)/g)];
    const match = values[which % Math.max(1, values.length)];
    return match
      ? {
          ...request,
          body: Buffer.from(text.slice(0, match.index) + odd + text.slice(match.index + match[0].length), "latin1"),
        }
      : request;
  }),
  fc.tuple(fc.nat(), fc.nat()).map(([from, length]): Mutation => (request) => ({
    ...request,
    body: request.body.subarray(from % (request.body.length + 1)).subarray(0, length % 400),
  })),
  fc.constantFrom("GET", "POST", "PUT", "HEAD", "OPTIONS", "get", "").map((method): Mutation => (request) => ({
    ...request,
    method,
  })),
  fc.tuple(oddName, oddValue).map(([name, value]): Mutation => (request) => ({
    ...request,
    query: `${request.query}&${name}=${value}`,
  })),
  fc.tuple(fc.nat(), oddValue).map(([at, put]): Mutation => (request) => {
    const segments = request.path.split("/");
    segments[at % segments.length] = put;
    return { ...request, path: segments.join("/") };
  }),
  fc
    .tuple(
      fc.constantFrom(
        "authorization",
        "content-encoding",
        "content-type",
        "if-none-match",
        "waybill-time",
        "traceparent",
        "accept-encoding",
      ),
      fc.oneof(
        oddValue,
        fc.constantFrom(
          "gzip",
          "zstd",
          "br",
          "identity",
          "Bearer x",
          "text/xml",
          "application/json",
          "*",
          `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
        ),
      ),
    )
    .map(([name, value]): Mutation => (request) => ({ ...request, headers: { ...request.headers, [name]: value } })),
);

let sender: Sender | null = null;
let sent = 0;
const senders: Sender[] = [];
async function nextSender(): Promise<Sender> {
  if (sender === null || sent++ % REQUESTS_A_TERMINAL === 0) {
    const id = `f${senders.length + 1}`;
    sender = { id, key: await hub.enrol(id), lane: new TestLane("E1", 9) };
    senders.push(sender);
  }
  return sender;
}

const asked = (request: Plain): WireRequest => ({
  ...request,
  query: new URLSearchParams(request.query),
  signal: new AbortController().signal,
});

/** What this request may be answered with, by the endpoint's own description. */
function documented(request: Plain): { readonly status: number; readonly codes: ReadonlySet<FaultCode> } | null {
  try {
    const { route } = table.find(request.method, request.path);
    return { status: route.answer.status, codes: new Set(faultsOf(route)) };
  } catch {
    return null;
  }
}

function check(request: Plain, response: WireResponse): void {
  const expected = documented(request);
  const text = Buffer.from(response.body).toString();
  expect(response.headers["waybill-trace"]).toMatch(/^[0-9a-f]{32}$/);
  if (response.status < 400) return expect([expected?.status, 304]).toContain(response.status);
  const told = problem.parse(JSON.parse(text));
  expect(isFaultCode(told.code) && FAULTS[told.code].status).toBe(response.status);
  expect(text).not.toMatch(/\bat .*\.ts:\d+|node:internal|SQLITE/);
  if (expected === null) expect(["NOT_FOUND", "METHOD_NOT_ALLOWED"]).toContain(told.code);
  else expect([...expected.codes], `${request.method} ${request.path}: ${text}`).toContain(told.code);
}

test(`${RUNS} mutated requests: every answer is a documented one, none is a 500, and nothing is half-stored`, async () => {
  const request = fc.record({ which: fc.nat(), mutations: fc.array(mutation, { maxLength: 3 }) });
  const seen = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(request, async ({ which, mutations }) => {
      const all = goodRequests(await nextSender());
      const good = all[which % all.length];
      if (!good) return;
      const mutant = mutations.reduce((given, mutate) => mutate(given), good);
      const response = await hub.api.handle(asked(mutant));
      seen.set(response.status, (seen.get(response.status) ?? 0) + 1);
      check(mutant, response);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  // The mutations must not all die at the door: good answers and each common refusal were met.
  for (const status of [200, 400, 401, 404, 405, 409, 415])
    expect(seen.get(status) ?? 0, `answers with ${status}`).toBeGreaterThan(0);
  await nothingHalfStored();
}, 300_000);

/** Each lane is an unbroken run of whole lines from 1, whose chain is the one the ledger acknowledges. */
async function nothingHalfStored(): Promise<void> {
  let messages = 0;
  for (const id of ["documents", ...senders.map((each) => each.id)]) {
    for (const lane of await hub.ledger.lanes.of(terminalId(id))) {
      let chain: Uint8Array = CHAIN_START;
      let through = 0;
      while (through < lane.receivedThrough) {
        const pieces = await hub.ledger.bytes.read(lane.lane, seq(through + 1), lane.receivedThrough, 0, 1 << 20);
        for (const piece of pieces) {
          const lines = new Lines(piece.bytes, 1_000);
          expect(piece.from).toBe(through + 1);
          for (let i = 0; i < lines.count; i++) {
            expect((lines.json(i) as { seq: number }).seq).toBe(piece.part > 0 ? piece.from : piece.from + i);
            chain = chainNext(chain, lines.at(i));
          }
          through = piece.through;
        }
      }
      expect(chainHex(chain)).toBe(chainHex(lane.chain));
      messages += through;
    }
  }
  expect(messages).toBeGreaterThan(0);
}
