import { fileURLToPath } from "node:url";
import { z } from "zod";
import { later } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import type { BrowserSide, BrowserSideParts } from "../hub/api/browser-side.ts";
import { empty, json, type WireRequest, type WireResponse } from "../hub/api/http.ts";
import { jsonRoute, queryOf, route, type Route } from "../hub/api/route.ts";
import { newPassword } from "../hub/api/password.ts";
import { personName } from "../hub/api/operator/people.ts";
import type { Session } from "../ledger/access.ts";
import { assetRoutes } from "./assets.ts";
import { oidcRoutes } from "./oidc.ts";
import { PROOF_HEADER, Sessions } from "./sessions.ts";
import { Watch } from "./watch.ts";

/** Where `npm run build:console` puts the page; beside `src/` and beside `dist/` alike. */
const BUILT = fileURLToPath(new URL("../../dist-console", import.meta.url));
const DAY_MS = 24 * 3_600_000;

const secret = z.string().trim().min(1).max(512);
const signInCall = z.union([
  z.object({ name: z.string().trim().min(1).max(64), password: z.string().min(1).max(512) }),
  z.object({ invitation: secret.describe("the part behind # of a link that signs in once") }),
]);
const setUpCall = z.object({ invitation: secret, name: personName, password: newPassword });
const historyQuery = z.object({
  span: z
    .enum(["minutes", "hours"])
    .default("minutes")
    .describe("the last ten minutes by the second, or the last day by the minute"),
});
/** The console's server side: the page, who is signed in, and what is live. Give it to `startHub` as `browser`. */
export function serveConsole(parts: BrowserSideParts): BrowserSide {
  const sessions = new Sessions(parts);
  const watch = new Watch(parts);
  return {
    routes: [
      ...assetRoutes(BUILT),
      ...sessionRoutes(sessions),
      ...waysIn(parts, sessions),
      ...liveRoutes(parts, watch),
    ],
    async personOf(request) {
      const session = await sessions.of(request);
      if (session && !isLook(request)) prove(session, request);
      return session;
    },
    invite: () => sessions.invite(),
    drain: () => watch.end(),
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

const isLook = ({ method }: WireRequest): boolean => method === "GET" || method === "HEAD";

function prove(session: Session, request: WireRequest): void {
  if (request.headers[PROOF_HEADER] !== session.proof)
    throw new WaybillError("FORBIDDEN", `an act of a signed-in browser needs the header ${PROOF_HEADER}`);
}

/** A page of another site must not sign somebody in as somebody else. */
function refuseOtherSites({ headers }: WireRequest): void {
  const site = headers["sec-fetch-site"] ?? "same-origin";
  if (site !== "same-origin" && site !== "none")
    throw new WaybillError("FORBIDDEN", "a page of another site cannot sign in here");
}

function sessionRoutes(sessions: Sessions): readonly Route[] {
  const shown = ({ actor: who, role, proof }: Session, headers: Readonly<Record<string, string>> = {}): WireResponse =>
    json(200, { actor: who, role, proof }, { "cache-control": "no-store", ...headers });
  return [
    jsonRoute(
      "anyone",
      {
        method: "POST",
        path: "/api/session",
        summary: "Sign a browser in; answers with a cookie",
        answer: { status: 200 },
        faults: ["SIGN_IN_FAILED", "UNAUTHENTICATED", "FORBIDDEN", "OVERLOADED"],
      },
      signInCall,
      async ({ body, request }) => {
        refuseOtherSites(request);
        const { session, cookie } =
          "name" in body
            ? await sessions.signIn(body.name, body.password, request)
            : await sessions.accept(body.invitation, request);
        return shown(session, { "set-cookie": cookie });
      },
    ),
    jsonRoute(
      "anyone",
      {
        method: "POST",
        path: "/api/setup",
        summary: "Make the first operator, an admin, by the link that the hub printed; answers with a cookie",
        answer: { status: 200 },
        faults: ["UNAUTHENTICATED", "FORBIDDEN", "NAME_TAKEN", "OVERLOADED"],
      },
      setUpCall,
      async ({ body: { invitation, name, password }, request }) => {
        refuseOtherSites(request);
        const { session, cookie } = await sessions.setUp(invitation, name, password, request);
        return shown(session, { "set-cookie": cookie });
      },
    ),
    route(
      "anyone",
      {
        method: "GET",
        path: "/api/session",
        summary: "Who is signed in by this cookie; 204 when nobody is",
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) => {
        const session = await sessions.of(request);
        return session ? shown(session) : empty(204, { "cache-control": "no-store" });
      },
    ),
    route(
      "viewer",
      { method: "POST", path: "/api/session/end", summary: "Sign out", answer: { status: 204 }, faults: [] },
      async ({ request }) => empty(204, { "set-cookie": await sessions.signOut(request) }),
    ),
  ];
}

/** How else people get in, besides name and password. */
export type WaysIn = { readonly oidc: { readonly label: string; readonly start: string } | null };

function waysIn(parts: BrowserSideParts, sessions: Sessions): readonly Route[] {
  const { oidc } = parts;
  // The whole address: the cookie that waits for the answer must be of the host that the provider sends people back to.
  const start = oidc && new URL("/oidc/start", oidc.publicUrl).href;
  const ways: WaysIn = { oidc: oidc && start !== null ? { label: oidc.label, start } : null };
  const described = {
    method: "GET",
    path: "/api/ways-in",
    summary: "How people sign in besides name and password",
  } as const;
  return [
    route("anyone", { ...described, answer: { status: 200 }, faults: [] }, async () => json(200, ways)),
    ...(oidc ? oidcRoutes(oidc, parts, sessions) : []),
  ];
}

function liveRoutes({ ledger, runtime }: BrowserSideParts, watch: Watch): readonly Route[] {
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/stream",
        summary: "The overview as server-sent events: whole at first, then once a second what has changed of it",
        answer: { status: 200 },
        faults: ["OVERLOADED"],
      },
      async ({ request }) => {
        const headers = { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" };
        if (request.method === "HEAD") return empty(200, headers);
        return { ...empty(200, headers), stream: watch.stream(request.signal) };
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/history",
        summary: "How things were: the last ten minutes by the second (running totals), or the last day by the minute",
        query: historyQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) =>
        queryOf(historyQuery, request).span === "minutes"
          ? json(200, { points: watch.recent.points() })
          : json(200, { minutes: await ledger.history.since(later(runtime.clock.now(), -DAY_MS)) }),
    ),
  ];
}
