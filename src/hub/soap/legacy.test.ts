import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { OPERATOR, PUBLISHER, type ApiStation } from "../../../test/kit/api.ts";
import { until } from "../../../test/kit/until.ts";
import { createLog } from "../../observe/log.ts";
import { legacyMapping, type LegacyMapping } from "../../wire/soap/mapping.ts";
import { basicAuth, envelope11, openSoap } from "./soap.test-kit.ts";

const fixture = (name: string): string => fileURLToPath(new URL(`../../wire/soap/fixtures/${name}`, import.meta.url));
const MAPPING: LegacyMapping = {
  ...legacyMapping.parse(JSON.parse(readFileSync(fixture("contoso-pos.mapping.json"), "utf8"))),
  wsdl: fixture("contoso-pos.wsdl"),
};

let hub: ApiStation;
beforeAll(async () => {
  hub = await openSoap({ mappings: [MAPPING] });
});
afterAll(() => hub.close());

type Sale = {
  readonly no: string;
  readonly soldAt?: string;
  readonly total?: string;
  readonly lines?: readonly string[];
};
/** As the old client's proxy writes it: members in their order, nothing else. */
const sale = ({ no, soldAt = "2026-06-01T10:00:00", total = "12.50", lines = ["A"] }: Sale): string =>
  `<a:Sale><a:Lines>${lines.map((sku) => `<a:Line><a:Ean>${sku}</a:Ean><a:Qty>1.000</a:Qty></a:Line>`).join("")}</a:Lines><a:ReceiptNo>${no}</a:ReceiptNo><a:SoldAt>${soldAt}</a:SoldAt><a:Total>${total}</a:Total></a:Sale>`;
const upload = (pos: string, ...sales: readonly Sale[]): string =>
  `<UploadSales xmlns="http://tempuri.org/"><posId>${pos}</posId><sales xmlns:a="http://schemas.datacontract.org/2004/07/Contoso.Pos">${sales.map(sale).join("")}</sales></UploadSales>`;
const named = (operation: string, pos: string): string =>
  `<${operation} xmlns="http://tempuri.org/"><posId>${pos}</posId></${operation}>`;
type Old = (body: string, operation?: string) => Promise<{ readonly status: number; readonly text: string }>;
/** The old client with a new address. */
const oldClient =
  (at: ApiStation, key: string): Old =>
  (body, operation = /^<(\w+)/.exec(body)?.[1] ?? "") =>
    at.call("POST", `/soap/legacy/contoso-pos/${key}`, {
      headers: {
        "content-type": "text/xml; charset=utf-8",
        soapaction: `"http://tempuri.org/IPosExport/${operation}"`,
      },
      body: envelope11(body),
    });
const counts = ({ text }: { readonly text: string }): readonly (string | undefined)[] => [
  /Stored>(\d+)</.exec(text)?.[1],
  /AlreadyKnown>(\d+)</.exec(text)?.[1],
];
type Traced = { readonly payload: { readonly lines: readonly string[] } };
async function bodiesOf(terminal: string, receipt: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { json } = await hub.call("GET", `/api/trace/${terminal}/${receipt}`, { key: OPERATOR });
  return ((json["messages"] ?? []) as readonly Traced[]).map(
    ({ payload }) =>
      (JSON.parse(payload.lines[0] ?? "") as { changes: { row: { body: Record<string, unknown> } }[] }).changes[0]?.row
        .body ?? {},
  );
}

describe("an old client whose address alone was changed", () => {
  test("uploads: resends are known, the same receipt with other content is kept too", async () => {
    const call = oldClient(hub, await hub.enrol("p1"));
    expect(counts(await call(upload("p1", { no: "1" }, { no: "2" })))).toEqual(["2", "0"]);
    expect(counts(await call(upload("p1", { no: "1" }, { no: "2" }, { no: "3" })))).toEqual(["1", "2"]);
    expect(counts(await call(upload("p1", { no: "1", total: "99.00" })))).toEqual(["1", "0"]);
    expect((await bodiesOf("p1", "1")).map((body) => (body["payload"] as { Total: string }).Total).toSorted()).toEqual([
      "12.50",
      "99.00",
    ]);
  });

  test("gives its values letter by letter, lists also of one, and its wall clock in UTC", async () => {
    const call = oldClient(hub, await hub.enrol("p2"));
    await call(upload("p2", { no: "7", soldAt: "2026-01-15T08:30:00.1234567" }));
    expect(await bodiesOf("p2", "7")).toEqual([
      {
        operation: "create",
        key: "7",
        occurredAt: "2026-01-15T07:30:00.1234567Z",
        payload: {
          Lines: [{ Ean: "A", Qty: "1.000" }],
          ReceiptNo: "7",
          SoldAt: "2026-01-15T08:30:00.1234567",
          Total: "12.50",
        },
      },
    ]);
  });

  test.each([
    ["in the hour that spring skips: an hour on", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z"],
    ["in the hour that autumn has twice: the first", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"],
    ["with an offset of its own: as it came", "2026-03-29T02:30:00+02:00", "2026-03-29T02:30:00+02:00"],
  ])("a time %s", async (_, soldAt, expected) => {
    const call = oldClient(hub, await hub.enrol("p3"));
    await call(upload("p3", { no: soldAt.slice(5, 7) + String(expected.length), soldAt }));
    expect((await bodiesOf("p3", soldAt.slice(5, 7) + String(expected.length)))[0]?.["occurredAt"]).toBe(expected);
  });

  test("asks for prices, which are done when it asks again", async () => {
    const call = oldClient(hub, await hub.enrol("p4"));
    for (const [sku, price] of [
      ["E1", "1.90"],
      ["E2", "2.90"],
    ])
      await hub.call("POST", "/v1/updates", {
        key: PUBLISHER,
        json: {
          audience: "terminal:p4",
          at: "2026-06-01T10:00:00Z",
          changes: [{ table: "price", op: "upsert", key: { sku }, row: { sku, price } }],
        },
      });
    await hub.call("POST", "/v1/updates", {
      key: PUBLISHER,
      json: { audience: "terminal:p4", changes: [{ table: "other", op: "delete", key: { id: 1 } }] },
    });
    const first = await call(named("GetPriceChanges", "p4"));
    expect(
      [...first.text.matchAll(/<a:Ean>(.*?)<.*?NewPrice>(.*?)<.*?ValidFrom>(.*?)</g)].map((match) => match.slice(1)),
    ).toEqual([
      ["E1", "1.90", "2026-06-01T12:00:00"],
      ["E2", "2.90", "2026-06-01T12:00:00"],
    ]);
    expect((await call(named("GetPriceChanges", "p4"))).text).not.toContain("PriceChange>");
  });

  test("pings, and beats one way", async () => {
    const call = oldClient(hub, await hub.enrol("p5"));
    expect(await call(named("IsAlive", "p5"))).toMatchObject({
      status: 200,
      text: expect.stringContaining("<IsAliveResult>true<"),
    });
    expect(await call(named("Heartbeat", "p5"))).toMatchObject({ status: 202, text: "" });
  });

  test("is told its own faults, with its own codes", async () => {
    const call = oldClient(hub, await hub.enrol("p6"));
    const bad = await call(upload("p6", { no: "" }));
    expect(bad.status).toBe(500);
    expect(bad.text).toContain('<PosError xmlns="http://schemas.datacontract.org/2004/07/Contoso.Pos"><Code>17</Code>');
    expect((await call(upload("another", { no: "1" }))).text).toContain("<Code>99</Code>");
    expect((await call(named("IsAlive", "p6"), "UploadSales")).text).toContain("ActionNotSupported");
  });

  test("signs in by the key in its address or by HTTP Basic, and by nothing else", async () => {
    const key = await hub.enrol("p7");
    expect((await oldClient(hub, "wrong")(named("IsAlive", "p7"))).status).toBe(500);
    const path = "/soap/legacy/contoso-pos";
    const ask = (headers: Readonly<Record<string, string>>): ReturnType<ApiStation["call"]> =>
      hub.call("POST", path, {
        headers: { "content-type": "text/xml", ...headers },
        body: envelope11(named("IsAlive", "p7")),
      });
    expect((await ask({})).status).toBe(401);
    expect((await ask({ authorization: basicAuth("p7", key) })).status).toBe(200);
  });

  test("finds its own WSDL at the new address", async () => {
    const { text } = await hub.call("GET", "/soap/legacy/contoso-pos?wsdl");
    expect(text).toContain('location="http://hub.test/soap/legacy/contoso-pos"');
    expect(text).not.toContain("old-server");
  });
});

test("tee: the old server is asked too, without our key, and both answers are compared", async () => {
  const heard: string[] = [];
  let reply = "";
  const old = createServer((request, response) => {
    heard.push(JSON.stringify(request.headers));
    request.resume().on("end", () => response.writeHead(200, { "content-type": "text/xml" }).end(reply));
  });
  await new Promise<void>((listening) => old.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void old.close());
  const address = old.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/old`;
  const lines: string[] = [];
  const log = createLog({ level: "debug", form: "json", to: { write: (line) => lines.push(line) } });
  await using watched = await openSoap(
    { mappings: [{ ...MAPPING, tee: { url, answer: "hub", timeoutMs: 5_000 } }] },
    { parts: { log } },
  );
  const key = await watched.enrol("p1");
  reply = envelope11(
    '<IsAliveResponse xmlns="http://tempuri.org/"><IsAliveResult>true</IsAliveResult></IsAliveResponse>',
  );
  const compared = (): readonly boolean[] =>
    lines.filter((line) => line.includes("soap.tee")).map((line) => (JSON.parse(line) as { same: boolean }).same);
  expect((await oldClient(watched, key)(named("IsAlive", "p1"))).status).toBe(200);
  await until(() => compared().length === 1);
  reply = envelope11(
    '<IsAliveResponse xmlns="http://tempuri.org/"><IsAliveResult>false</IsAliveResult></IsAliveResponse>',
  );
  await oldClient(watched, key)(named("IsAlive", "p1"));
  await until(() => compared().length === 2);
  expect(compared()).toEqual([true, false]);
  expect(heard.join()).not.toContain(key);
});

test.each<[string, (mapping: Record<string, unknown>) => void]>([
  ["a prefix that is not in namespaces", (mapping) => (mapping["terminal"] = "z:posId")],
  ["a time zone nobody has", (mapping) => (mapping["timeZone"] = "Mars/Olympus")],
  ["a misspelt member", (mapping) => (mapping["opertions"] = {})],
  ["a path that is more than steps", (mapping) => (mapping["terminal"] = "//t:posId[1]")],
])("a mapping with %s is refused when the hub starts", (_, spoil) => {
  const mapping = JSON.parse(readFileSync(fixture("contoso-pos.mapping.json"), "utf8")) as Record<string, unknown>;
  spoil(mapping);
  expect(legacyMapping.safeParse(mapping).success).toBe(false);
});
