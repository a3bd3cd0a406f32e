import { expect, test } from "vitest";
import { OPERATOR, openApi, TestLane, VIEWER } from "../../../../test/kit/api.ts";
import { workerId } from "../../../base/ids.ts";

const LIMIT = { lanes: 10, messages: 100, bytes: 1_000_000 };

test("a person pauses, sees who paused what and why, and resumes; meanwhile messages are stored and say what they wait for", async () => {
  await using hub = await openApi();
  const key = await hub.enrol("t1");
  const post = (path: string, json: object, by = OPERATOR) => hub.call("POST", path, { key: by, json });
  const pause = { kind: "terminal", name: "t1", reason: "it is being replaced" };
  expect((await post("/api/pauses", pause, VIEWER)).status).toBe(403);
  const answer = await post("/api/pauses", pause);
  expect(answer.json).toMatchObject({
    pauses: [{ ...pause, by: "token:anna", fault: null, probeAt: null, waiting: 0 }],
    lanesInWork: 0,
  });
  const again = await post("/api/pauses", pause);
  expect([again.status, again.text]).toEqual([409, expect.stringContaining("paused already, by token:anna")]);

  const sent = await hub.call("POST", "/v1/messages", { key, body: new TestLane("E1", 2).body(1, 2) });
  expect(sent.json).toMatchObject({ receivedThrough: 2 });
  expect(await hub.ledger.work.claim(workerId("w1"), LIMIT, 1_000)).toEqual([]);
  const traced = await hub.call("GET", "/api/trace/t1/2", { key: OPERATOR });
  expect(traced.json).toMatchObject({
    messages: [{ state: "received", waits: [{ kind: "paused", by: "token:anna", reason: pause.reason }] }],
  });

  const woken = hub.wakes();
  expect((await post("/api/pauses/resume", { ...pause, reason: "done" })).json).toMatchObject({ pauses: [] });
  expect(hub.wakes()).toBe(woken + 1);
  expect(await hub.ledger.work.claim(workerId("w1"), LIMIT, 1_000)).toHaveLength(1);
  expect((await post("/api/pauses/resume", { ...pause, reason: "twice" })).status).toBe(404);
});

test("what is not there cannot be paused, and a reason must be given", async () => {
  await using hub = await openApi();
  await hub.enrol("t1");
  const statusOf = async (json: object): Promise<number> =>
    (await hub.call("POST", "/api/pauses", { key: OPERATOR, json })).status;
  expect(await statusOf({ kind: "terminal", name: "t9", reason: "slip" })).toBe(404);
  expect(await statusOf({ kind: "lane", name: "t1/E9", reason: "slip" })).toBe(404);
  expect(await statusOf({ kind: "lane", name: "", reason: "slip" })).toBe(404);
  expect(await statusOf({ kind: "route", name: "nowhere", reason: "slip" })).toBe(404);
  expect(await statusOf({ kind: "everything", reason: " " })).toBe(400);
  expect(await statusOf({ kind: "everything", reason: "maintenance" })).toBe(200);
});
