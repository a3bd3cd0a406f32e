import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADMIN, openApi, VIEWER, type Answer, type ApiStation, type Ask } from "../../test/kit/api.ts";
import { until } from "../../test/kit/until.ts";
import { serveConsole } from "./console.ts";
import { PROOF_HEADER } from "./sessions.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openApi({ parts: { browser: serveConsole } });
  const json = { ...ANNA, role: "operator" };
  await hub.call("POST", "/api/operators", { key: ADMIN, json });
});
afterAll(() => hub.close());

type Browser = { readonly cookie: string; readonly proof: string };
const PASSWORD = "correct horse battery";
const ANNA = { name: "anna", password: PASSWORD };
async function signedIn(by: unknown = ANNA): Promise<Browser> {
  const answer = await hub.call("POST", "/api/session", { json: by });
  expect(answer.status).toBe(200);
  const cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  return { cookie, proof: String(answer.json["proof"]) };
}
const as = ({ cookie }: Browser, method: string, path: string, ask: Ask = {}): Promise<Answer> =>
  hub.call(method, path, { ...ask, headers: { cookie, ...ask.headers } });

describe("signing in", () => {
  test("a name and its password give a cookie that scripts cannot read and other sites cannot send", async () => {
    const answer = await hub.call("POST", "/api/session", { json: ANNA });
    expect(answer.json).toMatchObject({ actor: "operator:anna", role: "operator" });
    const cookie = answer.headers.get("set-cookie") ?? "";
    for (const word of ["HttpOnly", "SameSite=Strict", "Path=/"]) expect(cookie).toContain(word);
    expect(cookie).not.toContain("Secure"); // no TLS here
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
    const json = ANNA;
    const answer = await hub.call("POST", "/api/session", { json, headers: { "sec-fetch-site": "cross-site" } });
    expect(answer.status).toBe(403);
  });
  test("behind a proxy that speaks TLS the cookie travels by TLS only", async () => {
    const headers = { "x-forwarded-proto": "https" };
    const answer = await hub.call("POST", "/api/session", { json: ANNA, headers });
    expect(answer.headers.get("set-cookie")).toContain("; Secure");
  });
  test("a wrong password and an unknown name are refused in the same words", async () => {
    const refused = await Promise.all(
      [
        { ...ANNA, password: "wrong" },
        { ...ANNA, name: "nobody" },
      ].map((json) => hub.call("POST", "/api/session", { json })),
    );
    const told = refused.map(({ status, json }) => ({ status, code: json["code"], detail: json["detail"] }));
    expect(told[0]).toMatchObject({ status: 401, code: "SIGN_IN_FAILED" });
    expect(told[1]).toEqual(told[0]);
  });
  test("signing in again makes another session and ends the one before", async () => {
    const anna = await signedIn();
    const again = await as(anna, "POST", "/api/session", { json: ANNA });
    expect(again.headers.get("set-cookie")).not.toContain(anna.cookie);
    expect((await as(anna, "GET", "/api/overview")).status).toBe(401);
  });
  test("a new password ends every session, and a viewer's session cannot act", async () => {
    const bea = { name: "bea", password: PASSWORD, role: "viewer" };
    await hub.call("POST", "/api/operators", { key: ADMIN, json: bea });
    const browser = await signedIn({ name: "bea", password: PASSWORD });
    const act = { json: { tags: {} }, headers: { [PROOF_HEADER]: browser.proof } };
    expect((await as(browser, "POST", "/api/enroll-tokens", act)).json).toMatchObject({ code: "FORBIDDEN" });
    const changed = await hub.call("POST", "/api/operators/bea", {
      key: ADMIN,
      json: { password: "another long password" },
    });
    expect(changed).toMatchObject({ status: 200, json: { name: "bea" } });
    expect((await as(browser, "GET", "/api/overview")).status).toBe(401);
  });
  test("who signed out is out", async () => {
    const anna = await signedIn();
    const out = await as(anna, "POST", "/api/session/end", { headers: { [PROOF_HEADER]: anna.proof } });
    expect(out.status).toBe(204);
    expect((await as(anna, "GET", "/api/overview")).status).toBe(401);
  });
  test("an invitation signs in once, and then there is another", async () => {
    const invitation = await hub.api.invite();
    expect(invitation).not.toBeNull();
    expect(await hub.api.invite()).toBe(invitation);
    const local = await signedIn({ invitation });
    expect((await as(local, "GET", "/api/session")).json).toMatchObject({ actor: "operator:local", role: "admin" });
    expect((await hub.call("POST", "/api/session", { json: { invitation } })).status).toBe(401);
    expect(await hub.api.invite()).not.toBe(invitation);
  });
});

describe("the first operator", () => {
  test("is made by the link that the hub printed, once, and is an admin", async () => {
    await using fresh = await openApi({ parts: { browser: serveConsole } });
    const json = { invitation: await fresh.api.invite(), name: "root", password: PASSWORD };
    expect(await fresh.call("POST", "/api/setup", { json: { ...json, password: "short" } })).toMatchObject({
      status: 400,
      json: { path: "body.password" },
    });
    expect(await fresh.call("POST", "/api/setup", { json: { ...json, invitation: "guess" } })).toMatchObject({
      status: 401,
    });
    const made = await fresh.call("POST", "/api/setup", { json });
    expect(made.json).toMatchObject({ actor: "operator:root", role: "admin" });
    const again = { ...json, invitation: await fresh.api.invite(), name: "eve" };
    expect((await fresh.call("POST", "/api/setup", { json: again })).json).toMatchObject({ code: "NAME_TAKEN" });
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
  test("the history grows by itself", async () => {
    const anna = await signedIn();
    const points = await until(async () => {
      const { json } = await as(anna, "GET", "/api/history?span=minutes");
      return (json["points"] as readonly unknown[]).length > 0 && json["points"];
    });
    expect(points).toEqual(expect.arrayContaining([expect.objectContaining({ backlog: 0 })]));
  });
});

test("the stream tells the overview at once, then what has changed of it, and ends when the hub shuts down", async () => {
  await using own = await openApi({ parts: { browser: serveConsole } });
  const response = await fetch(`${own.address}/api/stream`, { headers: { authorization: `Bearer ${VIEWER}` } });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader?.read();
  expect(first?.value).toMatch(/^event: picture\ndata: \{.*"overview":\{.*\}\n\n$/s);
  // Then only what has changed: the time does, and nothing that stayed is told again.
  const [, changes = ""] = /^event: changes\ndata: (\[.*\])\n\n$/s.exec((await reader?.read())?.value ?? "") ?? [];
  expect(JSON.parse(changes)).toContainEqual([["at"], expect.any(Number)]);
  expect(changes).not.toContain("terminals");
  const closed = own.close();
  let last = await reader?.read();
  while (last?.done === false) last = await reader?.read();
  expect(last?.done).toBe(true);
  await closed;
});
