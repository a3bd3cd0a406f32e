import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PUBLISHER, type ApiStation } from "../../../test/kit/api.ts";
import { terminalId } from "../../base/ids.ts";
import { callerOf, openSoap, type SoapCaller } from "./soap.test-kit.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openSoap({ replyBytes: 8 * 1024, textLength: 4_000 });
});
afterAll(() => hub.close());

const upsert = (n: number, name = "x"): unknown => ({
  table: "price",
  op: "upsert",
  key: { sku: `S-${n}` },
  row: { sku: `S-${n}`, name },
});
const publish = async (terminal: string, ...changes: readonly unknown[]): Promise<void> => {
  const { status } = await hub.call("POST", "/v1/updates", {
    key: PUBLISHER,
    json: { audience: `terminal:${terminal}`, changes },
  });
  expect(status).toBe(201);
};
async function till(name: string): Promise<SoapCaller> {
  return callerOf(hub, name, await hub.enrol(name));
}
type Batch = {
  readonly batch: string;
  readonly ids: readonly string[];
  readonly keys: readonly string[];
  readonly next: string;
  readonly more: boolean;
  readonly bytes: number;
};
async function pull(call: SoapCaller, name: string, inner = ""): Promise<Batch> {
  const { text, value, status } = await call(
    `<PullUpdates xmlns="urn:waybill:terminal:v1"><terminalId>${name}</terminalId>${inner}</PullUpdates>`,
  );
  expect(status, text).toBe(200);
  const all = (member: string): readonly string[] =>
    [...text.matchAll(new RegExp(`<${member}>(.*?)</${member}>`, "g"))].map(([, found]) => found ?? "");
  return {
    batch: value("batchId") ?? "",
    ids: all("updateId"),
    keys: all("key"),
    next: value("nextCursor") ?? "",
    more: value("hasMore") === "true",
    bytes: Buffer.byteLength(text),
  };
}
async function acknowledge(
  call: SoapCaller,
  name: string,
  batch: string,
  results: Readonly<Record<string, string>>,
): Promise<readonly (string | undefined)[]> {
  const items = Object.entries(results).map(
    ([id, status]) =>
      `<UpdateResult><updateId>${id}</updateId><status>${status}</status><error>no such sku</error></UpdateResult>`,
  );
  const { value } = await call(
    `<AcknowledgeUpdates xmlns="urn:waybill:terminal:v1"><terminalId>${name}</terminalId><batchId>${batch}</batchId><results>${items.join("")}</results></AcknowledgeUpdates>`,
  );
  return [value("acknowledged"), value("unknown"), value("cursor")];
}
const applied = (ids: readonly string[]): Record<string, string> =>
  Object.fromEntries(ids.map((id) => [id, "Applied"]));
const cursorAtHub = async (name: string): Promise<number | undefined> =>
  (await hub.ledger.terminals.get(terminalId(name)))?.appliedThrough;

describe("updates pulled by SOAP", () => {
  test("come in order from the last acknowledged place, and again until they are acknowledged", async () => {
    const call = await till("u1");
    for (const n of [1, 2, 3]) await publish("u1", upsert(n));
    const first = await pull(call, "u1", "<maxCount>2</maxCount>");
    expect([first.keys, first.more]).toEqual([["S-1", "S-2"], true]);
    expect((await pull(call, "u1")).keys).toEqual(["S-1", "S-2", "S-3"]);
    expect((await pull(call, "u1", `<afterCursor>${first.next}</afterCursor>`)).keys).toEqual(["S-3"]);
    expect((await acknowledge(call, "u1", first.batch, applied(first.ids))).slice(0, 2)).toEqual(["2", "0"]);
    expect(await pull(call, "u1")).toMatchObject({ keys: ["S-3"], more: false });
    expect(await cursorAtHub("u1")).toBe(Number(first.ids[1]));
  });

  test("an acknowledgement that leaves one out stops before it; unknown ids are counted; repeating it changes nothing", async () => {
    const call = await till("u2");
    for (const n of [1, 2, 3]) await publish("u2", upsert(n));
    const { batch, ids } = await pull(call, "u2");
    const given = { ...applied([ids[0] ?? "", ids[2] ?? ""]), nobody: "Applied" };
    expect(await acknowledge(call, "u2", batch, given)).toEqual(["2", "1", ids[0]]);
    expect(await acknowledge(call, "u2", batch, given)).toEqual(["2", "1", ids[0]]);
    expect((await pull(call, "u2")).keys).toEqual(["S-2", "S-3"]);
  });

  test("a failed row moves the cursor, and is shown at the hub", async () => {
    const call = await till("u3");
    await publish("u3", upsert(1));
    const { batch, ids } = await pull(call, "u3");
    await acknowledge(call, "u3", batch, { [ids[0] ?? ""]: "Failed" });
    expect((await pull(call, "u3")).keys).toEqual([]);
    expect(await hub.ledger.updates.refusals(terminalId("u3"), 10)).toMatchObject([
      { code: "ROW_REFUSED", detail: "price S-1: no such sku" },
    ]);
  });

  test("a transaction of more rows than fit a reply is taken in pieces, each row once", async () => {
    const call = await till("u4");
    await publish("u4", ...Array.from({ length: 90 }, (_, i) => upsert(i, "n".repeat(200))));
    await publish("u4", upsert(999));
    const seen: string[] = [];
    for (let pulls = 0; pulls < 30; pulls++) {
      const { batch, ids, keys, more, bytes } = await pull(call, "u4");
      expect(bytes).toBeLessThanOrEqual(8 * 1024);
      seen.push(...keys);
      await acknowledge(call, "u4", batch, applied(ids));
      if (!more) break;
    }
    expect(seen).toEqual([...Array.from({ length: 90 }, (_, i) => `S-${i}`), "S-999"]);
  });

  test("maxBytes is honoured, and a row above it goes alone", async () => {
    const call = await till("u5");
    await publish("u5", upsert(1), upsert(2, "n".repeat(3_000)), upsert(3));
    const first = await pull(call, "u5", "<maxBytes>3000</maxBytes>");
    expect([first.keys, first.more]).toEqual([["S-1"], true]);
    const second = await pull(call, "u5", `<afterCursor>${first.next}</afterCursor><maxBytes>3000</maxBytes>`);
    expect([second.keys, second.more]).toEqual([["S-2"], true]);
  });

  test("a row that no client could read is told as refused and never stands in the way", async () => {
    const call = await till("u6");
    await publish("u6", upsert(1), upsert(2, "n".repeat(5_000)), upsert(3));
    const { keys, ids, batch } = await pull(call, "u6");
    expect(keys).toEqual(["S-1", "S-3"]);
    await acknowledge(call, "u6", batch, applied(ids));
    expect(await pull(call, "u6")).toMatchObject({ keys: [], more: false });
    expect(await hub.ledger.updates.refusals(terminalId("u6"), 10)).toMatchObject([{ code: "VALUE_TOO_LARGE" }]);
  });

  test("GetStatus tells the same cursor, and how many rows wait", async () => {
    const call = await till("u7");
    await publish("u7", upsert(1), upsert(2));
    const status = await call('<GetStatus xmlns="urn:waybill:terminal:v1"><terminalId>u7</terminalId></GetStatus>');
    expect([status.value("pendingUpdates"), status.value("cursor")]).toEqual(["2", "0"]);
  });
});
