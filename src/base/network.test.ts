import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { freePort } from "../../test/kit/free-port.ts";
import { networkWith, type HttpRequest } from "./network.ts";

const LIMIT = 1_000;

/** A real HTTP server on the loopback, and calls to it through the network under test. */
async function hub(listener: RequestListener) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const network = networkWith(LIMIT);
  const connections = new Set<Socket>();
  server.on("connection", (socket) => connections.add(socket));
  return {
    connections,
    call: (path: string, more: Partial<HttpRequest> = {}) =>
      network.request({ method: "GET", url: url + path, headers: {}, timeoutMs: 10_000, ...more }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe("an answer", () => {
  test("comes with status, headers in lower case and body as sent, whatever the status", async () => {
    await using at = await hub((_, response) => {
      response.writeHead(409, { "Content-Encoding": "gzip", "X-Two": ["a", "b"] }).end("as sent");
    });
    const { status, headers, body } = await at.call("/v1/messages");
    expect(status).toBe(409);
    expect(headers).toMatchObject({ "content-encoding": "gzip", "x-two": "a, b" });
    expect(text(body)).toBe("as sent");
  });
  test("is given what was sent: method, path, headers and the body's bytes with their length", async () => {
    await using at = await hub((request, response) => {
      void buffer(request).then((body) => {
        const { method, url, headers } = request;
        response.end(
          JSON.stringify({
            method,
            url,
            length: headers["content-length"],
            key: headers["authorization"],
            body: body.toString("hex"),
          }),
        );
      });
    });
    const body = new Uint8Array([0, 255, 10]);
    const answer = await at.call("/v1/messages?x=1", { method: "POST", body, headers: { authorization: "Bearer k" } });
    expect(JSON.parse(text(answer.body))).toEqual({
      method: "POST",
      url: "/v1/messages?x=1",
      length: "3",
      key: "Bearer k",
      body: "00ff0a",
    });
  });
  test("of many calls one after the other comes over one connection", async () => {
    await using at = await hub((_, response) => void response.end("ok"));
    for (let i = 0; i < 5; i++) await at.call("/");
    expect(at.connections.size).toBe(1);
  });
  test("may be as long as the limit", async () => {
    await using at = await hub((_, response) => void response.end("x".repeat(LIMIT)));
    expect((await at.call("/")).body).toHaveLength(LIMIT);
  });
});

describe("no whole answer is HUB_UNREACHABLE, naming the call without its query or key:", () => {
  const unreachable = {
    code: "HUB_UNREACHABLE",
    what: expect.stringMatching(/^GET http:\/\/[\d.:]+\/v1\/updates had no whole answer$/) as string,
  };
  const PATH = "/v1/updates?after=1";

  test("nobody listens", async () => {
    const call = {
      method: "GET",
      url: `http://127.0.0.1:${await freePort()}${PATH}`,
      headers: {},
      timeoutMs: 10_000,
    } as const;
    await expect(networkWith(LIMIT).request(call)).rejects.toMatchObject({
      ...unreachable,
      cause: { code: "ECONNREFUSED" },
    });
  });
  test("no answer in time", async () => {
    await using at = await hub(() => undefined);
    await expect(at.call(PATH, { timeoutMs: 30 })).rejects.toMatchObject(unreachable);
  });
  test("an answer that begins in time and does not end in time", async () => {
    await using at = await hub((_, response) => void response.writeHead(200).write("begun"));
    await expect(at.call(PATH, { timeoutMs: 60 })).rejects.toMatchObject(unreachable);
  });
  test("a connection cut in the middle of the body", async () => {
    await using at = await hub((_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("begun", () => response.destroy());
    });
    await expect(at.call(PATH)).rejects.toMatchObject(unreachable);
  });
  test("a body above the limit, which is not read to its end", async () => {
    let endless: NodeJS.Timeout | undefined;
    await using at = await hub((_, response) => {
      response.writeHead(200);
      endless = setInterval(() => response.write("x".repeat(LIMIT)), 1);
      response.on("close", () => clearInterval(endless));
    });
    await expect(at.call(PATH)).rejects.toMatchObject({ ...unreachable, cause: { code: "TOO_LARGE" } });
  });
  test("the caller stops, before or meanwhile", async () => {
    const stop = new AbortController();
    await using at = await hub(() => stop.abort());
    await expect(at.call(PATH, { signal: stop.signal })).rejects.toMatchObject(unreachable);
    await expect(at.call(PATH, { signal: AbortSignal.abort() })).rejects.toMatchObject(unreachable);
  });
  test("the next call works", async () => {
    let calls = 0;
    await using at = await hub((_, response) => void (++calls === 1 ? response.destroy() : response.end("ok")));
    await expect(at.call(PATH)).rejects.toMatchObject(unreachable);
    expect(text((await at.call(PATH)).body)).toBe("ok");
  });
});
