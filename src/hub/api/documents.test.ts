import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OPERATOR, openApi, testSettings, TestLane, type Answer, type ApiStation } from "../../../test/kit/api.ts";
import { seq, terminalId, type LaneName } from "../../base/ids.ts";
import { loadAndTakeAway } from "../../../test/kit/retention.ts";
import { systemRuntime } from "../../base/runtime.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { Document, DocumentAnswer } from "../../wire/documents.ts";
import { DocumentDesk } from "./documents.ts";
import { RequestSpan } from "./request-span.ts";
import { Intake } from "./intake.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openApi();
});
afterAll(() => hub.close());

type Given = { readonly id: string; readonly type?: string; readonly at?: string; readonly body: unknown };
const send = (key: string, ...documents: readonly (Given | string)[]): Promise<Answer> => {
  const lines = documents.map((each) =>
    typeof each === "string" ? each : JSON.stringify({ type: "sale", at: "2026-11-23T09:14:07Z", ...each }),
  );
  return hub.call("POST", "/v1/documents", { key, body: lines.map((line) => `${line}\n`).join("") });
};
const answers = ({ text }: Answer): unknown =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as unknown);

test("the hub numbers documents, and knows them again by id", async () => {
  const key = await hub.enrol("d1");
  expect(answers(await send(key, { id: "a", body: { total: "12.50" } }, { id: "b", body: "<sale/>" }))).toEqual([
    { id: "a", seq: 1, state: "accepted" },
    { id: "b", seq: 2, state: "accepted" },
  ]);
  expect(
    answers(
      await send(
        key,
        { id: "b", body: "<sale/>", at: "2026-11-24T00:00:00Z" },
        { id: "c", body: null },
        { id: "c", body: null },
      ),
    ),
  ).toEqual([
    { id: "b", seq: 2, state: "duplicate" },
    { id: "c", seq: 3, state: "accepted" },
    { id: "c", seq: 3, state: "duplicate" },
  ]);
  expect((await hub.call("GET", "/v1/status", { key })).json["lanes"]).toMatchObject([
    { epoch: "documents", receivedThrough: 3 },
  ]);
});

test("a document becomes a message that can be traced by its id, for a transform to turn into changes", async () => {
  const key = await hub.enrol("d2");
  await send(key, { id: "receipt 4711", body: { lines: [{ sku: "A" }] } });
  const { json } = await hub.call("GET", `/api/trace/d2/${encodeURIComponent("receipt 4711")}`, { key: OPERATOR });
  const [message] = json["messages"] as readonly { seq: number; payload: { lines: string[] } }[];
  expect(JSON.parse(message?.payload.lines[0] ?? "")).toEqual({
    seq: 1,
    at: "2026-11-23T09:14:07.000Z",
    trace: expect.stringMatching(/^00-/),
    changes: [
      {
        table: "document:sale",
        op: "insert",
        key: { id: "receipt 4711" },
        row: { id: "receipt 4711", type: "sale", body: { lines: [{ sku: "A" }] } },
      },
    ],
  });
});

test.each<[string, Given]>([
  ["another body", { id: "a", body: { total: "99.99" } }],
  ["another type", { id: "a", type: "refund", body: { total: "12.50" } }],
])("the same id with %s is ID_REUSED, and nothing of the request is stored", async (_, other) => {
  const key = await hub.enrol("d3");
  await send(key, { id: "a", body: { total: "12.50" } });
  const before = (await hub.call("GET", "/v1/status", { key })).json["lanes"];
  expect(await send(key, { id: `new ${other.type}`, body: 1 }, other)).toMatchObject({
    status: 409,
    json: { code: "ID_REUSED", id: "a", line: 2 },
  });
  expect((await hub.call("GET", "/v1/status", { key })).json["lanes"]).toEqual(before);
});

test("a document whose line retention took away is known by its id all the same, and refused with another body", async () => {
  const key = await hub.enrol("old");
  await send(key, { id: "a", body: { total: "12.50" } });
  await send(key, { id: "b", body: 2 });
  await send(key, { id: "c", body: 3 });
  await loadAndTakeAway(hub.ledger);
  expect(await hub.ledger.bytes.read("old/documents" as LaneName, seq(1), seq(1), 0, 1_000)).toEqual([]);
  expect(answers(await send(key, { id: "a", body: { total: "12.50" } }, { id: "d", body: 4 }))).toEqual([
    { id: "a", seq: 1, state: "duplicate" },
    { id: "d", seq: 4, state: "accepted" },
  ]);
  expect(await send(key, { id: "a", body: { total: "99.99" } })).toMatchObject({
    status: 409,
    json: { code: "ID_REUSED", id: "a" },
  });
});

test("the same id twice in one request with two bodies is ID_REUSED", async () => {
  const key = await hub.enrol("d4");
  expect(await send(key, { id: "x", body: 1 }, { id: "x", body: 2 })).toMatchObject({
    status: 409,
    json: { code: "ID_REUSED", line: 2 },
  });
});

test("requests at once, with overlapping ids, never give a number twice", async () => {
  const key = await hub.enrol("d5");
  const batches = Array.from({ length: 8 }, (_, batch) =>
    Array.from({ length: 5 }, (_each, i) => ({ id: `n${batch + i}`, body: batch + i })),
  );
  const all = (await Promise.all(batches.map((batch) => send(key, ...batch)))).flatMap(
    (answer) => answers(answer) as { id: string; seq: number; state: string }[],
  );
  const accepted = all.filter(({ state }) => state === "accepted");
  expect(accepted.map(({ seq }) => seq).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  for (const { id, seq } of all) expect(accepted.find((each) => each.id === id)?.seq).toBe(seq);
});

describe("the desk", () => {
  const document = (n: number): Document => ({ id: `n${n}`, type: "sale", at: null, body: n });
  /** A desk as each hub process has one. */
  const deskOn = (ledger: Ledger): DocumentDesk => {
    const parts = { ledger, runtime: systemRuntime, settings: testSettings("sqlite::memory:") };
    return new DocumentDesk(parts, new Intake(ledger.lanes, () => undefined));
  };
  const numbersOf = async (taken: readonly Promise<readonly DocumentAnswer[]>[]): Promise<readonly number[]> =>
    (await Promise.all(taken))
      .flat()
      .map(({ seq }) => seq)
      .toSorted((a, b) => a - b);
  const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i + 1);

  test("lets the requests of one terminal take turns, however many they are", async () => {
    const desk = deskOn(hub.ledger);
    const taken = upTo(30).map((n) =>
      desk.take(terminalId("d9"), [document(n)], new RequestSpan(undefined, systemRuntime)),
    );
    expect(await numbersOf(taken)).toEqual(upTo(30));
  });

  test("of two processes never gives one number twice", async () => {
    const desks = [deskOn(hub.ledger), deskOn(hub.ledger)];
    const taken = upTo(20).map((n) =>
      (desks[n % 2] ?? deskOn(hub.ledger)).take(
        terminalId("d10"),
        [document(n)],
        new RequestSpan(undefined, systemRuntime),
      ),
    );
    expect(await numbersOf(taken)).toEqual(upTo(20));
  });

  test("is not misled by a value that looks like an id", async () => {
    const key = await hub.enrol("d6");
    await send(key, { id: "first", body: "second" });
    expect(answers(await send(key, { id: "second", body: 1 }))).toEqual([{ id: "second", seq: 2, state: "accepted" }]);
  });
});

test("a terminal that numbers by itself cannot send documents", async () => {
  const key = await hub.enrol("d7");
  await hub.call("POST", "/v1/messages", { key, body: new TestLane("E1", 1).body(1, 1) });
  expect(await send(key, { id: "a", body: 1 })).toMatchObject({
    status: 409,
    json: { code: "EPOCH_CLOSED", epoch: "E1" },
  });
});

test.each<[string, Given | string, string]>([
  ["no id", '{"type":"sale","body":1}', "id"],
  ["an id that is too long", { id: "x".repeat(201), body: 1 }, "id"],
  ["no body", { id: "a", body: undefined }, "body"],
  ["a time without zone", { id: "a", at: "2026-11-23T09:14:07", body: 1 }, "at"],
  ["an integer that would change in silence", '{"id":"a","type":"sale","body":9007199254740993}', "body"],
])("LINE_INVALID for %s", async (_, given, path) => {
  const key = await hub.enrol("d8");
  expect(await send(key, { id: "good", body: 1 }, given)).toMatchObject({
    status: 400,
    json: { code: "LINE_INVALID", line: 2, path },
  });
  expect((await hub.call("GET", "/v1/status", { key })).json["lanes"]).toEqual([]);
});
