import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADMIN, OPERATOR, openApi, PUBLISHER, TestLane, VIEWER, type ApiStation } from "../../../test/kit/api.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { terminalId } from "../../base/ids.ts";
import { mayActAs, ROLES, type Role } from "../../ledger/access.ts";
import type { Ledger } from "../../ledger/port.ts";
import { manifest } from "../../wire/manifest.ts";
import { statusAnswer } from "../../wire/calls.ts";
import { Gatekeeper } from "./auth.ts";
import { newSecret, secretHash } from "./secret.ts";

const isRole = (kind: string): kind is Role => (ROLES as readonly string[]).includes(kind);

let hub: ApiStation;
beforeAll(async () => {
  hub = await openApi();
});
afterAll(() => hub.close());

const tokenFor = async (json: object): Promise<string> =>
  String((await hub.call("POST", "/api/enroll-tokens", { key: OPERATOR, json })).json["token"]);
const enrol = (json: object): ReturnType<ApiStation["call"]> => hub.call("POST", "/v1/enroll", { json });

describe("POST /v1/enroll", () => {
  test("exchanges a token for a key of 256 bits, once", async () => {
    const token = await tokenFor({ terminal: "e1", tags: { store: "014" } });
    const first = await enrol({ token, terminal: "e1" });
    expect(first).toMatchObject({
      status: 201,
      json: { terminal: "e1", key: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/) },
    });
    expect(await enrol({ token, terminal: "e1" })).toMatchObject({ status: 403, json: { code: "TOKEN_INVALID" } });
    const told = await hub.call("GET", "/v1/manifest", { key: String(first.json["key"]) });
    expect(told.json).toMatchObject({
      terminal: "e1",
      tags: { store: "014" },
      audiences: ["all", "terminal:e1", "store:014"],
    });
  });

  test("with a key of the terminal's own, repeating it after a lost answer answers the same", async () => {
    const call = { token: await tokenFor({}), terminal: "e2", key: newSecret(systemRuntime.random) };
    const first = await enrol(call);
    expect(first.json).toEqual({ terminal: "e2", key: call.key });
    expect((await enrol(call)).json).toEqual(first.json);
    expect(await enrol({ ...call, key: newSecret(systemRuntime.random) })).toMatchObject({ status: 403 });
    expect((await hub.call("GET", "/v1/status", { key: call.key })).status).toBe(200);
  });

  test.each<[string, object, number, string]>([
    ["an unknown token", { token: "x".repeat(43), terminal: "e3" }, 403, "TOKEN_INVALID"],
    ["no token", { terminal: "e3" }, 400, "REQUEST_INVALID"],
    ["a name that is none", { token: "x", terminal: "../e3" }, 400, "REQUEST_INVALID"],
    ["a key that could be guessed", { token: "x", terminal: "e3", key: "secret" }, 400, "REQUEST_INVALID"],
  ])("refuses %s", async (_, call, status, code) => {
    expect(await enrol(call)).toMatchObject({ status, json: { code } });
  });

  test("a token made for one terminal does not enrol another", async () => {
    const token = await tokenFor({ terminal: "e4" });
    expect(await enrol({ token, terminal: "e5" })).toMatchObject({ status: 403, json: { code: "TOKEN_INVALID" } });
  });
});

describe("who may call", () => {
  test("no key, a broken header, and an unknown key are UNAUTHENTICATED", async () => {
    for (const authorization of [undefined, "", "Bearer", "Bearer a b", "Basic dDpw", `Bearer ${"x".repeat(43)}`]) {
      const answer = await hub.call("GET", "/v1/status", {
        headers: authorization === undefined ? {} : { authorization },
      });
      expect(answer).toMatchObject({ status: 401, json: { code: "UNAUTHENTICATED" } });
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    }
  });

  test("a revoked key is FORBIDDEN at once", async () => {
    const key = await hub.enrol("r1");
    expect((await hub.call("GET", "/v1/status", { key })).status).toBe(200);
    expect((await hub.call("POST", "/api/terminals/r1/revoke", { key: OPERATOR })).status).toBe(200);
    expect(await hub.call("GET", "/v1/status", { key })).toMatchObject({ status: 403, json: { code: "FORBIDDEN" } });
  });

  test("every endpoint refuses every other kind of caller", async () => {
    const keys: Readonly<Record<string, string>> = {
      terminal: await hub.enrol("r2"),
      viewer: VIEWER,
      operator: OPERATOR,
      admin: ADMIN,
      publisher: PUBLISHER,
    };
    const may = (kind: string, needed: string): boolean =>
      isRole(kind) && isRole(needed) ? mayActAs(kind, needed) : kind === needed;
    for (const route of hub.api.routes.filter(({ caller }) => caller !== "anyone")) {
      for (const kind of Object.keys(keys).filter((each) => !may(each, route.caller))) {
        const { status } = await hub.call(route.method, route.path.replaceAll(/\{[^}]+\}/g, "1"), {
          key: keys[kind] ?? "",
        });
        expect([401, 403], `${kind} at ${route.method} ${route.path}`).toContain(status);
      }
      expect((await hub.call(route.method, route.path.replaceAll(/\{[^}]+\}/g, "1"))).status).toBe(401);
    }
  });

  test("a terminal speaks for itself only: its lane is the one of its key", async () => {
    const [one, two] = [await hub.enrol("s1"), await hub.enrol("s2")];
    await hub.call("POST", "/v1/messages", { key: one, body: new TestLane("E1", 2).body(1, 2) });
    expect((await hub.call("GET", "/v1/status", { key: two })).json).toMatchObject({ terminal: "s2", lanes: [] });
    expect(await hub.ledger.lanes.of(terminalId("s2"))).toEqual([]);
  });
});

describe("the gatekeeper", () => {
  test("asks the ledger once for many requests, and again when its memory has aged", async () => {
    await hub.enrol("g1");
    const key = newSecret(systemRuntime.random);
    const terminal = await hub.ledger.terminals.get(terminalId("g1"));
    let asked = 0;
    let elapsed = 0;
    const terminals = { byKey: async () => (asked++, terminal) } as unknown as Ledger["terminals"];
    const { access } = hub.ledger;
    const runtime = { ...systemRuntime, clock: { ...systemRuntime.clock, elapsed: () => elapsed } };
    const gatekeeper = new Gatekeeper({ terminals, access }, [], runtime);
    for (let i = 0; i < 10; i++) await gatekeeper.terminal(`Bearer ${key}`);
    expect(asked).toBe(1);
    elapsed = 5_001;
    await gatekeeper.terminal(`Bearer ${key}`);
    expect(asked).toBe(2);
    gatekeeper.forget("g1");
    await gatekeeper.terminal(`bearer ${key}`);
    expect(asked).toBe(3);
  });

  test("no key and no token stands in the ledger's files, only their hashes", async () => {
    const token = await tokenFor({ terminal: "g2" });
    const key = String((await enrol({ token, terminal: "g2" })).json["key"]);
    const files = await Promise.all([hub.ledgerPath, `${hub.ledgerPath}-wal`].map((path) => readFile(path)));
    const holds = (bytes: Uint8Array): boolean => files.some((file) => file.includes(bytes));
    expect([holds(Buffer.from(key)), holds(Buffer.from(token))]).toEqual([false, false]);
    expect([holds(secretHash(key)), holds(secretHash(token))]).toEqual([true, true]);
  });
});

describe("what a terminal asks about itself", () => {
  test("an unchanged manifest costs nothing", async () => {
    const key = await hub.enrol("m1");
    const first = await hub.call("GET", "/v1/manifest", { key });
    const read = manifest.parse(first.json);
    expect(read.tables).toEqual([
      { name: "sale", direction: "up" },
      { name: "stock", direction: "both" },
      { name: "price", direction: "down" },
    ]);
    const etag = first.headers.get("etag") ?? "";
    for (const sent of [etag, `"x", ${etag}`, etag.replace("W/", ""), "*"]) {
      const again = await hub.call("GET", "/v1/manifest", { key, headers: { "if-none-match": sent } });
      expect([again.status, again.text, again.headers.get("etag")]).toEqual([304, "", etag]);
    }
    expect((await hub.call("GET", "/v1/manifest", { key, headers: { "if-none-match": '"other"' } })).status).toBe(200);
  });

  test("the status tells lanes, watermarks, cursor, and the skew of its clock", async () => {
    const key = await hub.enrol("m2");
    const lane = new TestLane("E1", 3);
    const tenMinutesFast = { "waybill-time": new Date(Date.now() + 600_000).toISOString(), "waybill-version": "0.1.0" };
    await hub.call("POST", "/v1/messages", { key, body: lane.body(1, 3), headers: tenMinutesFast });
    const status = statusAnswer.parse((await hub.call("GET", "/v1/status", { key })).json);
    expect(status.lanes).toMatchObject([
      { epoch: "E1", current: true, receivedThrough: 3, loadedThrough: 0, chain: lane.chain(3), partial: null },
    ]);
    expect(status.lanes[0]?.receivedAt).toMatch(/^\d{4}-/);
    await hub.api[Symbol.asyncDispose](); // writes what was seen; everything else goes on
    const seen = await hub.ledger.terminals.get(terminalId("m2"));
    expect(seen?.version).toBe("0.1.0");
    expect(Math.abs((seen?.skewMs ?? 0) - 600_000)).toBeLessThan(10_000);
  });
});
