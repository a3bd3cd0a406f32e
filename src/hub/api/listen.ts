import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { WaybillError } from "../../base/errors.ts";
import { PROBLEM_TYPE } from "../../wire/problem.ts";
import type { HubApi } from "./api.ts";
import type { Hold } from "./gate.ts";
import { refusalOf, type WireRequest, type WireResponse } from "./http.ts";

export type ListenOptions = {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
};
export interface Listening {
  readonly address: string;
  readonly port: number;
  /**
   * Drains and ends the API too: refuses what is new, ends long polls and idle connections, cuts what is not done within
   * `drainMs`, and resolves when what was seen of terminals is written. The ledger must still be open. Repeatable.
   */
  close(): Promise<void>;
}

/** Clients keep a connection for reuse up to 100 s (WCF); ours must not be the side that closes it under a request. */
const KEEP_ALIVE_MS = 125_000;
/** For a whole request to arrive: a sender slower than this only holds memory. Answers may take longer (long polls). */
const REQUEST_MS = 60_000;
const HEADERS_MS = 20_000;
const NOTHING = new Uint8Array(0);

/**
 * Puts the hub's API on a port: bytes in, bytes out. Everything that decides stands in `createHubApi`; what HTTP itself
 * refuses (a body too large, a broken request) is told in problem documents as well.
 */
export async function listen(api: HubApi, options: ListenOptions): Promise<Listening> {
  const server = fastify({
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_MS,
    forceCloseConnections: "idle",
    return503OnClosing: false, // while closing, our own answer says when to come back
    routerOptions: { maxParamLength: 1_000, ignoreDuplicateSlashes: false },
    clientErrorHandler: refuseBroken,
    frameworkErrors: (error, _request, reply) => void send(reply, refusalOf(transportFault(error))),
  });
  server.server.headersTimeout = HEADERS_MS;
  takeRawBodies(server, api);
  const answer = (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => pass(api, request, reply);
  server.all("/*", answer);
  server.setNotFoundHandler(answer);
  server.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    // What was not read of the body is still on the connection; the next request could not be told from it.
    return send(reply.header("connection", "close"), refusalOf(transportFault(error)));
  });
  await server.listen({ host: options.host, port: options.port });
  const bound = server.server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : options.port;
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  let closing: Promise<void> | null = null;
  return { address: `http://${host}:${port}`, port, close: () => (closing ??= closeAll(api, server)) };
}

async function closeAll(api: HubApi, server: FastifyInstance): Promise<void> {
  api.drain();
  const over = new AbortController();
  const closed = server.close().finally(() => over.abort());
  await Promise.race([closed, api.patience(over.signal)]);
  server.server.closeAllConnections(); // somebody who sends one byte a second must not decide when we end
  await closed;
  await api[Symbol.asyncDispose]();
}

/** A body as it came, and the account of the memory it takes until the answer is out. */
type Gathered = { readonly bytes: Uint8Array; readonly hold: Hold };

/** Every content type as its bytes: what they mean is for the API to say. */
function takeRawBodies(server: FastifyInstance, api: HubApi): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser("*", (_request: FastifyRequest, payload: IncomingMessage) => gather(payload, api));
}

/**
 * Counted as it arrives, not as it is announced: memory is held by what a caller really sends. @throws TOO_LARGE; OVERLOADED
 */
async function gather(payload: IncomingMessage, api: HubApi): Promise<Gathered> {
  const limit = api.bodyBytes;
  const tooLarge = (): WaybillError =>
    new WaybillError("TOO_LARGE", `the body is above ${limit} bytes`, { facts: { limit } });
  if (Number(payload.headers["content-length"] ?? 0) > limit) throw tooLarge();
  const hold = api.hold();
  try {
    const chunks: Buffer[] = [];
    let bytes = 0;
    // Ending the loop early must not end the socket: the answer still has to go out on it.
    for await (const chunk of payload.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.byteLength;
      if (bytes > limit) throw tooLarge();
      hold.grow(chunk.byteLength);
      chunks.push(chunk);
    }
    return { bytes: chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, bytes), hold };
  } catch (thrown) {
    hold[Symbol.dispose]();
    throw thrown;
  }
}

async function pass(api: HubApi, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  reply.raw.once("close", onClose);
  const body = request.body as Gathered | undefined;
  try {
    const response = await api.handle(wireRequest(request, body?.bytes ?? NOTHING, gone.signal));
    // An idle connection that stays would keep `close` waiting for as long as it may be reused.
    if (api.draining) reply.header("connection", "close");
    return await send(reply, response);
  } finally {
    reply.raw.off("close", onClose);
    body?.hold[Symbol.dispose]();
  }
}

function wireRequest(request: FastifyRequest, body: Uint8Array, signal: AbortSignal): WireRequest {
  const [path = "/", ...query] = request.url.split("?");
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return { method: request.method, path, query: new URLSearchParams(query.join("?")), headers, body, signal };
}

function send(reply: FastifyReply, { status, headers, body, cookies, stream }: WireResponse): FastifyReply {
  if (cookies) reply.header("set-cookie", [...cookies]);
  if (stream) {
    // Its connection is not for reuse: idle after the stream's end, it would keep `close` waiting.
    const once = { ...headers, connection: "close" };
    return reply
      .code(status)
      .headers(once)
      .send(Readable.from(stream, { objectMode: false }));
  }
  // A body of null sends none: a 304 with a content length of 0 would say that the thing itself is empty.
  return reply
    .code(status)
    .headers(headers)
    .send(status === 304 ? null : Buffer.from(body.buffer, body.byteOffset, body.byteLength));
}

/** What went wrong before the API was asked: faults of ours by `gather`, and those of the framework by their status. */
function transportFault(error: Error & { statusCode?: number }): WaybillError {
  if (error instanceof WaybillError) return error;
  if (error.statusCode === 415) return new WaybillError("MEDIA_TYPE", "the content type cannot be read");
  return new WaybillError("REQUEST_INVALID", "the request is not whole HTTP", { cause: error });
}

/** Bytes that are no HTTP: answered once, in HTTP, and the connection ends, since what follows cannot be told apart. */
function refuseBroken(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const slow = error.code === "ERR_HTTP_REQUEST_TIMEOUT";
  const { body } = refusalOf(
    new WaybillError("REQUEST_INVALID", slow ? "the request took too long to arrive" : "the request is not HTTP"),
  );
  const status = slow ? "408 Request Timeout" : "400 Bad Request";
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${body.byteLength}\r\nconnection: close\r\n\r\n${Buffer.from(body).toString("utf8")}`,
  );
}
