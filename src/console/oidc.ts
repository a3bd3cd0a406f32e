import { z } from "zod";
import { later } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import { actor } from "../base/ids.ts";
import type { BrowserSideParts } from "../hub/api/browser-side.ts";
import { empty, type WireRequest, type WireResponse } from "../hub/api/http.ts";
import { queryOf, route, type Route } from "../hub/api/route.ts";
import { newSecret } from "../hub/api/secret.ts";
import type { OidcSettings } from "../hub/oidc-config.ts";
import { Brake } from "./brake.ts";
import { noticePage, type Notice } from "./notice.ts";
import { OidcProvider, type Outcome } from "./oidc-provider.ts";
import { Seal } from "./sealed.ts";
import type { Sessions } from "./sessions.ts";

const COOKIE = "waybill_oidc";
/** For a person to find their password, and their second factor. */
const FLOW_MS = 600_000;

const flowShape = z.object({
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  /** The part behind # of the console's address that the person wanted. */
  to: z.string(),
  until: z.number(),
});
type StoredFlow = z.output<typeof flowShape>;

const startQuery = z.object({
  to: z.string().max(500).default("").describe("where in the console to go afterwards: the part behind #"),
});

/**
 * Sign-in by an OpenID provider: code flow with PKCE. What a sign-in must come back with is kept, sealed, in a cookie of the
 * browser that began it, so that any hub may end it and nobody else can; each is used once.
 */
export function oidcRoutes(settings: OidcSettings, parts: BrowserSideParts, sessions: Sessions): readonly Route[] {
  const desk = new OidcDesk(settings, parts, sessions);
  const page = { answer: { status: 303 }, faults: ["UNAVAILABLE"], method: "GET" } as const;
  return [
    route(
      "anyone",
      { ...page, path: "/oidc/start", summary: "Sends a browser to the OpenID provider", query: startQuery },
      async ({ request }) => desk.start(request, queryOf(startQuery, request).to),
    ),
    route(
      "anyone",
      { ...page, path: "/oidc/callback", summary: "Where the OpenID provider sends it back; answers with a cookie" },
      async ({ request }) => desk.end(request),
    ),
  ];
}

/** Nothing was asked of the provider. */
type Unheard = { readonly kind: "stray" } | { readonly kind: "busy" };

class OidcDesk {
  readonly #settings: OidcSettings;
  readonly #parts: BrowserSideParts;
  readonly #sessions: Sessions;
  readonly #provider: OidcProvider;
  readonly #seal: Seal;
  /** One of its own: while a provider does not answer, passwords are compared all the same. */
  readonly #brake: Brake;
  /** States of sign-ins that came back here, until when they could come again. Another hub is told by the provider: a code is good once. */
  readonly #used = new Map<string, number>();

  constructor(settings: OidcSettings, parts: BrowserSideParts, sessions: Sessions) {
    const { clock, random } = parts.runtime;
    this.#settings = settings;
    this.#parts = parts;
    this.#sessions = sessions;
    this.#provider = new OidcProvider(settings, clock);
    this.#seal = new Seal(settings.clientSecret, "waybill oidc sign-in", random);
    this.#brake = new Brake(clock);
  }

  async start(request: WireRequest, to: string): Promise<WireResponse> {
    const { clock, random } = this.#parts.runtime;
    const [state, nonce, verifier] = [newSecret(random), newSecret(random), newSecret(random)];
    const door = await this.#provider.door({ state, nonce, verifier });
    if (!(door instanceof URL)) return this.#refuse(door);
    // The provider's redirect will not bring the session's cookie along, so the one before ends here.
    await this.#sessions.signOut(request);
    const flow: StoredFlow = { state, nonce, verifier, to, until: later(clock.now(), FLOW_MS) };
    const cookie = this.#cookie(this.#seal.close(JSON.stringify(flow)), FLOW_MS / 1_000);
    return away(door.href, [cookie]);
  }

  async end(request: WireRequest): Promise<WireResponse> {
    const flow = this.#flowOf(request);
    if (flow === null || request.query.get("state") !== flow.state) return this.#stray();
    const came = await this.#cameBack(flow, request);
    if (came.kind === "stray") return this.#stray();
    if (came.kind === "busy") return noticePage(BUSY);
    const forget = this.#cookie("", 0);
    if (came.kind !== "known") return { ...this.#refuse(came), cookies: [forget] };
    if (came.role === null) {
      this.#parts.log.warn({ name: came.name, why: "no value of the role claim gives a role" }, "oidc.failed");
      return { ...noticePage(noRole(came.name, this.#settings)), cookies: [forget] };
    }
    const { cookie } = await this.#sessions.admit(actor(`oidc:${came.name}`), came.role, request);
    return away(`/${flow.to === "" ? "" : `#${flow.to.replace(/^#/, "")}`}`, [cookie, forget]);
  }

  async #cameBack(flow: StoredFlow, { query }: WireRequest): Promise<Outcome | Unheard> {
    let refused: Outcome = { kind: "refused", why: "" };
    try {
      const good = await this.#brake.guard(flow.state, async () => {
        if (!this.#useUp(flow)) return { kind: "stray" as const };
        const outcome = await this.#provider.person(query, flow);
        if (outcome.kind !== "refused") return outcome;
        refused = outcome;
        return null;
      });
      return good ?? refused;
    } catch (thrown) {
      if (thrown instanceof WaybillError && thrown.code === "OVERLOADED") return { kind: "busy" };
      throw thrown;
    }
  }

  #stray(): WireResponse {
    this.#parts.log.warn({ why: "the answer belongs to no sign-in of this browser" }, "oidc.failed");
    return noticePage(STRAY);
  }

  #refuse(outcome: Exclude<Outcome, { readonly kind: "known" }>): WireResponse {
    this.#parts.log.warn({ issuer: this.#settings.issuer, why: outcome.why }, "oidc.failed");
    return noticePage(outcome.kind === "unreachable" ? unreachable(this.#settings) : REFUSED);
  }

  #flowOf({ headers }: WireRequest): StoredFlow | null {
    const sealed = new RegExp(`(?:^|;\\s*)${COOKIE}=([\\w-]{1,4000})(?:;|$)`).exec(headers["cookie"] ?? "")?.[1];
    const text = sealed === undefined ? null : this.#seal.open(sealed);
    const read = flowShape.safeParse(text === null ? null : JSON.parse(text)); // a hub of another version may have made it
    return read.success && read.data.until > this.#parts.runtime.clock.now() ? read.data : null;
  }

  /** Whether it had not come back before. */
  #useUp({ state, until }: StoredFlow): boolean {
    const now = this.#parts.runtime.clock.now();
    for (const [old, end] of this.#used) {
      if (end > now) break; // in the order they came, which is nearly that of their ends
      this.#used.delete(old);
    }
    if (this.#used.has(state)) return false;
    this.#used.set(state, until);
    return true;
  }

  /** Lax: the provider's redirect, a visit from another site, must bring it along. */
  #cookie(value: string, seconds: number): string {
    const secure = this.#settings.publicUrl.startsWith("https:") ? "; Secure" : "";
    return `${COOKIE}=${value}; Path=/oidc; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`;
  }
}

const away = (location: string, cookies: readonly string[]): WireResponse => ({
  ...empty(303, { location, "cache-control": "no-store", "referrer-policy": "no-referrer" }),
  cookies,
});

const STRAY: Notice = {
  status: 400,
  title: "This sign-in cannot be ended here",
  what: "It was begun in another browser or another tab, more than ten minutes ago, or it has been used already.",
  todo: "Go back and begin anew.",
};
const REFUSED: Notice = {
  status: 403,
  title: "You are not signed in",
  what: "The sign-in provider did not let you in, or its answer did not stand the checks.",
  todo: "Begin anew. If it happens again, tell an admin: the hub's log says why (oidc.failed).",
};
const BUSY: Notice = {
  status: 429,
  title: "Too many sign-ins at once",
  what: "Many sign-ins failed within the last minute, or wait for the provider.",
  todo: "Begin anew in a minute.",
};
const noRole = (name: string, { roleClaim }: OidcSettings): Notice => ({
  status: 403,
  title: "You may not use this console yet",
  what: `You are known as ${name}, but nothing in “${roleClaim}” of your account gives you a role here.`,
  todo: "Ask whoever keeps your accounts to add you to a group that has one; admins find them in the config, under console.oidc.roles.",
});
const unreachable = ({ issuer }: OidcSettings): Notice => ({
  status: 503,
  title: "The sign-in provider does not answer",
  what: `${new URL(issuer).host} could not be reached from the hub, or did not answer as an OpenID provider does.`,
  todo: "Try again in a minute. Who has a name and password here can sign in by these meanwhile; for admins, the hub's log says more (oidc.failed).",
});
