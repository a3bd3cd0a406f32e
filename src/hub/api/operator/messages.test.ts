import { expect, test } from "vitest";
import { openApi, saleLine, TestLane, VIEWER } from "../../../../test/kit/api.ts";
import { drain } from "../../../ledger/contract/till.ts";
import type { MessageList } from "./messages.ts";

test("a terminal's messages are listed newest first, by table, state and time, page by page over its epochs", async () => {
  await using hub = await openApi();
  const key = await hub.enrol("t1");
  const stock = (n: number): string =>
    JSON.stringify({
      ...{ seq: n, at: "2026-11-23T09:14:07Z" },
      changes: [
        { table: "stock", op: "delete", key: { sku: "A" } },
        { table: "stock", op: "delete", key: { sku: "B" } },
      ],
    });
  const lane = new TestLane("E1", 9, (n) => (n % 4 === 0 ? stock(n) : saleLine(n)));
  await hub.call("POST", "/v1/messages", { key, body: lane.body(1, 6) });
  await drain(hub.ledger, (n) => (n === 3 ? { state: "dead" } : null));
  await hub.call("POST", "/v1/messages", { key, body: lane.body(7, 9) });
  const list = async (query: string): Promise<MessageList> => {
    const { status, json } = await hub.call("GET", `/api/messages?${query}`, { key: VIEWER });
    expect(status).toBe(200);
    return json as unknown as MessageList;
  };
  const numbers = async (query: string): Promise<readonly number[]> =>
    (await list(query)).messages.map(({ seq }) => seq);
  expect(await numbers("terminal=t1")).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
  expect((await list("terminal=t1")).messages[1]).toMatchObject({ state: "received", tables: ["stock"], changes: 2 });
  expect(await numbers("terminal=t1&table=stock")).toEqual([8, 4]);
  expect(await numbers("terminal=t1&state=dead")).toEqual([3]);
  expect(await numbers("terminal=t1&state=loaded&table=sale")).toEqual([6, 5, 2, 1]);
  const { receivedAt } = (await list("terminal=t1&limit=1")).messages[0]!;
  expect(await numbers(`terminal=t1&since=${receivedAt}`)).toContain(9);
  expect(await numbers(`terminal=t1&since=${receivedAt + 1}`)).toEqual([]);
  expect(await numbers("terminal=t1&until=1000")).toEqual([]);
  // Pages end anywhere within a run, and follow each other without gap or repeat, also into an older epoch.
  const opened = await hub.call("POST", "/v1/epochs", {
    key,
    json: { previous: "E1", install: "01JDCW0000000000000000000A", reason: "replaced" },
  });
  const { epoch } = opened.json as { epoch: string };
  await hub.call("POST", "/v1/messages", { key, body: new TestLane(epoch, 2).body(1, 2) });
  for (const limit of [1, 2, 4]) {
    const seen: string[] = [];
    let before = "";
    for (;;) {
      const page = await list(`terminal=t1&limit=${limit}${before}`);
      seen.push(...page.messages.map(({ lane: of, seq }) => `${of.slice(3) === "E1" ? "" : "new "}${seq}`));
      if (page.next === null) break;
      before = `&before=${encodeURIComponent(page.next)}`;
    }
    expect(seen, `limit ${limit}`).toEqual(["new 2", "new 1", "9", "8", "7", "6", "5", "4", "3", "2", "1"]);
  }
});

test("whose messages must be said, and be somebody's", async () => {
  await using hub = await openApi();
  await hub.enrol("t1");
  const ask = (query: string) => hub.call("GET", `/api/messages${query}`, { key: VIEWER });
  expect((await ask("")).status).toBe(400);
  expect((await ask("?terminal=t9")).status).toBe(404);
  expect((await ask("?terminal=t1&state=lost")).status).toBe(400);
  expect((await ask("?terminal=t1&before=nonsense")).status).toBe(400);
  expect((await ask("?terminal=t1")).json).toEqual({ messages: [], next: null, lookedBackTo: null });
  expect((await ask("?terminal=t1&before=E9/4")).json).toMatchObject({ messages: [] });
});
