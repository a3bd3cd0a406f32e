import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hurried, openApi, OPERATOR, TestLane, type ApiStation } from "../../../test/kit/api.ts";
import { until } from "../../../test/kit/until.ts";
import { WaybillError } from "../../base/errors.ts";
import type { Lanes } from "../../ledger/port.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openApi();
});
afterAll(() => hub.close());

/** A connection that sends what it is told, byte by byte if need be, and keeps what comes back. */
function raw(port: number): { socket: Socket; send: (text: string) => void; got: () => string; ended: Promise<void> } {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString("latin1")));
  const ended = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => undefined);
  return { socket, send: (part) => void socket.write(part, "latin1"), got: () => text, ended };
}

describe("HTTP itself", () => {
  test("a path nobody knows, a method it does not take, and HEAD", async () => {
    expect(await hub.call("GET", "/v1/nothing")).toMatchObject({ status: 404, json: { code: "NOT_FOUND" } });
    const wrong = await hub.call("DELETE", "/v1/manifest");
    expect(wrong).toMatchObject({ status: 405, json: { code: "METHOD_NOT_ALLOWED" } });
    expect(wrong.headers.get("allow")).toBe("GET");
    expect((await hub.call("POST", "/healthz")).status).toBe(405);
    expect((await hub.call("PROPFIND", "/healthz")).status).toBe(405);
    const head = await hub.call("HEAD", "/healthz");
    expect([head.status, head.text]).toEqual([200, ""]);
  });

  test.each([
    "/%zz",
    "/api/terminals/%ff",
    "//v1/status",
    "/v1/status/",
    "/api/terminals/",
    "/v1/%2e%2e/status",
    "/__proto__",
    "/constructor",
  ])("%s names nothing", async (path) => {
    const answer = await hub.call("GET", path, { key: OPERATOR });
    expect([400, 404]).toContain(answer.status);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
  });

  test("bytes that are no HTTP are answered with a problem document, and the connection ends", async () => {
    const { send, got, ended } = raw(hub.port);
    send("this is not HTTP\r\n\r\n");
    await ended;
    expect(got()).toMatch(/^HTTP\/1\.1 400 .*\r\n/);
    expect(got()).toContain('"code":"REQUEST_INVALID"');
  });

  test("Expect: 100-continue is answered at once", async () => {
    const key = await hub.enrol("h1");
    const body = Buffer.from(new TestLane("E1", 1).body(1, 1)).toString("latin1");
    const { socket, send, got } = raw(hub.port);
    send(
      `POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nexpect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`,
    );
    await until(() => got().startsWith("HTTP/1.1 100 Continue"));
    send(body);
    await until(() => got().includes('"receivedThrough":1'));
    socket.destroy();
  });

  test("a connection is kept for the next request, also after a refusal", async () => {
    const { socket, send, got } = raw(hub.port);
    for (let i = 1; i <= 3; i++) {
      send("GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
      await until(() => got().split("HTTP/1.1 401").length === i + 1);
    }
    expect(got()).toMatch(/keep-alive: timeout=125/i);
    socket.destroy();
  });

  test("a body above the limit is refused: announced, or only found while it comes in chunks", async () => {
    const key = await hub.enrol("h2");
    const announced = raw(hub.port);
    announced.send(
      `POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-length: ${1 << 30}\r\n\r\n`,
    );
    await until(() => announced.got().includes('"code":"TOO_LARGE"'));
    announced.socket.destroy();
    const chunked = raw(hub.port);
    chunked.send(
      `POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    const chunk = `${(1 << 16).toString(16)}\r\n${"x".repeat(1 << 16)}\r\n`;
    for (let i = 0; i < 20; i++) chunked.send(chunk);
    await until(() => chunked.got().includes('"code":"TOO_LARGE"'));
    chunked.socket.destroy();
  });

  test("a length and chunks at once, which is how requests are smuggled, are refused", async () => {
    const { send, got, ended } = raw(hub.port);
    send("POST /v1/enroll HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    await ended;
    expect(got()).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("JSON nested without end is refused before anything walks over it, also where nobody asked for it", async () => {
    const body = `{"token":"x","terminal":"t","unknown":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    const answer = await hub.call("POST", "/v1/enroll", { body, headers: { "content-type": "application/json" } });
    expect(answer).toMatchObject({ status: 400, json: { code: "REQUEST_INVALID" } });
  });

  test("large answers are compressed for those who say that they can read it", async () => {
    const answer = await fetch(`${hub.address}/openapi.json`, { headers: { "accept-encoding": "gzip" } });
    expect(answer.headers.get("content-encoding")).toBe("gzip");
    expect(answer.headers.get("vary")).toBe("accept-encoding");
    expect(await answer.json()).toHaveProperty("openapi");
  });
});

describe("more than the hub may hold", () => {
  test("bodies that together would take too much memory are OVERLOADED, and the hub goes on", async () => {
    await using small = await openApi({ limits: { bodyBytes: 4_096 } });
    const held: ReturnType<typeof raw>[] = [];
    for (let i = 0; i < 16; i++) {
      const slow = raw(small.port);
      slow.send(
        `POST /v1/enroll HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n${"x".repeat(4_095)}`,
      );
      held.push(slow);
    }
    const answer = await until(async () => {
      const probe = await small.call("POST", "/v1/enroll", { json: { token: "x".repeat(100), terminal: "t" } });
      return probe.status === 429 && probe;
    });
    expect(answer.json).toMatchObject({ code: "OVERLOADED" });
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    for (const { socket } of held) socket.destroy();
    await until(
      async () => (await small.call("POST", "/v1/enroll", { json: { token: "x", terminal: "t" } })).status === 403,
    );
  });

  test("a full disk is UNAVAILABLE and a full backlog OVERLOADED before anything is stored; both pass", async () => {
    const capacity = { backlogBytes: 0, freeDiskBytes: 10 };
    await using full = await openApi({
      runtime: hurried,
      limits: { freeDiskBytes: 100, backlogBytes: 100 },
      parts: { capacity: async () => ({ ...capacity }) },
    });
    const key = await full.enrol("t1");
    const body = new TestLane("E1", 2).body(1, 2);
    const send = (): ReturnType<ApiStation["call"]> => full.call("POST", "/v1/messages", { key, body });
    await until(async () => (await send()).status === 503);
    expect((await send()).json).toMatchObject({ code: "UNAVAILABLE" });
    Object.assign(capacity, { backlogBytes: 101, freeDiskBytes: 1_000 });
    await until(async () => (await send()).status === 429);
    Object.assign(capacity, { backlogBytes: 0 });
    const answer = await until(async () => (await send()).status === 200 && (await send()));
    expect(answer.json).toMatchObject({ receivedThrough: 2 });
  });
});

describe("faults of ours", () => {
  const broken = (lanes: Partial<Lanes>): ReturnType<typeof openApi> =>
    openApi({ around: (ledger) => ({ ...ledger, lanes: { ...ledger.lanes, ...lanes } }) });

  test("an unexpected throw is 500 with a trace id and without a word of what it was", async () => {
    await using hurt = await broken({ of: async () => Promise.reject(new Error("secret at /srv/x.ts:3")) });
    const answer = await hurt.call("GET", "/v1/status", {
      key: await hurt.enrol("t1"),
      headers: { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` },
    });
    expect(answer).toMatchObject({ status: 500, json: { code: "INTERNAL", trace: "a".repeat(32) } });
    expect(answer.text).not.toMatch(/secret|\.ts/);
    expect(answer.headers.get("waybill-trace")).toBe("a".repeat(32));
  });

  test("an ill ledger is UNAVAILABLE with Retry-After, whatever its own code", async () => {
    await using ill = await broken({ append: async () => Promise.reject(new WaybillError("DATABASE_BUSY", "locked")) });
    const answer = await ill.call("POST", "/v1/messages", {
      key: await ill.enrol("t1"),
      body: new TestLane("E1", 1).body(1, 1),
    });
    expect(answer).toMatchObject({ status: 503, json: { code: "UNAVAILABLE" } });
    expect(answer.headers.get("retry-after")).toBe("5");
  });
});

test("close lets the request in work finish, and its answer arrives", async () => {
  const gate = Promise.withResolvers<void>();
  let begun = false;
  const other = await openApi({
    around: (ledger) => {
      const of: Lanes["of"] = async (terminal) => {
        begun = true;
        await gate.promise;
        return ledger.lanes.of(terminal);
      };
      return { ...ledger, lanes: { ...ledger.lanes, of } };
    },
  });
  const key = await other.enrol("t1");
  const answer = other.call("GET", "/v1/status", { key });
  await until(() => begun);
  const closed = other.close();
  await expect(fetch(`${other.address}/healthz`)).rejects.toThrow();
  gate.resolve();
  expect((await answer).status).toBe(200);
  await closed;
});

test("close does not wait longer than `drainMs` for somebody who never finishes a request", async () => {
  const other = await openApi();
  const slow = raw(other.port);
  slow.send("POST /v1/enroll HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
  await other.call("GET", "/healthz");
  const began = performance.now();
  await other.close();
  await slow.ended;
  expect(performance.now() - began).toBeLessThan(10_000); // a request may take 60 s to arrive
});
