import { BasicAuthSecurity, createClientAsync, type Client } from "soap";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PUBLISHER, type ApiStation } from "../../../test/kit/api.ts";
import { openSoap } from "./soap.test-kit.ts";

type Reply = Readonly<Record<string, unknown>>;
type Call = (operation: string, request: unknown) => Promise<Reply>;

/** A second toolkit that is not ours, and that many integrators of tills on Node use. */
describe("a client that node-soap made of our WSDL", { timeout: 60_000 }, () => {
  let hub: ApiStation;
  let key = "";
  beforeAll(async () => {
    hub = await openSoap();
    key = await hub.enrol("n1");
  });
  afterAll(() => hub.close());

  async function clientOf(binding: "basic" | "ws"): Promise<Call> {
    const port = binding === "basic" ? "BasicHttpBinding_ITerminalSync" : "WSHttpBinding_ITerminalSync";
    const client: Client = await createClientAsync(`${hub.address}/soap/terminal?singleWsdl`, {
      forceSoap12Headers: binding === "ws",
      preserveWhitespace: true,
    });
    // The WSDL names the public address; the tests' hub is on a port of its own.
    client.setEndpoint(`${hub.address}/soap/terminal/${binding}`);
    client.setSecurity(new BasicAuthSecurity("n1", key));
    const service = (client as unknown as Record<string, Record<string, Record<string, unknown>>>)[
      "TerminalSyncService"
    ];
    return (operation, request) =>
      new Promise((resolve, reject) => {
        const method = service?.[port]?.[operation] as (
          given: unknown,
          done: (error: Error | null, reply: Reply) => void,
        ) => void;
        method(request, (error, reply) => {
          if (error) reject(error);
          else resolve(reply[`${operation}Result`] as Reply);
        });
      });
  }

  test.each([
    ["basic", 1],
    ["ws", 1002],
  ] as const)("%s: ping, 1,000 messages, resend, int64, typed fault, pull and acknowledge", async (binding, first) => {
    for (const n of [1, 2, 3, 4, 5]) {
      const changes = [
        { table: "price", op: "upsert", key: { sku: `${binding}-${n}` }, row: { sku: `${binding}-${n}` } },
      ];
      await hub.call("POST", "/v1/updates", { key: PUBLISHER, json: { audience: "terminal:n1", changes } });
    }
    const call = await clientOf(binding);
    expect((await call("Ping", { text: " héllo <&> 😀 " }))["text"]).toBe(" héllo <&> 😀 ");
    const message = (n: number, more: object = {}): object => ({
      sequence: n,
      messageId: `m-${n}`,
      entity: "sale",
      operation: "create",
      key: `K-${n}`,
      occurredAt: "2026-03-04T05:06:07.1234567Z",
      contentType: "application/json",
      payload: '{"total":12.50}',
      ...more,
    });
    const submit = async (messages: readonly object[]): Promise<readonly number[]> => {
      const reply = await call("SubmitMessages", { terminalId: "n1", messages: { SyncMessage: messages } });
      return ["acceptedThrough", "accepted", "duplicates"].map((name) => Number(reply[name]));
    };
    let batch: readonly object[] = [];
    for (let from = first; from < first + 1_000; from += 100) {
      batch = Array.from({ length: 100 }, (_, i) => message(from + i));
      expect(await submit(batch)).toEqual([from + 99, 100, 0]);
    }
    expect(await submit(batch)).toEqual([first + 999, 0, 100]);
    const large = message(first + 1_000, { payload: "x".repeat(8_192), contentType: "text/plain" });
    expect(await submit([{ ...large, baseVersion: "9223372036854775807" }])).toEqual([first + 1_000, 1, 0]);
    const fault = await call("SubmitMessages", { terminalId: "n1" }).catch((thrown: unknown) => thrown);
    const { Fault } = (
      fault as { readonly root: { readonly Envelope: { readonly Body: { readonly Fault: unknown } } } }
    ).root.Envelope.Body;
    expect(JSON.stringify(Fault)).toMatch(
      /"code":"INVALID_REQUEST","message":"messages is required","retryable":"?false/,
    );
    const keys: unknown[] = [];
    for (let more = true; more;) {
      const reply = await call("PullUpdates", { terminalId: "n1", maxCount: 2, maxBytes: 0 });
      const updates = [
        ((reply["updates"] as Reply | null)?.["Update"] as Reply | readonly Reply[] | undefined) ?? [],
      ].flat();
      keys.push(...updates.map((update) => update["key"]));
      const results = { UpdateResult: updates.map((update) => ({ updateId: update["updateId"], status: "Applied" })) };
      await call("AcknowledgeUpdates", { terminalId: "n1", batchId: reply["batchId"], results });
      more = reply["hasMore"] === true || reply["hasMore"] === "true";
    }
    expect(keys).toEqual([1, 2, 3, 4, 5].map((n) => `${binding}-${n}`));
    const status = await call("GetStatus", { terminalId: "n1" });
    expect([status["terminalId"], Number(status["acceptedThrough"]), Number(status["pendingUpdates"])]).toEqual([
      "n1",
      first + 1_000,
      0,
    ]);
  });
});
