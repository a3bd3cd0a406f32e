import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ADMIN, openApi, type Answer, type ApiStation } from "../../test/kit/api.ts";
import { CLIENT, openIdProvider, type OpenIdProvider } from "../../test/kit/openid-provider.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import { later } from "../base/clock.ts";
import { oidcConfig, type OidcSettings } from "../hub/oidc-config.ts";
import { createLog } from "../observe/log.ts";
import type { Role } from "../ledger/access.ts";
import { serveConsole } from "./console.ts";
import { claimAt, nameOf, roleOf } from "./oidc-provider.ts";

const PUBLIC = "http://localhost:8420";
const ANNA = { preferred_username: "anna@shop.example", groups: ["staff", "waybill-admins"] };
const settingsFor = (issuer: string): OidcSettings =>
  oidcConfig.parse({
    ...CLIENT,
    issuer,
    publicUrl: PUBLIC,
    roleClaim: "groups",
    roles: { "waybill-admins": "admin", "waybill-viewers": "viewer" },
  });

/** Why sign-ins failed, as the hub's log tells admins. */
let whys: string[] = [];
const log = createLog({
  level: "warn",
  form: "json",
  to: { write: (line: string) => void whys.push(String((JSON.parse(line) as { why?: string }).why)) },
});
let ahead = 0;
const { clock } = systemRuntime;
const runtime: Runtime = { ...systemRuntime, clock: { ...clock, now: () => later(clock.now(), ahead) } };
let provider: OpenIdProvider;
let hub: ApiStation;
const openHub = (issuer = provider.issuer): Promise<ApiStation> =>
  openApi({ parts: { browser: serveConsole, log }, oidc: settingsFor(issuer), runtime });
beforeAll(async () => {
  provider = await openIdProvider();
});
beforeEach(async () => {
  Object.assign(provider.manners, { claims: ANNA, userinfo: {}, over: {}, forges: false, denies: null });
  ahead = 0;
  whys = [];
  hub = await openHub();
  return () => hub.close();
});
afterAll(() => provider.close());

const GET = { redirect: "manual" } as const;
const get = (path: string, cookie = "", at = hub): Promise<Response> =>
  fetch(`${at.address}${path}`, { ...GET, headers: { cookie } });
const cookiesOf = (response: Response): string[] =>
  response.headers.getSetCookie().map((each) => each.split(";")[0] ?? "");
const cookieOf = (response: Response): string => cookiesOf(response).join("; ");
const locationOf = (response: Response): string => response.headers.get("location") ?? "";

/** As a browser goes, up to the address at which the provider sends it back. */
async function toCallback(to = ""): Promise<{ readonly cookie: string; readonly back: string }> {
  const started = await get(`/oidc/start?to=${encodeURIComponent(to)}`);
  expect(started.status).toBe(303);
  const back = new URL(locationOf(await fetch(locationOf(started), GET)));
  expect(back.origin).toBe(PUBLIC);
  return { cookie: cookieOf(started), back: back.pathname + back.search };
}
async function comeBack(): Promise<Response> {
  const { cookie, back } = await toCallback();
  return get(back, cookie);
}
const sessionOf = (cookie: string): Promise<Answer> => hub.call("GET", "/api/session", { headers: { cookie } });

describe("signing in by an OpenID provider", () => {
  test("who has a role at the provider is signed in with it, where they wanted to go, and it is in the trail", async () => {
    expect((await hub.call("GET", "/api/ways-in")).json).toEqual({
      oidc: { label: "Sign in with your organisation", start: `${PUBLIC}/oidc/start` },
    });
    const { cookie, back } = await toCallback("#dead?state=held");
    const done = await get(back, cookie);
    expect(done).toMatchObject({ status: 303 });
    expect(locationOf(done)).toBe("/#dead?state=held");
    const [session, flow] = done.headers.getSetCookie();
    for (const word of ["waybill_session=", "HttpOnly", "SameSite=Strict"]) expect(session).toContain(word);
    expect(flow).toMatch(/^waybill_oidc=;.*Max-Age=0/);
    const who = { actor: "oidc:anna@shop.example", role: "admin" };
    expect((await sessionOf(cookieOf(done))).json).toMatchObject(who);
    const trail = await hub.call("GET", `/api/events?actor=${encodeURIComponent(who.actor)}`, { key: ADMIN });
    expect(trail.json).toMatchObject({ events: [{ kind: "signed in", actor: who.actor, detail: "role admin" }] });
  });

  test("the browser is sent with PKCE, state and nonce, and keeps a cookie that scripts cannot read", async () => {
    const started = await get("/oidc/start");
    const { searchParams } = new URL(locationOf(started));
    for (const name of ["state", "nonce", "code_challenge"]) expect(searchParams.get(name)).toMatch(/^[\w-]{43}$/);
    expect(Object.fromEntries(searchParams)).toMatchObject({
      code_challenge_method: "S256",
      redirect_uri: `${PUBLIC}/oidc/callback`,
      scope: "openid profile email",
    });
    const cookie = started.headers.get("set-cookie") ?? "";
    for (const word of ["HttpOnly", "SameSite=Lax", "Path=/oidc", "Max-Age=600"]) expect(cookie).toContain(word);
    expect(cookie).not.toContain(searchParams.get("state"));
  });

  test.each(["//evil.example/#x", "https://evil.example/", "/\\evil.example"])(
    "however the wish reads (%s), the way back is our own page",
    async (to) => {
      const { cookie, back } = await toCallback(to);
      expect(new URL(locationOf(await get(back, cookie)), PUBLIC)).toMatchObject({ origin: PUBLIC, pathname: "/" });
    },
  );

  test("groups that are told only when asked for count as well", async () => {
    Object.assign(provider.manners, {
      claims: {},
      userinfo: { groups: ["waybill-viewers"], preferred_username: "bea" },
    });
    const done = await comeBack();
    expect((await sessionOf(cookieOf(done))).json).toMatchObject({ actor: "oidc:bea", role: "viewer" });
  });

  test("whose role changed at the provider has the new one, in every session", async () => {
    const before = cookieOf(await comeBack());
    provider.manners.claims = { ...ANNA, groups: ["waybill-viewers"] };
    const after = cookieOf(await comeBack());
    expect((await sessionOf(after)).json).toMatchObject({ role: "viewer" });
    expect((await sessionOf(before)).json).toMatchObject({ role: "viewer" });
  });

  test("a new sign-in ends the session that the browser had, and who signs out is out", async () => {
    const first = cookieOf(await comeBack());
    await get("/oidc/start", first);
    expect((await sessionOf(first)).status).toBe(204);
    const second = cookieOf(await comeBack());
    const { proof } = (await sessionOf(second)).json;
    const headers = { cookie: second, "x-waybill-proof": String(proof) };
    expect((await hub.call("POST", "/api/session/end", { headers })).status).toBe(204);
    expect((await sessionOf(second)).status).toBe(204);
  });

  test("another hub of the same config ends what this one began", async () => {
    await using other = await openHub();
    const { cookie, back } = await toCallback();
    expect((await get(back, cookie, other)).status).toBe(303);
  });

  test("without it in the config there is no such door", async () => {
    await using plain = await openApi({ parts: { browser: serveConsole } });
    expect((await plain.call("GET", "/api/ways-in")).json).toEqual({ oidc: null });
    expect((await plain.call("GET", "/oidc/start")).status).toBe(404);
  });

  test("the config that operators see does not hold its secret", async () => {
    const { text, json } = await hub.call("GET", "/api/settings", { key: ADMIN });
    expect(json["oidc"]).toMatchObject({ issuer: provider.issuer, roleClaim: "groups" });
    expect(text).not.toContain(CLIENT.clientSecret);
  });
});

describe("nobody is signed in", () => {
  const refused = async (response: Response, status: number, words: RegExp): Promise<string> => {
    expect(cookieOf(response)).not.toMatch(/waybill_session/);
    expect(response.headers.get("content-type")).toContain("text/html");
    const page = await response.text();
    expect(page).toMatch(words);
    expect(response.status).toBe(status);
    return page;
  };

  test("by an answer with another state, or without the cookie of its beginning", async () => {
    const { cookie, back } = await toCallback();
    const [mine, theirs] = [new URL(back, PUBLIC), new URL((await toCallback()).back, PUBLIC)];
    await refused(await get(theirs.pathname + theirs.search, cookie), 400, /another browser/);
    await refused(await get(back), 400, /another browser/);
    await refused(await get(back, `${cookie.slice(0, -4)}AAAA`), 400, /another browser/);
    expect((await get(mine.pathname + mine.search, cookie)).status).toBe(303);
  });
  test("by an answer that was used, here or at another hub", async () => {
    await using other = await openHub();
    const { cookie, back } = await toCallback();
    const before = provider.exchanges();
    expect((await get(back, cookie)).status).toBe(303);
    await refused(await get(back, cookie), 400, /used already/);
    expect(provider.exchanges() - before, "the second one was not even asked for").toBe(1);
    await refused(await get(back, cookie, other), 403, /not signed in/);
    expect(whys.at(-1)).toMatch(/invalid_grant/);
  });
  test("by an answer that took too long", async () => {
    const { cookie, back } = await toCallback();
    ahead = 600_000;
    await refused(await get(back, cookie), 400, /ten minutes/);
  });
  test.each([
    ["a wrong nonce", { nonce: "another" }, /"nonce"/],
    ["no nonce", { nonce: undefined }, /"nonce"/],
    ["an expired token", { iat: 1_000_000, exp: 1_000_060 }, /"exp"/],
    ["a token for somebody else", { aud: "another-client" }, /"aud"/],
    ["a token of another provider", { iss: "http://localhost:1" }, /"iss"/],
  ])("by %s", async (_, over, why) => {
    provider.manners.over = over;
    await refused(await comeBack(), 403, /did not stand the checks/);
    expect(whys).toEqual([expect.stringMatching(why)]);
  });
  test("by a token that the provider's keys did not sign", async () => {
    provider.manners.forges = true;
    await refused(await comeBack(), 403, /did not stand the checks/);
    expect(whys).toEqual([expect.stringMatching(/signature/)]);
  });
  test("whom the provider refuses", async () => {
    provider.manners.denies = "access_denied";
    await refused(await comeBack(), 403, /did not let you in/);
    expect(whys).toEqual([expect.stringMatching(/access_denied/)]);
  });
  test("who has no role, and the page says so in plain text", async () => {
    provider.manners.claims = { groups: ["staff"], preferred_username: "<b>eve</b>" };
    const page = await refused(await comeBack(), 403, /nothing in “groups” of your account/);
    expect(page).toContain("&lt;b&gt;eve&lt;/b&gt;");
  });
  test("while the provider is down; passwords open the console all the same", async () => {
    const gone = await openIdProvider(ANNA);
    await using alone = await openHub(gone.issuer);
    const started = await get("/oidc/start", "", alone);
    const back = new URL(locationOf(await fetch(locationOf(started), GET)));
    await gone.close();
    await refused(await get(back.pathname + back.search, cookieOf(started), alone), 503, /does not answer.*localhost/s);
    await using later = await openHub(gone.issuer);
    await refused(await get("/oidc/start", "", later), 503, /does not answer/);
    expect(whys).toEqual([expect.stringMatching(/ECONNREFUSED/), expect.stringMatching(/ECONNREFUSED/)]);
    const json = { name: "anna", password: "correct horse battery" };
    await later.call("POST", "/api/operators", { key: ADMIN, json: { ...json, role: "viewer" } });
    expect((await later.call("POST", "/api/session", { json })).status).toBe(200);
  });
  test("after sixty failures within a minute", async () => {
    provider.manners.forges = true;
    let last = await comeBack();
    for (let tries = 1; tries < 60; tries++) last = await comeBack();
    expect(last.status).toBe(403);
    provider.manners.forges = false;
    await refused(await comeBack(), 429, /Too many/);
  });
});

describe("what a provider tells of a person", () => {
  const roles: Record<string, Role> = { a: "admin", o: "operator", v: "viewer" };
  test.each([
    [["v", "a", "o"], "admin"],
    [["x", "v"], "viewer"],
    ["o", "operator"],
    [["constructor"], null],
    [[1, null, {}], null],
    [undefined, null],
  ])("%j gives the role %s", (groups, role) => {
    expect(roleOf({ groups }, { roleClaim: "groups", roles })).toBe(role);
  });
  test("a claim is found by its whole name before its name is a path", () => {
    expect(claimAt({ "https://shop.example/roles": ["a"] }, "https://shop.example/roles")).toEqual(["a"]);
    expect(claimAt({ realm_access: { roles: ["a"] } }, "realm_access.roles")).toEqual(["a"]);
    expect(claimAt({ realm_access: null }, "realm_access.roles")).toBeUndefined();
  });
  test.each([
    ["Anna Muster", "Anna Muster"],
    ["two\nlines", "person-1"],
    ["", "person-1"],
    [7, "person-1"],
    ["a".repeat(129), "person-1"],
  ])("%j is called %s", (name, called) => {
    expect(nameOf({ sub: "person-1", name }, { nameClaim: "name" })).toBe(called);
  });
});
