import fc from "fast-check";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { FAULTS, isFaultCode, type FaultCode } from "../../src/base/errors.ts";
import { seq, terminalId } from "../../src/base/ids.ts";
import type { WireRequest, WireResponse } from "../../src/hub/api/http.ts";
import { faultsOf } from "../../src/hub/api/openapi.ts";
import { RouteTable, type Route } from "../../src/hub/api/route.ts";
import type { SoapSettings } from "../../src/hub/soap/settings.ts";
import { CHAIN_START, chainHex, chainNext } from "../../src/message/chain.ts";
import { Lines } from "../../src/wire/ndjson.ts";
import { problem } from "../../src/wire/problem.ts";
import { hurried, openApi, OPERATOR, PUBLISHER, saleLine, TestLane, type ApiStation } from "../kit/api.ts";
import { everyRoute } from "./every-route.ts";
import { ODD, oddName, oddValue, DEEP } from "./odd.ts";
import { soapRequests } from "./soap.ts";

/** Requests a terminal is used for: its lane soon holds mutants, and then everything is CHAIN_BROKEN. */
const REQUESTS_A_TERMINAL = 40;
const SOAP: SoapSettings = {
  publicUrl: "http://hub.test",
  auth: ["basic", "usernameToken"],
  zone: null,
  replyBytes: 48 * 1024,
  textLength: 8_192,
  mappings: [],
};

/** A password's hash is slow on purpose: those endpoints have their turn in every so many rounds. */
const PASSWORDS_EVERY = 20;
const hashesPasswords = ({ method, path }: Route): boolean => method === "POST" && path.startsWith("/api/operators");

export type Plain = { method: string; path: string; query: string; headers: Record<string, string>; body: Buffer };
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

/** Good requests, made when one is wanted; mutations start from these. */
function goodRequests(
  { id, key, lane }: Sender,
  documentsKey: string,
  routes: readonly Route[],
): readonly (() => Plain)[] {
  const at = `/api/exceptions/${id}/${lane.epoch}/2`;
  return [
    () => plain("POST", "/v1/messages", key, { body: Buffer.from(lane.body(1, 4)) }),
    () => plain("POST", "/v1/messages", key, { body: Buffer.from(lane.body(5, 9)) }),
    () =>
      plain("POST", "/v1/messages", key, { body: gzipSync(lane.body(1, 9)), headers: { "content-encoding": "gzip" } }),
    () =>
      plain("POST", "/v1/messages", key, {
        body: zstdCompressSync(lane.body(1, 9)),
        headers: { "content-encoding": "zstd" },
      }),
    () => plain("POST", "/v1/documents", id.endsWith("1") ? key : documentsKey, { body: Buffer.from(DOCUMENTS) }),
    () =>
      plain(
        "POST",
        "/v1/enroll",
        null,
        json({ token: "x".repeat(43), terminal: id, tags: { store: "014" }, key: "k".repeat(43) }),
      ),
    () => plain("GET", "/v1/manifest", key),
    () => plain("POST", "/v1/epochs", key, json({ previous: lane.epoch, install: "install", reason: "restored" })),
    () => plain("GET", "/v1/updates", key, { query: "after=0&limit=3&wait=0" }),
    () =>
      plain(
        "POST",
        "/v1/updates/ack",
        key,
        json({ appliedThrough: "0", refused: [{ id: "0", code: "ROW_REFUSED", detail: "d" }] }),
      ),
    () => plain("GET", "/v1/status", key),
    () => plain("POST", "/v1/updates", PUBLISHER, json({ audience: "all", changes, at: "2026-11-23T09:14:07Z" })),
    ...soapRequests(id, key),
    ...everyRoute(routes, { id, terminal: id, epoch: lane.epoch, seq: "2", what: "4702", name: "sample" }, key),
    () => plain("GET", "/healthz", null),
    () => plain("GET", "/readyz", null),
    () => plain("GET", "/metrics", null),
    () => plain("GET", "/openapi.json", null),
    () => plain("GET", "/api/overview", OPERATOR),
    () => plain("GET", "/api/terminals", OPERATOR, { query: "limit=5&after=a" }),
    () => plain("GET", `/api/terminals/${id}`, OPERATOR),
    () =>
      plain("GET", "/api/exceptions", OPERATOR, {
        query: "states=dead,held&limit=5&terminal=t1&fault=ROW_EXISTS&table=sale",
      }),
    () => plain("GET", at, OPERATOR),
    () => plain("POST", `${at}/requeue`, OPERATOR, json({ reason: "r", payload: saleLine(2) })),
    () => plain("POST", `${at}/discard`, OPERATOR, json({ reason: "r" })),
    () => plain("GET", `/api/trace/${id}/4702`, OPERATOR),
    () => plain("GET", `/api/trace/${id}/2`, OPERATOR),
    () => plain("GET", "/api/events", OPERATOR, { query: "limit=3&before=9" }),
    () => plain("POST", "/api/enroll-tokens", OPERATOR, json({ terminal: id, tags: { store: "1" }, validMinutes: 5 })),
  ];
}

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

const asked = (request: Plain): WireRequest => ({
  ...request,
  query: new URLSearchParams(request.query),
  signal: new AbortController().signal,
});

export type RoundOptions = { readonly count: number; readonly seed: number };
/** How often each status was answered, SOAP's apart. */
export type RoundReport = ReadonlyMap<string, number>;

/**
 * One hub, `count` mutated requests to all of its entrances, and then a look whether its ledger is whole.
 * @throws Error with the shortest mutation that shows it, when an answer is not one that its endpoint documents
 */
export async function fuzzRound({ count, seed }: RoundOptions): Promise<RoundReport> {
  await using hub = await openApi({ runtime: hurried, limits: { bodyBytes: 256 << 10, lines: 50 }, soap: SOAP });
  const senders = new Senders(hub, await hub.enrol("documents"));
  const table = new RouteTable(hub.api.routes);
  const routes = hub.api.routes.filter((route) => !hashesPasswords(route) || seed % PASSWORDS_EVERY === 0);
  const request = fc.record({ which: fc.nat(), mutations: fc.array(mutation, { maxLength: 3 }) });
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(request, async ({ which, mutations }) => {
      const all = goodRequests(await senders.next(), senders.documentsKey, routes);
      const good = all[which % all.length];
      if (!good) return;
      const mutant = mutations.reduce((given, mutate) => mutate(given), good());
      const response = await hub.api.handle(asked(mutant));
      // SOAP answers every fault with 500, as its standard says.
      const answer = `${mutant.path.startsWith("/soap") ? "SOAP " : ""}${response.status}`;
      seen.set(answer, (seen.get(answer) ?? 0) + 1);
      check(table, mutant, response);
      if (response.stream) for await (const _ of response.stream); // a fault in it would be thrown here
    }),
    { numRuns: count, seed, endOnFailure: true },
  );
  await nothingHalfStored(hub, senders.ids);
  return seen;
}

class Senders {
  readonly ids = ["documents"];
  readonly documentsKey: string;
  readonly #hub: ApiStation;
  #sender: Sender | null = null;
  #sent = 0;

  constructor(hub: ApiStation, documentsKey: string) {
    this.#hub = hub;
    this.documentsKey = documentsKey;
  }
  async next(): Promise<Sender> {
    if (this.#sender === null || this.#sent++ % REQUESTS_A_TERMINAL === 0) {
      const id = `f${this.ids.length}`;
      this.#sender = { id, key: await this.#hub.enrol(id), lane: new TestLane("E1", 9) };
      this.ids.push(id);
    }
    return this.#sender;
  }
}

/** What this request may be answered with, by the endpoint's own description. */
function documented(
  table: RouteTable,
  request: Plain,
): { readonly status: number; readonly codes: ReadonlySet<FaultCode> } | null {
  try {
    const { route } = table.find(request.method, request.path);
    return { status: route.answer.status, codes: new Set(faultsOf(route)) };
  } catch {
    return null;
  }
}

function check(table: RouteTable, request: Plain, response: WireResponse): void {
  const text = Buffer.from(response.body).toString();
  const wrong = (what: string): never => {
    throw new Error(
      `${request.method} ${request.path} was answered ${response.status} (${what}): ${text.slice(0, 500)}`,
    );
  };
  if (!/^[0-9a-f]{32}$/.test(response.headers["waybill-trace"] ?? "")) wrong("without a trace");
  if (response.status >= 400 && /\bat .*\.ts:\d+|node:internal|SQLITE/.test(text)) wrong("shows what is inside");
  if (response.status >= 400 && /\bINTERNAL\b/.test(text)) wrong("a fault of ours");
  // SOAP has its faults in envelopes and its own statuses; ours must not be among them, and that was looked at above.
  if (request.path.startsWith("/soap")) return;
  const expected = documented(table, request);
  if (response.status < 400) {
    if (response.status !== expected?.status && response.status !== 304)
      wrong("a status the endpoint does not document");
    return;
  }
  const told = problem.parse(JSON.parse(text));
  if (!isFaultCode(told.code) || FAULTS[told.code].status !== response.status)
    return wrong("not the status of its code");
  const allowed = expected === null ? ["NOT_FOUND", "METHOD_NOT_ALLOWED"] : [...expected.codes];
  if (!allowed.includes(told.code)) wrong("a code the endpoint does not document");
}

/** Each lane is an unbroken run of whole lines from 1, whose chain is the one the ledger acknowledges. */
async function nothingHalfStored(hub: ApiStation, terminals: readonly string[]): Promise<void> {
  let messages = 0;
  for (const id of terminals) {
    for (const lane of await hub.ledger.lanes.of(terminalId(id))) {
      const wrong = (what: string): never => {
        throw new Error(`lane ${lane.lane}: ${what}`);
      };
      let chain: Uint8Array = CHAIN_START;
      let through = 0;
      while (through < lane.receivedThrough) {
        const pieces = await hub.ledger.bytes.read(lane.lane, seq(through + 1), lane.receivedThrough, 0, 1 << 20);
        if (pieces.length === 0) wrong(`message ${through + 1} of ${lane.receivedThrough} is not stored`);
        for (const piece of pieces) {
          const lines = new Lines(piece.bytes, 1_000);
          if (piece.from !== through + 1) wrong(`after ${through} comes ${piece.from}`);
          for (let i = 0; i < lines.count; i++) {
            const number = piece.part > 0 ? piece.from : piece.from + i;
            if ((lines.json(i) as { seq: number }).seq !== number)
              wrong(`line ${i} of the piece from ${piece.from} is not ${number}`);
            chain = chainNext(chain, lines.at(i));
          }
          through = piece.through;
        }
      }
      if (chainHex(chain) !== chainHex(lane.chain)) wrong("its chain is not that of its lines");
      messages += through;
    }
  }
  if (messages === 0) throw new Error("nothing was stored at all: the requests are no good");
}
