import type { IncomingMessage } from "node:http";
import { WaybillError } from "./errors.ts";
import { http, https } from "./node-http.ts";

export type HttpRequest = {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Milliseconds until the whole answer must be there. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
};
export type HttpResponse = {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** As sent: still encoded as `content-encoding` says. */
  readonly body: Uint8Array;
};

/** Calls out. Every failure to get a whole answer is HUB_UNREACHABLE: the caller cannot know whether the other side acted. */
export interface Network {
  request(request: HttpRequest): Promise<HttpResponse>;
}

/** Keeps connections alive (an agent calls the same hub for years). Bodies above `limitBytes` are refused, not buffered. */
export function networkWith(limitBytes: number): Network {
  const plain = new http.Agent({ keepAlive: true, maxSockets: 16 });
  const secure = new https.Agent({ keepAlive: true, maxSockets: 16 });
  return {
    request: (call) =>
      new Promise((resolve, reject) => {
        const url = new URL(call.url);
        const fail = (cause: unknown): void =>
          reject(
            new WaybillError("HUB_UNREACHABLE", `${call.method} ${url.origin}${url.pathname} had no whole answer`, {
              cause,
            }),
          );
        const deadline = AbortSignal.timeout(call.timeoutMs);
        const signal = call.signal ? AbortSignal.any([call.signal, deadline]) : deadline;
        const send = url.protocol === "https:" ? https.request : http.request;
        const headers = call.body ? { ...call.headers, "content-length": String(call.body.byteLength) } : call.headers;
        const outgoing = send(
          url,
          { method: call.method, headers, agent: url.protocol === "https:" ? secure : plain, signal },
          (incoming) => {
            collect(incoming, limitBytes).then(resolve, fail);
          },
        );
        outgoing.on("error", fail);
        outgoing.end(call.body);
      }),
  };
}

async function collect(incoming: IncomingMessage, limitBytes: number): Promise<HttpResponse> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > limitBytes) {
      incoming.destroy();
      throw new WaybillError("TOO_LARGE", `the answer is above ${limitBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return { status: incoming.statusCode ?? 0, headers, body: Buffer.concat(chunks) };
}

export const systemNetwork: Network = networkWith(64 * 1024 * 1024);
