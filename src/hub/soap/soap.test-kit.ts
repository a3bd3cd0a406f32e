import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { openApi, type ApiStation } from "../../../test/kit/api.ts";
import type { SoapSettings } from "./settings.ts";

export const SOAP: SoapSettings = {
  publicUrl: "http://hub.test",
  auth: ["basic", "usernameToken"],
  zone: null,
  replyBytes: 48 * 1024,
  textLength: 8_192,
  mappings: [],
};

export const openSoap = (
  soap: Partial<SoapSettings> = {},
  options: Parameters<typeof openApi>[0] = {},
): Promise<ApiStation> => openApi({ ...options, soap: { ...SOAP, ...soap } });

export type RawAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly raw: string;
};

export const basicAuth = (terminal: string, key: string): string =>
  `Basic ${Buffer.from(`${terminal}:${key}`).toString("base64")}`;

/** One connection on which requests are written byte by byte and answers read as they come. */
export class RawConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake = Promise.withResolvers<void>();

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1");
    const heard = (): void => {
      const before = this.#wake;
      this.#wake = Promise.withResolvers<void>();
      before.resolve();
    };
    this.#socket.on("data", (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      heard();
    });
    const end = (): void => {
      this.#ended = true;
      heard();
    };
    this.#socket.on("close", end);
    this.#socket.on("error", end);
    onTestFinished(() => void this.#socket.destroy());
  }

  send(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next answer, provisional ones included; null when the connection ended without one. */
  async answer(): Promise<RawAnswer | null> {
    for (;;) {
      const answer = this.#next();
      if (answer) return answer;
      if (this.#ended) return null;
      await this.#wake.promise;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #next(): RawAnswer | null {
    const text = this.#received.toString("latin1");
    const headEnd = text.indexOf("\r\n\r\n");
    if (headEnd < 0) return null;
    const [first = "", ...lines] = text.slice(0, headEnd).split("\r\n");
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    const length = Number(headers["content-length"] ?? 0);
    if (this.#received.length < headEnd + 4 + length) return null;
    const body = this.#received.subarray(headEnd + 4, headEnd + 4 + length).toString("utf8");
    this.#received = this.#received.subarray(headEnd + 4 + length);
    return { status: Number(first.split(" ")[1]), headers, body, raw: text.slice(0, headEnd) };
  }
}

export const envelope11 = (body: string, header = ""): string =>
  `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">${header === "" ? "" : `<s:Header>${header}</s:Header>`}<s:Body>${body}</s:Body></s:Envelope>`;
export const envelope12 = (body: string, header = ""): string =>
  `<s:Envelope xmlns:a="http://www.w3.org/2005/08/addressing" xmlns:s="http://www.w3.org/2003/05/soap-envelope">${header === "" ? "" : `<s:Header>${header}</s:Header>`}<s:Body>${body}</s:Body></s:Envelope>`;
export const PING = '<Ping xmlns="urn:waybill:terminal:v1"><text>x</text></Ping>';

export type SyncMessageText = {
  readonly sequence: number | bigint | string;
  readonly messageId?: string;
  readonly entity?: string;
  readonly key?: string;
  readonly occurredAt?: string;
  readonly contentType?: string;
  readonly payload?: string | null;
  readonly more?: string;
};
/** `payload` is XML text already: references in it are the test's own. */
export const syncMessage = ({
  sequence,
  messageId = `m-${sequence}`,
  entity = "sale",
  key = `K-${sequence}`,
  occurredAt = "2026-03-04T05:06:07Z",
  contentType = "application/json",
  payload = `{"n":${sequence}}`,
  more = "",
}: SyncMessageText): string =>
  `<SyncMessage><sequence>${sequence}</sequence><messageId>${messageId}</messageId><entity>${entity}</entity><operation>create</operation><key>${key}</key><occurredAt>${occurredAt}</occurredAt><contentType>${contentType}</contentType>${payload === null ? '<payload i:nil="true"/>' : `<payload>${payload}</payload>`}${more}</SyncMessage>`;
export const submit = (terminal: string, messages: readonly SyncMessageText[]): string =>
  `<SubmitMessages xmlns="urn:waybill:terminal:v1" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><terminalId>${terminal}</terminalId><messages>${messages.map(syncMessage).join("")}</messages></SubmitMessages>`;

export type SoapCaller = (
  body: string,
  binding?: "basic" | "ws",
) => Promise<{ readonly status: number; readonly text: string; value(name: string): string | undefined }>;
/** Calls as a terminal that signs in by HTTP Basic. */
export const callerOf =
  (hub: ApiStation, terminal: string, key: string): SoapCaller =>
  async (body, binding = "basic") => {
    const { status, text } = await hub.call("POST", `/soap/terminal/${binding}`, {
      headers: {
        "content-type": binding === "basic" ? "text/xml; charset=utf-8" : "application/soap+xml; charset=utf-8",
        authorization: basicAuth(terminal, key),
      },
      body: binding === "basic" ? envelope11(body) : envelope12(body),
    });
    return { status, text, value: (name) => new RegExp(`<${name}(?: [^>]*)?>([^<]*)</${name}>`).exec(text)?.[1] };
  };
