import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OPERATOR, openApi, TestLane, type Answer, type ApiStation } from "../../../test/kit/api.ts";
import { epoch, laneName, seq, terminalId, workerId } from "../../base/ids.ts";
import { submissionBody } from "../../wire/submission.ts";
import type { ExceptionWrite } from "../../ledger/port.ts";
import { setsAsText } from "../../ledger/key-sets.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openApi();
});
afterAll(() => hub.close());

const get = (path: string): Promise<Answer> => hub.call("GET", path, { key: OPERATOR });
const post = (path: string, json?: unknown): Promise<Answer> =>
  hub.call("POST", path, { key: OPERATOR, ...(json === undefined ? {} : { json }) });
const sets = { writes: ["sale S-2"], adds: [], creates: [], deletes: [], parents: [] };
const exception = (number: number, more: Partial<ExceptionWrite>): ExceptionWrite => ({
  seq: seq(number),
  state: "dead",
  fault: "CHECK_VIOLATED",
  detail: "sale S-2: total is negative",
  attempts: 1,
  retryInMs: null,
  behind: null,
  route: null,
  sets: setsAsText(sets),
  tables: ["sale"],
  ...more,
});

/** A lane of five messages: 2 is dead, 3 waits behind it, 5 is not loaded yet. */
async function laneWithTrouble(id: string): Promise<TestLane> {
  const key = await hub.enrol(id);
  const lane = new TestLane("E1", 5);
  await hub.call("POST", "/v1/messages", { key, body: lane.body(1, 4) });
  const name = laneName(terminalId(id), epoch("E1"));
  for (const claim of await hub.ledger.work.claim(
    workerId("w"),
    { lanes: 100, messages: 100, bytes: 1 << 20 },
    60_000,
  )) {
    if (claim.lane !== name) {
      await hub.ledger.work.release([claim], 0, "another test's lane");
      continue;
    }
    await hub.ledger.work.settle([
      {
        lane: claim.lane,
        fence: claim.fence,
        loadedThrough: seq(4),
        version: claim.version + 1,
        exceptions: [
          exception(2, {}),
          exception(3, { state: "held", fault: null, detail: "", behind: { lane: name, seq: seq(2), on: "sale S-2" } }),
        ],
        closed: [],
        events: [{ kind: "loaded", from: seq(1), through: seq(4), detail: "" }],
        lagMs: 12,
      },
    ]);
  }
  await hub.call("POST", "/v1/messages", { key, body: lane.body(5, 5) });
  return lane;
}

describe("the operator API", () => {
  test("the overview counts messages by state", async () => {
    await laneWithTrouble("o1");
    expect((await get("/api/overview")).json).toMatchObject({
      terminals: 1,
      received: 5,
      backlog: 1,
      held: 1,
      dead: 1,
    });
    expect((await get("/api/terminals?limit=10")).json).toMatchObject({
      terminals: [{ terminal: "o1", received: 5, held: 1, dead: 1 }],
    });
    expect((await get("/api/terminals/o1")).json).toMatchObject({
      terminal: { id: "o1" },
      lanes: [{ receivedThrough: 5, loadedThrough: 4 }],
    });
    expect(await get("/api/terminals/nobody")).toMatchObject({ status: 404, json: { code: "NOT_FOUND" } });
  });

  test("exceptions are listed by filter, and shown with payload and history", async () => {
    const lane = await laneWithTrouble("o2");
    const dead = await get("/api/exceptions?states=dead&terminal=o2&fault=CHECK_VIOLATED&table=sale");
    expect(dead.json).toMatchObject({ rows: [{ lane: "o2/E1", seq: 2, state: "dead", holds: 1 }], next: null });
    expect((await get("/api/exceptions?states=retrying&terminal=o2")).json).toMatchObject({ rows: [] });
    const one = await get("/api/exceptions/o2/E1/2");
    expect(one.json).toMatchObject({
      exception: { seq: 2, detail: "sale S-2: total is negative" },
      payload: { lines: [lane.line(2)], truncated: false },
    });
    expect(await get("/api/exceptions/o2/E1/1")).toMatchObject({ status: 404 });
  });

  test.each(["states=loaded", "states=", "fault=NO_SUCH", "limit=0", "limit=99999"])(
    "?%s is refused",
    async (query) => {
      expect(await get(`/api/exceptions?${query}`)).toMatchObject({ status: 400, json: { code: "REQUEST_INVALID" } });
    },
  );

  test("requeue makes a dead message due again, as it was or as edited, and tells the processor", async () => {
    const lane = await laneWithTrouble("o3");
    const before = hub.wakes();
    const edited = lane.line(2).replace("12.50", "0.00");
    expect(await post("/api/exceptions/o3/E1/2/requeue", { reason: "till was wrong", payload: edited })).toMatchObject({
      status: 200,
      json: { exception: { seq: 2, state: "received", edited: true } },
    });
    expect(hub.wakes()).toBe(before + 1);
    expect(await post("/api/exceptions/o3/E1/3/requeue", { reason: "why not" })).toMatchObject({
      status: 409,
      json: { code: "STATE_CONFLICT" },
    });
    expect((await get("/api/events?limit=5")).json["events"]).toEqual(
      expect.arrayContaining([expect.objectContaining({ actor: "token:anna", lane: "o3/E1", from: 2 })]),
    );
  });

  test.each<[string, unknown, string]>([
    ["without a reason", { reason: " " }, "body.reason"],
    ["with a payload that is no line", { reason: "r", payload: "{" }, "payload."],
    [
      "with a payload of another number",
      { reason: "r", payload: { seq: 3, at: "2026-11-23T09:14:07Z", changes: [] } },
      "payload.seq",
    ],
    [
      "with an op that is none",
      { reason: "r", payload: { seq: 2, at: "2026-11-23T09:14:07Z", changes: [{ table: "x", op: "y", key: {} }] } },
      "payload.changes[0].op",
    ],
  ])("requeue %s is refused, and nothing changes", async (_, call, path) => {
    if ((await hub.ledger.terminals.get(terminalId("o4"))) === null) await laneWithTrouble("o4");
    expect(await post("/api/exceptions/o4/E1/2/requeue", call)).toMatchObject({
      status: 400,
      json: { code: "REQUEST_INVALID", path },
    });
    expect((await get("/api/exceptions/o4/E1/2")).json).toMatchObject({ exception: { state: "dead", edited: false } });
  });

  test("an edited payload that JSON would change in silence, or that is nested without end, is refused", async () => {
    const ask = (payload: string): Promise<Answer> =>
      hub.call("POST", "/api/exceptions/o4/E1/2/requeue", {
        key: OPERATOR,
        body: `{"reason":"r","payload":${payload}}`,
        headers: { "content-type": "application/json" },
      });
    const payload = (value: string): string =>
      `{"seq":2,"at":"2026-11-23T09:14:07Z","changes":[{"table":"sale","op":"upsert","key":{"id":1},"row":{"id":1,"n":${value}}}]}`;
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    for (const value of ["9007199254740993", '"\\ud800"', deep]) {
      expect(await ask(payload(value))).toMatchObject({ status: 400, json: { code: "REQUEST_INVALID" } });
    }
    expect((await get("/api/exceptions/o4/E1/2")).json).toMatchObject({ exception: { state: "dead", edited: false } });
    expect(await ask(payload('"9007199254740993"'))).toMatchObject({ status: 200 });
  });

  test("discard is ordered with a reason", async () => {
    await laneWithTrouble("o5");
    expect(await post("/api/exceptions/o5/E1/2/discard", { reason: "test sale" })).toMatchObject({ status: 200 });
    expect(await post("/api/exceptions/o5/E1/4/discard", { reason: "it is loaded" })).toMatchObject({ status: 409 });
    expect(await post("/api/exceptions/o5/E1/x/discard", { reason: "no number" })).toMatchObject({ status: 400 });
  });

  test("of a message too large to be looked at, the beginning is shown, and that there is more", async () => {
    const key = await hub.enrol("o7");
    const lane = new TestLane("E1", 0);
    for (const part of [1, 2, 3]) {
      const row = { id: part, text: "x".repeat(400_000) };
      lane.append(
        JSON.stringify({
          seq: 1,
          part,
          more: part < 3,
          changes: [{ table: "sale", op: "upsert", key: { id: part }, row }],
        }),
      );
      const header = { epoch: "E1", after: 0, ...(part > 1 ? { part: part - 1 } : {}), chain: lane.chain(part - 1) };
      await hub.call("POST", "/v1/messages", { key, body: submissionBody(header, [Buffer.from(lane.line(part))]) });
    }
    expect((await get("/api/trace/o7/1")).json).toMatchObject({
      messages: [{ seq: 1, state: "received", payload: { lines: [lane.line(1), lane.line(2)], truncated: true } }],
    });
  });

  test("trace answers where a message is and why, by number, by epoch/number and by receipt", async () => {
    const lane = await laneWithTrouble("o6");
    const messages = async (what: string): Promise<unknown> =>
      (await get(`/api/trace/o6/${encodeURIComponent(what)}`)).json["messages"];
    expect(await messages("1")).toMatchObject([
      { seq: 1, state: "loaded", headline: "in the central database", payload: { lines: [lane.line(1)] } },
    ]);
    expect(await messages("E1/2")).toMatchObject([
      { seq: 2, state: "dead", headline: expect.stringContaining("CHECK_VIOLATED") },
    ]);
    expect(await messages("4703")).toMatchObject([
      {
        seq: 3,
        state: "held",
        headline: "waits behind o6/E1/2 on sale S-2",
        waitsFor: { lane: "o6/E1", seq: 2, on: "sale S-2" },
      },
    ]);
    expect(await messages("5")).toMatchObject([{ seq: 5, state: "received", exception: null }]);
    for (const what of ["6", "0", "no-such-receipt", "E9/1"]) {
      const answer = await get(`/api/trace/o6/${encodeURIComponent(what)}`);
      expect(answer).toMatchObject({
        status: 404,
        json: { code: "NOT_FOUND", detail: expect.stringContaining("received through 5 of o6/E1") },
      });
    }
    expect(await get("/api/trace/nobody/1")).toMatchObject({
      status: 404,
      json: { detail: "there is no terminal nobody" },
    });
  });
});
