import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADMIN, OPERATOR, openApi, TestLane, VIEWER, type Answer, type ApiStation } from "../../test/kit/api.ts";
import { epoch, laneName, seq, SYSTEM, terminalId, updateId, workerId } from "../base/ids.ts";
import { serveConsole } from "./console.ts";
import type { ExceptionWrite } from "../ledger/port.ts";
import { HIDDEN } from "../load/discreet.ts";
import { setsAsText } from "../ledger/key-sets.ts";

/** Stands in a personal column, in the words around it, in a key, in an edit and in a reason: nowhere may a viewer meet it. */
const SECRET = "Marlene Mustermann";
const lane = laneName(terminalId("t1"), epoch("E1"));

type Operation = { readonly "x-least-role"?: string; readonly parameters: readonly { name: string; in: string }[] };
type Document = { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> };
type Endpoint = { readonly method: string; readonly path: string; readonly role: string | undefined };

let hub: ApiStation;
let endpoints: readonly Endpoint[];
beforeAll(async () => {
  hub = await openApi({
    parts: { browser: serveConsole },
    personal: new Map([["sale", new Set(["receipt", "buyer"])]]),
  });
  const key = await hub.enrol("t1");
  const messages = new TestLane("E1", 4, (n) => {
    const row = { sale_id: `S-${n}`, receipt: SECRET, buyer: { name: SECRET }, total: "12.50", clerk: "clerk-7" };
    return JSON.stringify({
      seq: n,
      at: "2026-11-23T09:14:07Z",
      changes: [
        { table: "sale", op: "update", key: { sale_id: row.sale_id, receipt: SECRET }, row, before: row },
        { table: "document:sale", op: "insert", key: { id: "d" }, row: { body: `<buyer>${SECRET}</buyer>` } },
      ],
    });
  });
  await hub.call("POST", "/v1/messages", { key, body: messages.body(1, 4) });
  const exception = (n: number, more: Partial<ExceptionWrite>): ExceptionWrite => ({
    seq: seq(n),
    state: "dead",
    fault: "CHECK_VIOLATED",
    detail: `buyer ${SECRET} is not known`,
    attempts: 1,
    retryInMs: null,
    behind: null,
    route: null,
    sets: setsAsText({ writes: [], adds: [], creates: [], deletes: [], parents: [] }),
    tables: ["sale"],
    ...more,
  });
  const [claim] = await hub.ledger.work.claim(workerId("w"), { lanes: 1, messages: 9, bytes: 1 << 20 }, 60_000);
  const behind = { lane, seq: seq(1), on: `sale ${SECRET}` };
  await hub.ledger.work.settle([
    {
      lane,
      fence: claim!.fence,
      loadedThrough: seq(4),
      version: 1,
      exceptions: [
        exception(1, {}),
        exception(2, { state: "held", fault: null, behind }),
        exception(3, { state: "dead" }),
      ],
      closed: [],
      events: [{ kind: "row recreated", from: seq(1), through: seq(4), detail: `of ${SECRET}` }],
      lagMs: 12,
    },
  ]);
  await hub.ledger.exceptions.discard(lane, seq(3), SYSTEM, `${SECRET} asked for it`);
  const edited = messages.line(1).replace("12.50", "1.00");
  await hub.ledger.exceptions.requeue(lane, seq(1), SYSTEM, `for ${SECRET}`, Buffer.from(edited));
  const refused = [{ id: updateId(1), code: "CHECK_VIOLATED" as const, detail: `row of ${SECRET}` }];
  await hub.ledger.updates.publish(
    [
      {
        audience: "all",
        tx: "T",
        at: Date.now() as never,
        origin: null,
        trace: null,
        changes: Buffer.from("[]"),
        count: 0,
      },
    ],
    SYSTEM,
  );
  await hub.ledger.updates.acknowledge(terminalId("t1"), await hub.ledger.updates.head(), refused);

  const work = { kind: "compare", tables: ["sale"], mend: false } as const;
  await hub.ledger.reconciles.order("t1", terminalId("t1"), work, SYSTEM, `for ${SECRET}`);
  const person = { name: "receipt", terminal: SECRET, centre: "another" };
  const found = { sale_id: "S-9", receipt: SECRET };
  await hub.ledger.reconciles.found("t1", [
    {
      n: 1,
      table: "sale",
      key: found,
      kind: "different",
      columns: [person],
      because: null,
      repair: "up",
      repaired: null,
    },
  ]);

  const document = (await hub.call("GET", "/openapi.json")).json as unknown as Document;
  endpoints = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      role: operation["x-least-role"],
    })),
  );
});
afterAll(() => hub.close());

/** Ways to fill the places of a path: messages in each state, found by number and by every value. */
const WHATS = ["1", "2", "3", "4", "E1/1", "S-1", "clerk-7", SECRET];
function filled(path: string): readonly string[] {
  const values: Readonly<Record<string, readonly string[]>> = {
    terminal: ["t1"],
    id: ["t1"],
    epoch: ["E1"],
    seq: ["1", "2", "3", "4"],
    what: WHATS,
    update: ["1"],
  };
  let paths: readonly string[] = [path];
  for (const [place, name = ""] of path.matchAll(/\{([^}]+)\}/g))
    paths = paths.flatMap((each) =>
      (values[name] ?? ["1"]).map((value) => each.replace(place, encodeURIComponent(value))),
    );
  return paths;
}

/** The first piece of a stream that goes on, or the whole of any other answer. */
async function read(path: string, key: string): Promise<{ status: number; text: string }> {
  const gone = new AbortController();
  const response = await fetch(`${hub.address}${path}`, {
    headers: { authorization: `Bearer ${key}` },
    signal: gone.signal,
  });
  if (!response.headers.get("content-type")?.includes("event-stream"))
    return { status: response.status, text: await response.text() };
  const { value = "" } = (await response.body?.pipeThrough(new TextDecoderStream()).getReader().read()) ?? {};
  gone.abort();
  return { status: response.status, text: value };
}

describe("a viewer", () => {
  test("cannot act: of all endpoints for people only those that look are open, and signing out", () => {
    const open = endpoints.filter(({ role, method }) => role === "viewer" && method !== "GET");
    expect(open.map(({ path }) => path)).toEqual(["/api/session/end"]);
  });

  test("is refused by every endpoint with a higher role, whatever the call", async () => {
    const closed = endpoints.filter(({ role }) => role === "operator" || role === "admin");
    expect(closed.length).toBeGreaterThan(10);
    for (const { method, path } of closed) {
      const answer = await hub.call(method, filled(path)[0]!, {
        key: VIEWER,
        ...(method === "POST" ? { json: {} } : {}),
      });
      expect(answer, `${method} ${path}`).toMatchObject({ status: 403, json: { code: "FORBIDDEN" } });
    }
  });

  test("meets no personal value by any endpoint; an operator does", async () => {
    const looks = endpoints.filter(({ role, method }) => role === "viewer" && method === "GET");
    let seen = 0;
    for (const { path } of looks) {
      for (const each of filled(path)) {
        const asked = path.includes("{what}") && each.includes(encodeURIComponent(SECRET));
        const { text, status } = await read(each, VIEWER);
        // What was asked for stands in the refusal: that is the caller's own knowledge.
        if (!asked) expect(text, `GET ${each}`).not.toContain("Mustermann");
        else expect(status, `GET ${each}`).toBe(404);
        expect(status, `GET ${each}`).toBeLessThan(500);
        if ((await read(each, OPERATOR)).text.includes("Mustermann")) seen++;
      }
    }
    expect(seen).toBeGreaterThanOrEqual(6); // the secret really was everywhere
  });

  test("finds a message by what it may see, and never by what is hidden", async () => {
    const find = (value: string, key: string) =>
      hub.call("GET", `/api/find?at=t1&value=${encodeURIComponent(value)}`, { key });
    expect(await find("4", VIEWER)).toMatchObject({ status: 200, json: { messages: [{ seq: 4 }] } });
    expect((await find("4", VIEWER)).text).not.toContain("Mustermann");
    expect((await find("4", OPERATOR)).text).toContain("Mustermann");
    expect((await find(SECRET, VIEWER)).status).toBe(404);
  });

  test("sees the rest of a message, with marks where something is hidden", async () => {
    const trace = await hub.call("GET", "/api/trace/t1/S-4", { key: VIEWER });
    expect(trace.status).toBe(404); // not a searchable column in this test: found by number
    const { messages } = (await hub.call("GET", "/api/trace/t1/4", { key: VIEWER })).json as {
      messages: readonly { payload: { lines: readonly string[] } }[];
    };
    const [change, document] = (JSON.parse(messages[0]?.payload.lines[0] ?? "{}") as { changes: readonly unknown[] })
      .changes;
    expect(change).toMatchObject({
      key: { sale_id: "S-4", receipt: HIDDEN },
      row: { receipt: HIDDEN, buyer: HIDDEN, total: "12.50", clerk: "clerk-7" },
      before: { receipt: HIDDEN },
    });
    expect(document).toMatchObject({ row: { body: HIDDEN } });
  });
});

describe("settings", () => {
  test("are shown without any secret", async () => {
    const { text, json }: Answer = await hub.call("GET", "/api/settings", { key: OPERATOR });
    expect(json).toMatchObject({ tokens: expect.arrayContaining([{ name: "root", role: "admin" }]) });
    expect(text).not.toContain("hash");
    expect(text).not.toContain(ADMIN);
  });
});

describe("API tokens", () => {
  test("open what their role allows until they are revoked, and are listed without their secret", async () => {
    const made = await hub.call("POST", "/api/tokens", { key: ADMIN, json: { name: "grafana", role: "viewer" } });
    expect(made).toMatchObject({ status: 201, json: { name: "grafana", expiresAt: expect.any(Number) } });
    const key = String(made.json["token"]);
    expect((await hub.call("GET", "/api/overview", { key })).status).toBe(200);
    expect((await hub.call("POST", "/api/enroll-tokens", { key, json: {} })).status).toBe(403);
    expect((await hub.call("GET", "/api/tokens", { key: ADMIN })).text).not.toContain(key);
    await hub.call("POST", "/api/tokens/grafana/revoke", { key: ADMIN });
    expect((await hub.call("GET", "/api/overview", { key })).status).toBe(401);
  });
});
