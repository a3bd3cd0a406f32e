import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openApi, OPERATOR, PUBLISHER, type Answer, type ApiStation, type Ask } from "../../test/kit/api.ts";
import { until } from "../../test/kit/until.ts";
import { serveConsole } from "./console.ts";
import { PROOF_HEADER } from "./sessions.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openApi({ parts: { browser: serveConsole } });
});
afterAll(() => hub.close());

type Browser = { readonly cookie: string; readonly proof: string };
async function signedIn(by: unknown = { token: OPERATOR }): Promise<Browser> {
  const answer = await hub.call("POST", "/api/session", { json: by });
  expect(answer.status).toBe(200);
  const cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  return { cookie, proof: String(answer.json["proof"]) };
}
const as = ({ cookie }: Browser, method: string, path: string, ask: Ask = {}): Promise<Answer> =>
  hub.call(method, path, { ...ask, headers: { cookie, ...ask.headers } });

describe("signing in", () => {
  test("an operator's token gives a cookie that scripts cannot read and other sites cannot send", async () => {
    const answer = await hub.call("POST", "/api/session", { json: { token: OPERATOR } });
    expect(answer.json).toMatchObject({ actor: "operator:anna" });
    const cookie = answer.headers.get("set-cookie") ?? "";
    for (const word of ["HttpOnly", "SameSite=Strict", "Path=/"]) expect(cookie).toContain(word);
    expect(cookie).not.toContain(OPERATOR);
    expect(answer.headers.get("cache-control")).toBe("no-store");
  });
  test("the cookie opens what operators see, and nobody comes in without one", async () => {
    const anna = await signedIn();
    expect((await as(anna, "GET", "/api/overview")).status).toBe(200);
    expect((await hub.call("GET", "/api/overview")).status).toBe(401);
    expect((await as({ cookie: "waybill_session=guess", proof: "" }, "GET", "/api/overview")).status).toBe(401);
    expect((await as(anna, "GET", "/api/session")).json).toMatchObject({ actor: "operator:anna" });
    expect((await hub.call("GET", "/api/session")).status).toBe(204);
  });
  test("an act needs the proof that only our page knows", async () => {
    const anna = await signedIn();
    const act = { json: { tags: {} } };
    expect((await as(anna, "POST", "/api/enroll-tokens", act)).status).toBe(403);
    expect((await as(anna, "POST", "/api/enroll-tokens", { ...act, headers: { [PROOF_HEADER]: "x" } })).status).toBe(
      403,
    );
    const proven = { ...act, headers: { [PROOF_HEADER]: anna.proof } };
    expect((await as(anna, "POST", "/api/enroll-tokens", proven)).status).toBe(201);
  });
  test("a page of another site cannot sign somebody in", async () => {
    const json = { token: OPERATOR };
    const answer = await hub.call("POST", "/api/session", { json, headers: { "sec-fetch-site": "cross-site" } });
    expect(answer.status).toBe(403);
  });
  test("a token of another role does not sign in", async () => {
    expect((await hub.call("POST", "/api/session", { json: { token: PUBLISHER } })).status).toBe(403);
  });
  test("who signed out is out", async () => {
    const anna = await signedIn();
    const out = await as(anna, "POST", "/api/session/end", { headers: { [PROOF_HEADER]: anna.proof } });
    expect(out.status).toBe(204);
    expect((await as(anna, "GET", "/api/overview")).status).toBe(401);
  });
  test("an invitation signs in once, and then there is another", async () => {
    const invitation = hub.api.invite();
    expect(invitation).not.toBeNull();
    expect(hub.api.invite()).toBe(invitation);
    const local = await signedIn({ invitation });
    expect((await as(local, "GET", "/api/session")).json).toMatchObject({ actor: "operator:local" });
    expect((await hub.call("POST", "/api/session", { json: { invitation } })).status).toBe(401);
    expect(hub.api.invite()).not.toBe(invitation);
  });
});

describe("what is served", () => {
  test("the page may load nothing from elsewhere and run nothing inline", async () => {
    const page = await hub.call("GET", "/");
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toContain("text/html");
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    const etag = page.headers.get("etag") ?? "";
    expect((await hub.call("GET", "/", { headers: { "if-none-match": etag } })).status).toBe(304);
  });
  test.each(["/assets/nothing.js", "/assets/..%2findex.html", "/assets/%2e%2e%2f%2e%2e%2fpackage.json"])(
    "%s is nothing",
    async (path) => {
      expect((await hub.call("GET", path)).status).toBe(404);
    },
  );
  test("terminals are found by a part of their name, page by page", async () => {
    for (const name of ["shop-1", "shop-2", "till-1"]) await hub.enrol(name);
    const anna = await signedIn();
    const find = async (query: string): Promise<Answer["json"]> => (await as(anna, "GET", `/api/fleet?${query}`)).json;
    expect(await find("text=SHOP")).toMatchObject({
      terminals: [{ terminal: "shop-1" }, { terminal: "shop-2" }],
      next: null,
    });
    expect(await find("text=shop&limit=1")).toMatchObject({ terminals: [{ terminal: "shop-1" }], next: "shop-1" });
    expect(await find("text=shop&limit=1&after=shop-1")).toMatchObject({ terminals: [{ terminal: "shop-2" }] });
    expect(await find("health=trouble")).toMatchObject({ terminals: [], next: null });
  });
  test("the history grows by itself", async () => {
    const anna = await signedIn();
    const points = await until(async () => {
      const { json } = await as(anna, "GET", "/api/history?span=minutes");
      return (json["points"] as readonly unknown[]).length > 0 && json["points"];
    });
    expect(points).toEqual(expect.arrayContaining([expect.objectContaining({ backlog: 0 })]));
  });
});

test("the stream tells the overview at once, and ends when the hub shuts down", async () => {
  await using own = await openApi({ parts: { browser: serveConsole } });
  const response = await fetch(`${own.address}/api/stream`, { headers: { authorization: `Bearer ${OPERATOR}` } });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader?.read();
  expect(first?.value).toMatch(/^event: picture\ndata: \{.*"overview":\{.*\}\n\n$/s);
  const closed = own.close();
  let last = await reader?.read();
  while (last?.done === false) last = await reader?.read();
  expect(last?.done).toBe(true);
  await closed;
});
