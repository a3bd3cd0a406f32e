import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiStation } from "../../../test/kit/api.ts";
import { terminalId, workerId } from "../../base/ids.ts";
import { WaybillError } from "../../base/errors.ts";
import { Metrics } from "../../observe/metrics.ts";
import { NS } from "../../wire/soap/namespaces.ts";
import { FaultCounts } from "./fault-counts.ts";
import { basicAuth, callerOf, envelope11, envelope12, openSoap, PING, submit } from "./soap.test-kit.ts";

const metrics = new Metrics();
let hub: ApiStation;
let key = "";
let ill = false;
beforeAll(async () => {
  hub = await openSoap(
    {},
    {
      parts: { metrics },
      around: (ledger) => ({
        ...ledger,
        [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
        lanes: {
          ...ledger.lanes,
          of: (terminal) => (ill ? Promise.reject(new Error("secret detail")) : ledger.lanes.of(terminal)),
          append: (submissions) =>
            ill ? Promise.reject(new WaybillError("DISK_FULL", "no space")) : ledger.lanes.append(submissions),
        },
      }),
    },
  );
  key = await hub.enrol("e1");
});
afterAll(() => hub.close());

type Given = {
  readonly binding?: "basic" | "ws";
  readonly headers?: Readonly<Record<string, string>>;
  readonly anonymous?: true;
};
const post = (
  body: string | Uint8Array<ArrayBuffer>,
  { binding = "basic", headers = {}, anonymous }: Given = {},
): ReturnType<ApiStation["call"]> =>
  hub.call("POST", `/soap/terminal/${binding}`, {
    headers: {
      "content-type": binding === "basic" ? "text/xml" : "application/soap+xml",
      ...(anonymous ? {} : { authorization: basicAuth("e1", key) }),
      ...headers,
    },
    body,
  });
const stamp = `<u:Timestamp xmlns:u="${NS.utility}" u:Id="_0"><u:Created>2001-01-01T00:00:00Z</u:Created><u:Expires>2001-01-01T00:05:00Z</u:Expires></u:Timestamp>`;
const token = (password: string): string =>
  `<o:UsernameToken><o:Username>e1</o:Username><o:Password>${password}</o:Password></o:UsernameToken>`;
const security = (inner: string): string =>
  `<o:Security xmlns:o="${NS.security}" s:mustUnderstand="1">${inner}</o:Security>`;

describe("signing in", () => {
  test("by a UsernameToken, whatever the clocks say; the timestamp is answered with one, without mustUnderstand", async () => {
    const { status, text } = await post(envelope11(PING, security(stamp + token(key))), { anonymous: true });
    expect(status).toBe(200);
    expect(text).toMatch(
      /<o:Security xmlns:o="[^"]+"><u:Timestamp u:Id="_0" [^>]+><u:Created>[^<]+Z<\/u:Created><u:Expires>[^<]+Z</,
    );
    expect(text).not.toContain("mustUnderstand");
  });
  test("only in the ways that the config allows", async () => {
    await using other = await openSoap({ auth: ["usernameToken"] });
    const mine = await other.enrol("e1");
    const call = callerOf(other, "e1", mine);
    expect((await call(PING)).status).toBe(401);
  });
  test("a revoked key signs nobody in", async () => {
    const revoked = await hub.enrol("e2");
    await hub.call("POST", "/api/terminals/e2/revoke", {
      key: "operator-token-of-the-tests",
      json: { reason: "stolen" },
    });
    expect((await callerOf(hub, "e2", revoked)(PING)).status).toBe(401);
  });
});

describe("forms that clients use", () => {
  test.each<[string, string, Given]>([
    ["no SOAPAction", envelope11(PING), {}],
    ["an empty SOAPAction", envelope11(PING), { headers: { soapaction: '""' } }],
    [
      "a SOAPAction without quotes",
      envelope11(PING),
      { headers: { soapaction: "urn:waybill:terminal:v1/ITerminalSync/Ping" } },
    ],
    [
      "an action parameter",
      envelope12(PING),
      {
        binding: "ws",
        headers: {
          "content-type": 'application/soap+xml; charset=utf-8; action="urn:waybill:terminal:v1/ITerminalSync/Ping"',
        },
      },
    ],
    ["SOAP 1.2 without addressing", envelope12(PING), { binding: "ws" }],
    ["addressing on SOAP 1.1", envelope11(PING, `<a:To xmlns:a="${NS.addressing}">http://anything/</a:To>`), {}],
    ["a header for somebody else", envelope11(PING, '<x xmlns="urn:x" s:mustUnderstand="1" s:actor="urn:other"/>'), {}],
    ["a header that need not be understood", envelope11(PING, '<x xmlns="urn:x" s:mustUnderstand="0"/>'), {}],
    ["other prefixes", PING.replace(/^/, `<e:Envelope xmlns:e="${NS.soap11}"><e:Body>`) + "</e:Body></e:Envelope>", {}],
    [
      "CDATA, comments and references",
      envelope11(`<Ping xmlns="${NS.contract}"><text><![CDATA[a]]>b<!-- c -->&#100;</text></Ping>`),
      {},
    ],
  ])("%s", async (_, body, given) => {
    expect((await post(body, given)).status).toBe(200);
  });
  test.each([true, false])("UTF-16, with a byte order mark: %s", async (marked) => {
    const text = envelope11(PING.replace(">x<", ">héllo €<")).replace('encoding="utf-8"', 'encoding="utf-16"');
    const { status, text: reply } = await post(Buffer.from(`${marked ? "\ufeff" : ""}${text}`, "utf16le"), {
      headers: { "content-type": "text/xml; charset=utf-16" },
    });
    expect([status, reply.includes("<text>héllo €</text>")]).toEqual([200, true]);
  });
  test("text comes back letter by letter: references, carriage returns, blanks, what a mark of ours could be", async () => {
    const inner = " a&#xD;\nb &lt;&amp;&gt; \u{1f600} \ue000 &#9; ";
    expect((await post(envelope11(`<Ping xmlns="${NS.contract}"><text>${inner}</text></Ping>`))).text).toContain(
      `<text>${inner.replace("&#9;", "\t")}</text>`,
    );
  });
  test("letters that only look like an illegal reference are letters", async () => {
    const { text } = await post(envelope11(`<Ping xmlns="${NS.contract}"><text><![CDATA[&#x1;]]></text></Ping>`));
    expect(text).toContain("<text>&amp;#x1;</text>");
  });
  test("a reply to nobody is 202 without a word", async () => {
    const none = `<a:ReplyTo><a:Address>${NS.addressing}/none</a:Address></a:ReplyTo>`;
    expect(await post(envelope12(PING, none), { binding: "ws" })).toMatchObject({ status: 202, text: "" });
  });
});

test("the WSDL has the configured address, and policies only where there is TLS", async () => {
  for (const query of ["?wsdl", "?singleWsdl", "?WSDL"]) {
    const { status, text } = await hub.call("GET", `/soap/terminal${query}`);
    expect([
      status,
      text.includes('location="http://hub.test/soap/terminal/ws"'),
      text.includes("BasicAuthentication"),
    ]).toEqual([200, true, false]);
  }
  expect((await hub.call("GET", "/soap/terminal?wsdl&auth=usernametoken")).text).toContain("UsernameToken");
});

test("a ledger that cannot store is 503 with a fault that may be sent again; a fault of ours has always the same words", async () => {
  ill = true;
  const words = "The server was unable to process the request due to an internal error.";
  const inside = await post(envelope11(submit("e1", [{ sequence: 1 }])));
  expect([
    inside.status,
    inside.text.includes(words),
    inside.text.includes("x:InternalServiceFault"),
    inside.text.includes("secret"),
  ]).toEqual([500, true, true, false]);
  ill = false;
  await post(envelope11(submit("e1", [{ sequence: 1 }])));
  ill = true;
  const full = await post(envelope11(submit("e1", [{ sequence: 2 }])));
  ill = false;
  expect([full.status, full.headers.get("retry-after"), full.text.includes("<retryable>true</retryable>")]).toEqual([
    503,
    "5",
    true,
  ]);
  expect(metrics.value("waybill_soap_faults_total", { code: "BUSY", terminal: "e1" })).toBe(1);
  const again = await post(envelope11(submit("e1", [{ sequence: 2 }])));
  expect(again.text).toContain("<acceptedThrough>2</acceptedThrough><accepted>1</accepted>");
});

test("faults are counted by terminal and code; beyond so many terminals, together", () => {
  const counted = new Metrics();
  const faults = new FaultCounts(counted);
  for (let n = 1; n <= 600; n++) faults.count("INVALID_REQUEST", terminalId(`t${n}`));
  faults.count("INVALID_REQUEST", terminalId("t1"));
  faults.count("UNAUTHENTICATED", null);
  const of = (terminal: string, code = "INVALID_REQUEST"): number =>
    counted.value("waybill_soap_faults_total", { code, terminal });
  expect([of("t1"), of("t500"), of("t501"), of("others"), of("none", "UNAUTHENTICATED")]).toEqual([2, 1, 0, 100, 1]);
});

test("GetStatus tells both acknowledgements: taken over, and loaded", async () => {
  const mine = await hub.enrol("e9");
  const call = callerOf(hub, "e9", mine);
  await call(submit("e9", [{ sequence: 41 }, { sequence: 42 }]));
  const asked = async (): Promise<readonly (string | null | undefined)[]> => {
    const answer = await hub.call("POST", "/soap/terminal/basic", {
      headers: { "content-type": "text/xml", authorization: basicAuth("e9", mine) },
      body: envelope11('<GetStatus xmlns="urn:waybill:terminal:v1"><terminalId>e9</terminalId></GetStatus>'),
    });
    return [/<acceptedThrough>(\d+)</.exec(answer.text)?.[1], answer.headers.get("waybill-loaded-through")];
  };
  expect(await asked()).toEqual(["42", "40"]);
  const [claim] = (await hub.ledger.work.claim(workerId("w"), { lanes: 100, messages: 1, bytes: 1e6 }, 60_000)).filter(
    ({ terminal }) => terminal === "e9",
  );
  if (!claim) throw new Error("there is work");
  const outcome = { lane: claim.lane, fence: claim.fence, loadedThrough: claim.through, version: 1 };
  await hub.ledger.work.settle([{ ...outcome, exceptions: [], closed: [], events: [], lagMs: null }]);
  expect(await asked()).toEqual(["42", "41"]);
});
