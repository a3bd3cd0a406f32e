import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";

/** A span as a collector reads it off the wire. Times in nanoseconds since 1970. */
export type ReceivedSpan = {
  readonly service: string;
  readonly instance: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parent: string | null;
  readonly name: string;
  readonly from: bigint;
  readonly to: bigint;
  readonly attributes: Readonly<Record<string, string>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly failed: boolean;
};

/** A collector of the tests: takes OTLP over HTTP in protobuf and reads it by itself, without the library that wrote it. */
export type Collector = AsyncDisposable & {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Headers of all requests. */
  readonly headers: readonly Readonly<Record<string, unknown>>[];
  readonly trace: (traceId: string) => readonly ReceivedSpan[];
};

export async function collector(): Promise<Collector> {
  const spans: ReceivedSpan[] = [];
  const headers: Readonly<Record<string, unknown>>[] = [];
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = Buffer.concat(chunks);
      headers.push(incoming.headers);
      if (incoming.url !== "/v1/traces" || incoming.headers["content-type"] !== "application/x-protobuf") {
        outgoing.writeHead(400).end();
        return;
      }
      spans.push(...readRequest(incoming.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body));
      outgoing.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1/traces`,
    spans,
    headers,
    trace: (traceId) => spans.filter((span) => span.traceId === traceId),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

// ── protobuf, as opentelemetry/proto/trace/v1/trace.proto numbers its fields ─────────────────────────────────────────

type Fields = ReadonlyMap<number, readonly (Buffer | bigint)[]>;

function readRequest(body: Buffer): ReceivedSpan[] {
  return messages(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const resource = attributesOf(messages(resourceSpans, 1).flatMap((each) => messages(each, 1)));
    const all = messages(resourceSpans, 2).flatMap((scopeSpans) => messages(scopeSpans, 2));
    return all.map((span) => spanOf(span, resource));
  });
}

function spanOf(span: Fields, resource: Readonly<Record<string, string>>): ReceivedSpan {
  const status = messages(span, 15)[0];
  return {
    service: resource["service.name"] ?? "",
    instance: resource["service.instance.id"] ?? "",
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parent: hex(span, 4) || null,
    name: text(span, 5),
    from: number(span, 7),
    to: number(span, 8),
    attributes: attributesOf(messages(span, 9)),
    links: messages(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
    failed: status !== undefined && number(status, 3) === 2n,
  };
}

const attributesOf = (pairs: readonly Fields[]): Record<string, string> =>
  Object.fromEntries(
    pairs.map((pair) => {
      const value = messages(pair, 2)[0] ?? new Map();
      return [text(pair, 1), value.has(1) ? text(value, 1) : String(number(value, 3))];
    }),
  );

const messages = (fields: Fields, at: number): Fields[] =>
  (fields.get(at) ?? []).map((value) => fieldsOf(value as Buffer));
const hex = (fields: Fields, at: number): string =>
  ((fields.get(at)?.[0] ?? Buffer.alloc(0)) as Buffer).toString("hex");
const text = (fields: Fields, at: number): string =>
  ((fields.get(at)?.[0] ?? Buffer.alloc(0)) as Buffer).toString("utf8");
const number = (fields: Fields, at: number): bigint => (fields.get(at)?.[0] ?? 0n) as bigint;

function fieldsOf(bytes: Buffer): Fields {
  const fields = new Map<number, (Buffer | bigint)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    let value: Buffer | bigint;
    if (wire === 0) value = varint();
    else if (wire === 2) {
      const length = Number(varint());
      value = bytes.subarray(at, (at += length));
    } else {
      const length = wire === 1 ? 8 : 4;
      value = wire === 1 ? bytes.readBigUInt64LE(at) : BigInt(bytes.readUInt32LE(at));
      at += length;
    }
    fields.set(tag >>> 3, [...(fields.get(tag >>> 3) ?? []), value]);
  }
  return fields;
}
