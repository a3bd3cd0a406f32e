import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiStation } from "../../../test/kit/api.ts";
import { basicAuth, openSoap, RawConnection } from "./soap.test-kit.ts";

/** What a WCF client (Mono 6.8) said, and what a server it understood answered; as they were on the wire. */
type Exchange = {
  readonly head: string;
  readonly body: string;
  readonly status: number;
  readonly answerType: string;
  readonly answer: string;
};

function exchangesOf(file: string): readonly Exchange[] {
  const text = readFileSync(new URL(`../../wire/soap/fixtures/${file}`, import.meta.url), "utf8").replaceAll(
    "\r\n",
    "\n",
  ); // heads get theirs back below
  const turns = text
    .replace(/^----- \(next chunk (CLIENT->|<-SERVER).*$/gm, "===== $1")
    .split(/^===== (CLIENT->|<-SERVER).*$/m);
  const said = { client: "", server: "" };
  const exchanges: Exchange[] = [];
  const finish = (): void => {
    const answer = /HTTP\/1\.1 ([2345]\d\d)[\s\S]*?Content-Type: (.*?)\n[\s\S]*?\n\n([\s\S]*)$/.exec(said.server);
    const headEnd = said.client.indexOf("\n\n");
    if (answer && headEnd > 0) {
      const body = said.client.slice(said.client.indexOf("<?xml", headEnd));
      exchanges.push({
        head: said.client.slice(0, headEnd).trim(),
        body: body.trim(),
        status: Number(answer[1]),
        answerType: answer[2] ?? "",
        answer: (answer[3] ?? "").trim(),
      });
    }
    said.client = said.server = "";
  };
  for (let i = 1; i < turns.length; i += 2) {
    const words = (turns[i + 1] ?? "").replace(/^\[(client|server) end.*$/gm, "");
    if (turns[i] === "CLIENT->" && words.trimStart().startsWith("POST")) finish();
    if (turns[i] === "CLIENT->") said.client += words;
    else said.server += words;
  }
  finish();
  return exchanges;
}

/**
 * Byte for byte, but for what data and clocks decide: its value is left out, its place, name and nil are not. The captured
 * server gave prices as numbers and one update bytes; ours gives rows as JSON, and each terminal here is told as it is.
 */
const DATA = ["serverTime", "occurredAt", "batchId", "updateId", "version", "cursor", "nextCursor", "key", "payload"];
const bytesOf = (reply: string): string =>
  reply
    .replace(new RegExp(`<(${DATA.join("|")})>[^<]*</\\1>`, "g"), "<$1>…</$1>")
    .replace(/<lastSeenAt(?: i:nil="true"\/>|>[^<]*<\/lastSeenAt>)/, "<lastSeenAt>…</lastSeenAt>")
    .replace(/<payloadBytes>[^<]*<\/payloadBytes>/, "")
    .replaceAll(/<traceParent>[^<]*<\/traceParent>/g, ""); // an optional member, which the captured server had nothing for
/** Of the terminal that the captured server had never heard of: it speaks for itself here, and has a past. */
const PAST = /<(terminalId|acceptedThrough|pendingUpdates)>[^<]*<\/\1>/g;
/** The captured ones, and what the hub says beside them: clients pass over what they do not know. */
const HEADERS = ["connection", "content-length", "content-type", "date", "keep-alive", "vary", "waybill-trace"];

let hub: ApiStation;
const crash = "crash"; // whatever is asked about this one breaks something inside
beforeAll(async () => {
  hub = await openSoap(
    {},
    {
      around: (ledger) => ({
        ...ledger,
        [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
        lanes: {
          ...ledger.lanes,
          of: (terminal) =>
            terminal === crash ? Promise.reject(new Error("secret detail")) : ledger.lanes.of(terminal),
        },
      }),
    },
  );
  crashKey = await hub.enrol(crash, {});
});
let crashKey = "";
afterAll(() => hub.close());

describe.each([
  ["exchanges-basic.txt", "T-basic"],
  ["exchanges-ws.txt", "T-ws"],
])("%s", (file, terminal) => {
  const exchanges = exchangesOf(file);
  let key = "";
  beforeAll(async () => {
    key = await hub.enrol(terminal, {});
    const changes = (n: number): unknown => [
      {
        table: "price",
        op: "upsert",
        key: { sku: `SKU-${n}` },
        row: { sku: `SKU-${n}`, price: `${n}.99`, name: "Café <&> €\r\n]]>" },
      },
    ];
    for (let n = 1; n <= 7; n++)
      await hub.call("POST", "/v1/updates", {
        key: "publisher-token-of-the-tests",
        json: { audience: `terminal:${terminal}`, changes: changes(n) },
      });
  });

  test("holds the exchanges of five operations", () => {
    expect(exchanges).toHaveLength(13);
  });

  test.each(exchanges.map((each, index) => [index + 1, each] as const))(
    "exchange %i is answered as on the facts page",
    async (index, exchange) => {
      // The captured server knew any terminal by name; here each speaks for itself, signed in.
      const own = exchange.body.replace(/>N-(basic|ws)[0-9a-f]{4}</, `>${terminal}<`);
      const body = Buffer.from(index === 9 ? await acknowledging(terminal, key, own) : own);
      const head = exchange.head
        .replace(/\r?\n/g, "\r\n")
        .replace(/Content-Length: \d+/, `Content-Length: ${body.length}`);
      const credentials = own.includes(">crash<") ? basicAuth(crash, crashKey) : basicAuth(terminal, key);
      const connection = new RawConnection(hub.port);
      connection.send(`${head}\r\nAuthorization: ${credentials}\r\n\r\n`);
      expect((await connection.answer())?.status).toBe(100);
      connection.send(body);
      const answer = await connection.answer();
      expect(answer?.status).toBe(exchange.status);
      expect(answer?.headers["content-type"]).toBe(exchange.answerType);
      expect(answer?.headers["connection"]).toBe("keep-alive");
      expect(Number(/timeout=(\d+)/.exec(answer?.headers["keep-alive"] ?? "")?.[1])).toBeGreaterThanOrEqual(120);
      const more = own.includes("<GetStatus ") && exchange.status === 200 ? ["waybill-loaded-through"] : [];
      expect(Object.keys(answer?.headers ?? {}).toSorted()).toEqual([...HEADERS, ...more].toSorted());
      const [ours, theirs] = [answer?.body ?? "", exchange.answer].map(bytesOf);
      if (own === exchange.body) expect(ours).toBe(theirs);
      else expect(ours?.replace(PAST, "<$1>…</$1>")).toBe(theirs?.replace(PAST, "<$1>…</$1>"));
      connection.close();
    },
  );
});

/** The captured batch and update ids are of another hub; a pull gives ours. */
async function acknowledging(terminal: string, key: string, body: string): Promise<string> {
  const { text } = await hub.call("POST", "/soap/terminal/basic", {
    headers: { "content-type": "text/xml", authorization: basicAuth(terminal, key) },
    body: `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><PullUpdates xmlns="urn:waybill:terminal:v1"><terminalId>${terminal}</terminalId><maxCount>2</maxCount></PullUpdates></s:Body></s:Envelope>`,
  });
  const ids = [...text.matchAll(/<updateId>(.*?)</g)].map(([, id]) => id ?? "");
  const batch = /<batchId>(.*?)</.exec(text)?.[1] ?? "";
  return body.replace(">b0<", `>${batch}<`).replace(">u1<", `>${ids[0]}<`).replace(">u2<", `>${ids[1]}<`);
}
