import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  hurried,
  openApi,
  PUBLISHER,
  OPERATOR,
  TestLane,
  type Answer,
  type ApiStation,
} from "../../../test/kit/api.ts";
import { until } from "../../../test/kit/until.ts";
import { readUpdates } from "../../wire/updates.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openApi({ runtime: hurried });
});
afterAll(() => hub.close());

const changes = [{ table: "price", op: "upsert", key: { sku: "A" }, row: { sku: "A", price: "9.90" } }];
const publish = (audience: string, more: object = {}): Promise<Answer> =>
  hub.call("POST", "/v1/updates", { key: PUBLISHER, json: { audience, changes, ...more } });
const take = async (key: string, after: number | string, query = ""): Promise<ReturnType<typeof readUpdates>> =>
  readUpdates(Buffer.from((await hub.call("GET", `/v1/updates?after=${after}${query}`, { key })).text));
const head = async (): Promise<number> => Number(await hub.ledger.updates.head());

describe("GET /v1/updates", () => {
  test("gives the updates of the terminal's audiences, attesting the range it covered", async () => {
    const key = await hub.enrol("u1", { store: "014" });
    const after = await head();
    for (const audience of ["all", "store:015", "store:014", "terminal:u2", "terminal:u1"]) await publish(audience);
    const batch = await take(key, after);
    expect(batch.updates.map(({ audience }) => audience)).toEqual(["all", "store:014", "terminal:u1"]);
    expect(batch.updates[0]?.changes).toEqual(changes);
    expect(batch).toMatchObject({ after, through: await head(), more: false });
    expect(await take(key, batch.through)).toMatchObject({ updates: [], through: batch.through });
  });

  test("`limit` cuts the range attested, and says that there is more", async () => {
    const key = await hub.enrol("u3");
    const after = await head();
    for (let i = 0; i < 5; i++) await publish("all");
    const first = await take(key, after, "&limit=2");
    expect(first).toMatchObject({ more: true });
    expect(first.through).toBe(first.updates[1]?.id);
    const rest = await take(key, first.through);
    expect([...first.updates, ...rest.updates].map(({ id }) => id)).toEqual(
      (await take(key, after)).updates.map(({ id }) => id),
    );
  });

  test("waits for the first update and is woken by its publishing", async () => {
    const key = await hub.enrol("u4");
    const waiting = take(key, await head(), "&wait=25");
    await until(() => hub.updates.awaited);
    await publish("terminal:u4");
    expect((await waiting).updates).toHaveLength(1);
  });

  test("a wait is not ended by what is published for others", async () => {
    const key = await hub.enrol("u5");
    const waiting = take(key, await head(), "&wait=25");
    await until(() => hub.updates.awaited);
    await publish("terminal:somebody");
    await publish("terminal:u5");
    expect((await waiting).updates.map(({ audience }) => audience)).toEqual(["terminal:u5"]);
  });

  test("what another process published is found without a ring", async () => {
    const key = await hub.enrol("u6");
    const waiting = take(key, await head(), "&wait=25");
    await until(() => hub.updates.awaited);
    const entry = {
      audience: "all",
      tx: "T",
      at: Date.now() as never,
      origin: null,
      trace: null,
      changes: Buffer.from(JSON.stringify(changes)),
      count: 1,
    };
    // The head must have been looked at once before it can be seen to move.
    await until(async () => {
      await hub.ledger.updates.publish([entry], "system" as never);
      return Promise.race([waiting.then(() => true), new Promise<false>((resolve) => setTimeout(resolve, 100, false))]);
    });
    expect((await waiting).updates.length).toBeGreaterThan(0);
  });

  test("an empty answer after the wait still moves the cursor past what was for others", async () => {
    const key = await hub.enrol("u7");
    const after = await head();
    await publish("terminal:somebody");
    expect(await take(key, after, "&wait=0.01")).toMatchObject({ updates: [], through: await head() });
  });

  test("nobody waits any more when the caller is gone", async () => {
    const key = await hub.enrol("u8");
    const gone = new AbortController();
    const waiting = hub.call("GET", `/v1/updates?after=${await head()}&wait=25`, { key, signal: gone.signal });
    await until(() => hub.updates.awaited);
    gone.abort();
    await expect(waiting).rejects.toThrow();
    await until(() => !hub.updates.awaited);
  });

  test("I9: a cursor ahead of the log shows that it was restored: ids go on above it, and none is given twice", async () => {
    const key = await hub.enrol("u9");
    const shown = (await head()) + 1_000;
    expect(await hub.call("GET", `/v1/updates?after=${shown}`, { key })).toMatchObject({ status: 200 });
    expect(await head()).toBeGreaterThan(shown);
    const events = await hub.ledger.trail.recent(10, null);
    expect(events.find(({ kind }) => kind === "term begun")?.detail).toContain("terminal u9");
  });

  test("I9: a terminal that waits and says that more of its lane was acknowledged than there is hears it at once", async () => {
    const key = await hub.enrol("u11");
    const lane = new TestLane("E1", 2);
    await hub.call("POST", "/v1/messages", { key, body: lane.body(1, 2) });
    const query = (epoch: string, received: number): string => `&wait=25&epoch=${epoch}&received=${received}`;
    expect(await take(key, await head(), query("E1", 3))).toMatchObject({ behind: true, updates: [] });
    expect(await take(key, await head(), query("another", 1))).toMatchObject({ behind: true });
    const waiting = take(key, await head(), query("E1", 2));
    await until(() => hub.updates.awaited);
    await publish("terminal:u11");
    expect(await waiting).not.toHaveProperty("behind");
  });

  test("I9: a cursor of another history goes on behind the log's end, and uses no ids up; one of its own history goes on", async () => {
    const key = await hub.enrol("u12");
    await hub.ledger.updates.attest("ours");
    await publish("all");
    const { through, strand } = await take(key, (await head()) - 1);
    expect(strand).toBe("ours");
    await publish("all");
    expect((await take(key, through, "&strand=ours")).updates).toHaveLength(1);
    const end = await head();
    for (const after of [through, end + 1_000, 10 ** 15]) {
      const answer = await take(key, after, "&strand=theirs&wait=25");
      expect(answer, String(after)).toEqual({
        ...{ after: end, through: end, more: false, updates: [] },
        ...{ strand: "ours", other: true },
      });
    }
    expect(await head()).toBe(end);
    expect((await hub.ledger.terminals.get("u12" as never))?.rowsOwed).not.toBeNull();
    expect((await take(key, end, "&strand=ours")).updates).toEqual([]);
  });

  test("I9: of a cursor that the log does not know nothing is said before the log was compared with the centre", async () => {
    let compared = false;
    await using other = await openApi({ parts: { compared: async () => compared } });
    const key = await other.enrol("u13");
    const ask = () => other.call("GET", "/v1/updates?after=7&strand=theirs", { key });
    expect(await ask()).toMatchObject({ status: 503, json: { code: "UNAVAILABLE" } });
    expect((await other.ledger.terminals.get("u13" as never))?.rowsOwed).toBeNull();
    const waiting = ask();
    const lost = [{ first: 1 as never, name: "theirs", through: 7 as never }];
    await other.ledger.updates.beginTerm(7 as never, "the centre was told of more than the log has", lost);
    compared = true;
    expect(readUpdates(Buffer.from((await waiting).text))).not.toHaveProperty("other");
    expect((await other.ledger.terminals.get("u13" as never))?.rowsOwed).toBeNull();
  });

  test("CURSOR_GONE for a cursor that no restore can explain: it must not use the ids up", async () => {
    const key = await hub.enrol("u10");
    const before = await head();
    expect(await hub.call("GET", `/v1/updates?after=${before + 1_000 * 10 ** 12}`, { key })).toMatchObject({
      status: 410,
      json: { code: "CURSOR_GONE" },
    });
    expect(await head()).toBe(before);
  });

  test.each(["after=x", "after=-1", "after=9999999999999999", "limit=0", "limit=x", "wait=31", "wait=-1", "wait=NaN"])(
    "REQUEST_INVALID for ?%s",
    async (query) => {
      const key = await hub.enrol("u10");
      expect(await hub.call("GET", `/v1/updates?${query}`, { key })).toMatchObject({
        status: 400,
        json: { code: "REQUEST_INVALID" },
      });
    },
  );
});

describe("POST /v1/updates/ack", () => {
  test("is remembered as the terminal's cursor, with the rows it refused", async () => {
    const key = await hub.enrol("a1");
    const id = String((await publish("terminal:a1")).json["id"]);
    const refused = [
      { id, code: "CHECK_VIOLATED", detail: "price A: 9.90" },
      { id, code: "SOMETHING_NEW", detail: "of a newer agent" },
    ];
    expect(await hub.call("POST", "/v1/updates/ack", { key, json: { appliedThrough: id, refused } })).toMatchObject({
      status: 200,
    });
    const status = await hub.call("GET", "/v1/status", { key });
    expect(status.json).toMatchObject({ cursor: { appliedThrough: id } });
    expect(status.json["refusedUpdates"]).toEqual(
      expect.arrayContaining([expect.objectContaining({ id, detail: "price A: 9.90" })]),
    );
  });
});

describe("POST /v1/updates", () => {
  test("answers 201 with the id, for a token with the role publisher only", async () => {
    expect(await publish("all", { at: "2026-11-23T09:14:07Z" })).toMatchObject({
      status: 201,
      json: { id: expect.stringMatching(/^\d+$/) },
    });
    const json = { audience: "all", changes };
    expect(await hub.call("POST", "/v1/updates", { key: OPERATOR, json })).toMatchObject({
      status: 403,
      json: { code: "FORBIDDEN" },
    });
    expect(await hub.call("POST", "/v1/updates", { key: await hub.enrol("p1"), json })).toMatchObject({ status: 401 });
  });

  test("waits until the log was compared with the centre, and says to come again when that takes long", async () => {
    let compared = false;
    await using other = await openApi({ parts: { compared: async () => compared } });
    const call = () => other.call("POST", "/v1/updates", { key: PUBLISHER, json: { audience: "all", changes } });
    const refused = await call();
    expect(refused).toMatchObject({ status: 503, json: { code: "UNAVAILABLE" } });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await other.ledger.updates.head()).toBe(0);
    const waiting = call();
    compared = true;
    expect(await waiting).toMatchObject({ status: 201 });
  });

  test.each<[string, object, string]>([
    ["an audience that is none", { audience: "everyone" }, "body.audience"],
    ["no changes", { changes: [] }, "body.changes"],
    ["a change without table", { changes: [{ ...changes[0], table: undefined }] }, "changes[0].table"],
    ["an unknown op", { changes: [{ ...changes[0], op: "merge" }] }, "changes[0].op"],
    ["a time without zone", { at: "2026-11-23T09:14:07" }, "body.at"],
  ])("refuses %s", async (_, more, path) => {
    const before = await head();
    expect(await publish("all", more)).toMatchObject({ status: 400, json: { code: "REQUEST_INVALID", path } });
    expect(await head()).toBe(before);
  });

  test("refuses an integer that JSON.parse would have changed in silence (I13)", async () => {
    const body = JSON.stringify({ audience: "all", changes }).replace('"9.90"', "9007199254740993");
    expect(
      await hub.call("POST", "/v1/updates", { key: PUBLISHER, body, headers: { "content-type": "application/json" } }),
    ).toMatchObject({ status: 400, json: { code: "REQUEST_INVALID" } });
  });
});

test("drain ends long polls at once with a true answer, and refuses what is new", async () => {
  await using other = await openApi();
  const key = await other.enrol("d1");
  const waiting = other.call("GET", "/v1/updates?after=0&wait=25", { key });
  await until(() => other.updates.awaited);
  other.api.drain();
  expect(readUpdates(Buffer.from((await waiting).text))).toMatchObject({ updates: [], more: false });
  const refused = await other.call("GET", "/v1/manifest", { key });
  expect(refused).toMatchObject({ status: 503, json: { code: "UNAVAILABLE" } });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await other.call("GET", "/healthz")).status).toBe(200);
  expect((await other.call("GET", "/readyz")).status).toBe(503);
});
