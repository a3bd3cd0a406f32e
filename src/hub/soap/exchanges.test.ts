import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiStation } from "../../../test/kit/api.ts";
import { readXml } from "../../wire/soap/xml.ts";
import type { Element } from "../../wire/soap/element.ts";
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

/** What is decided by data and clocks, not by the wire, is left out of the comparison. */
const DATA = new Set([
  "serverTime",
  "occurredAt",
  "acceptedThrough",
  "pendingUpdates",
  "cursor",
  "nextCursor",
  "batchId",
  "updateId",
  "version",
  "payload",
  "payloadBytes",
  "key",
  "hasMore",
  "acknowledged",
  "unknown",
  "RelatesTo",
  "message",
  "faultstring",
  "Text",
  "terminalId",
  "lastSeenAt",
  "traceParent",
]);
const shape = ({ namespace, name, attributes, children, text }: Element): unknown => [
  `{${namespace}}${name}`,
  DATA.has(name) ? "" : attributes.map((each) => `${each.name}=${each.value}`).toSorted(),
  DATA.has(name) ? "" : text.trim(),
  children.filter((child) => child.name !== "payloadBytes").map(shape),
];

let hub: ApiStation;
beforeAll(async () => {
  hub = await openSoap();
});
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
    for (let n = 1; n <= 4; n++)
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
      const crash = exchange.body.includes(">crash<");
      // The captured server knew any terminal by name; here each speaks for itself, signed in.
      const own = exchange.body.replace(/>N-(basic|ws)[0-9a-f]{4}</, `>${terminal}<`);
      const body = Buffer.from(index === 9 ? await acknowledging(terminal, key, own) : own);
      const head = exchange.head
        .replace(/\r?\n/g, "\r\n")
        .replace(/Content-Length: \d+/, `Content-Length: ${body.length}`);
      const connection = new RawConnection(hub.port);
      connection.send(`${head}\r\nAuthorization: ${basicAuth(terminal, key)}\r\n\r\n`);
      expect((await connection.answer())?.status).toBe(100);
      connection.send(body);
      const answer = await connection.answer();
      expect(answer?.status).toBe(exchange.status);
      expect(answer?.headers["content-type"]).toBe(exchange.answerType);
      expect(answer?.headers["connection"]).toBe("keep-alive");
      expect(Number(/timeout=(\d+)/.exec(answer?.headers["keep-alive"] ?? "")?.[1])).toBeGreaterThanOrEqual(120);
      if (crash) return; // nobody is called crash here: that the words of an internal fault are these is tested below
      const [ours, theirs] = [readXml(answer?.body ?? ""), readXml(exchange.answer)];
      if (index === 8) expect(answer?.body.match(/<Update>/g)).toHaveLength(3);
      expect(shape(ours)).toEqual(shape(theirs));
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
