import type { ClientAuth, Configuration } from "openid-client";
import type { Clock } from "../base/clock.ts";
import { secretHash } from "../hub/api/secret.ts";
import type { OidcSettings } from "../hub/oidc-config.ts";
import { mayActAs, type Role } from "../ledger/access.ts";

/** What one sign-in has to come back with. `verifier`: of PKCE; only its hash goes through the browser's address. */
export type Flow = { readonly state: string; readonly nonce: string; readonly verifier: string };
/** `why` is for the log: what the provider said may be of no help to a person, or not meant for one. */
export type Outcome =
  | { readonly kind: "known"; readonly name: string; readonly role: Role | null }
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "unreachable"; readonly why: string };

const TIMEOUT_SECONDS = 10;
/** What a provider says of itself is asked anew after this; its keys are asked whenever an unknown one turns up. */
const BELIEVE_MS = 3_600_000;
/** Faults of `openid-client` that say nothing of the person, but that no provider answered. */
const NO_ANSWER = new Set(["OAUTH_TIMEOUT", "OAUTH_RESPONSE_IS_NOT_CONFORM", "OAUTH_RESPONSE_IS_NOT_JSON"]);

type Known = { readonly config: Configuration; readonly until: number };

/** The OpenID provider of the config. `openid-client` is loaded with the first sign-in. */
export class OidcProvider {
  readonly #settings: OidcSettings;
  readonly #clock: Clock;
  #known: Promise<Known> | null = null;

  constructor(settings: OidcSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
  }

  get redirect(): URL {
    return new URL("/oidc/callback", this.#settings.publicUrl);
  }

  /** Where the person goes to say who they are; not a URL when there is no such place now. */
  async door({ state, nonce, verifier }: Flow): Promise<URL | Extract<Outcome, { readonly kind: "unreachable" }>> {
    try {
      const [{ buildAuthorizationUrl }, config] = await Promise.all([import("openid-client"), this.#configuration()]);
      return buildAuthorizationUrl(config, {
        redirect_uri: this.redirect.href,
        scope: this.#settings.scopes.join(" "),
        state,
        nonce,
        code_challenge: secretHash(verifier).toString("base64url"),
        code_challenge_method: "S256",
      });
    } catch (thrown) {
      return { kind: "unreachable", why: wordsOf(thrown) };
    }
  }

  /** Who came back: exchanges the code of `query`, and checks issuer, audience, signature, time, state and nonce. */
  async person(query: URLSearchParams, flow: Flow): Promise<Outcome> {
    try {
      const { authorizationCodeGrant, fetchUserInfo } = await import("openid-client");
      const config = await this.#configuration();
      const came = this.redirect;
      came.search = query.toString();
      const tokens = await authorizationCodeGrant(config, came, {
        expectedState: flow.state,
        expectedNonce: flow.nonce,
        pkceCodeVerifier: flow.verifier,
        idTokenExpected: true,
      });
      let claims: Claims = tokens.claims() ?? {};
      const { roleClaim } = this.#settings;
      // Some providers keep the token short and tell groups only when they are asked for.
      if (claimAt(claims, roleClaim) === undefined && config.serverMetadata().userinfo_endpoint !== undefined) {
        claims = { ...(await fetchUserInfo(config, tokens.access_token, String(claims["sub"]))), ...claims };
      }
      return { kind: "known", name: nameOf(claims, this.#settings), role: roleOf(claims, this.#settings) };
    } catch (thrown) {
      return { kind: isNoAnswer(thrown) ? "unreachable" : "refused", why: wordsOf(thrown) };
    }
  }

  /** Whoever asks meanwhile waits for the same answer; a failure is not remembered. */
  async #configuration(): Promise<Configuration> {
    const known = await this.#known;
    if (known && known.until > this.#clock.elapsed()) return known.config;
    const asked = (this.#known = this.#discover());
    asked.catch(() => (this.#known = null));
    return (await asked).config;
  }

  async #discover(): Promise<Known> {
    const oidc = await import("openid-client");
    const { issuer, clientId, clientSecret } = this.#settings;
    const [basic, post] = [oidc.ClientSecretBasic(clientSecret), oidc.ClientSecretPost(clientSecret)];
    const authenticate: ClientAuth = (server, ...rest) => {
      const ways = server.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
      return (ways.includes("client_secret_basic") ? basic : post)(server, ...rest);
    };
    const config = await oidc.discovery(new URL(issuer), clientId, undefined, authenticate, {
      timeout: TIMEOUT_SECONDS,
      execute: [
        oidc.enableNonRepudiationChecks, // the token's signature counts, not only that TLS brought it
        // oxlint-disable-next-line typescript/no-deprecated -- marked so as to stand out; the config takes http only of this machine
        ...(issuer.startsWith("http:") ? [oidc.allowInsecureRequests] : []),
      ],
    });
    return { config, until: this.#clock.elapsed() + BELIEVE_MS };
  }
}

type Claims = Readonly<Record<string, unknown>>;

/** A claim by its name, which may hold dots itself (`https://shop.example/roles`), or else by a path of names. */
export function claimAt(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Claims)[part];
  }
  return value;
}

/** The greatest role that any value of the claim gives. */
export function roleOf(claims: Claims, { roleClaim, roles }: Pick<OidcSettings, "roleClaim" | "roles">): Role | null {
  const told = claimAt(claims, roleClaim);
  const values: readonly unknown[] = Array.isArray(told) ? told : [told];
  let greatest: Role | null = null;
  for (const value of values) {
    if (typeof value !== "string" || !Object.hasOwn(roles, value)) continue;
    const role = roles[value];
    if (role !== undefined && (greatest === null || mayActAs(role, greatest))) greatest = role;
  }
  return greatest;
}

/** As the audit trail tells it: one line. `sub` is what every provider gives. */
export function nameOf(claims: Claims, { nameClaim }: Pick<OidcSettings, "nameClaim">): string {
  const told = claimAt(claims, nameClaim);
  return typeof told === "string" && /^[^\p{C}\p{Z}](?:[^\p{C}\p{Zl}\p{Zp}]{0,126}[^\p{C}\p{Z}])?$/u.test(told)
    ? told
    : String(claims["sub"]);
}

function isNoAnswer(thrown: unknown): boolean {
  const { code, status } = thrown as { readonly code?: string; readonly status?: number };
  return thrown instanceof TypeError || (code !== undefined && NO_ANSWER.has(code)) || (status ?? 0) >= 500;
}

/** Of the error and of what caused it; codes and words of the protocol, never a token. */
function wordsOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { error, cause } = thrown as Error & { readonly error?: string };
  const { code = "", message = "" } = (cause ?? {}) as { readonly code?: string; readonly message?: string };
  const told = [...new Set([code, message])].filter((each) => each !== "").join(": ");
  const below = told === "" ? "" : ` (${told})`;
  return `${error === undefined ? thrown.message : `${error}: ${thrown.message}`}${below}`.slice(0, 500);
}
