import { WaybillError } from "../base/errors.ts";
import { actor, type Actor } from "../base/ids.ts";
import type { WireRequest } from "../hub/api/http.ts";
import type { BrowserSideParts } from "../hub/api/browser-side.ts";
import { isPassword, passwordHash } from "../hub/api/password.ts";
import { newSecret, secretHash } from "../hub/api/secret.ts";
import type { NewSession, Role, Session } from "../ledger/access.ts";
import { Brake } from "./brake.ts";

const COOKIE = "waybill_session";
/** The header that carries a session's proof: a page of another site can make a browser send the cookie, but never this. */
export const PROOF_HEADER = "x-waybill-proof";
/** A session ends after a working day, and earlier when nobody used it for so long. */
const SESSION_MS = 12 * 3_600_000;
const IDLE_MS = 2 * 3_600_000;
const INVITATION_MS = 15 * 60_000;
/** Who an invitation signs in: the same name as the token in the ledger's folder has. */
const LOCAL = actor("operator:local");

/** `cookie` goes to the browser alone, the session's proof to its page. */
export type SignedIn = { readonly session: Session; readonly cookie: string };
type Parts = Pick<BrowserSideParts, "ledger" | "runtime" | "log">;

/**
 * Who is signed in. Sessions are kept in the ledger, so that every hub knows them and a restart ends none; of each cookie and
 * invitation only the hash. Each sign-in makes a cookie of its own and ends the session the browser had before.
 */
export class Sessions {
  readonly #parts: Parts;
  readonly #brake: Brake;
  /** The last one made here. Whether it still stands, the ledger knows: another hub may have seen it used. */
  #invitation: string | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#brake = new Brake(parts.runtime.clock);
  }

  /** @throws SIGN_IN_FAILED; OVERLOADED after too many failures for this name, or from everybody */
  async signIn(name: string, password: string, request: WireRequest): Promise<SignedIn> {
    const { access } = this.#parts.ledger;
    const role = await this.#brake.guard(name, async () => {
      const known = await access.passwordOf(name);
      if (await isPassword(password, known?.password ?? null)) return known?.role ?? null;
      this.#parts.log.warn({ name }, "signin.failed");
      return null;
    });
    if (role === null) throw new WaybillError("SIGN_IN_FAILED", "no operator has this name and password");
    return this.#open({ operator: name, actor: operatorActor(name), role }, request);
  }

  /** Uses the invitation up. @throws UNAUTHENTICATED when it is another, used or too old; OVERLOADED */
  async accept(secret: string, request: WireRequest): Promise<SignedIn> {
    await this.#useUp(secret);
    return this.#open({ operator: null, actor: LOCAL, role: "admin" }, request);
  }

  /** Somebody whom another system knows and vouches for: no operator is kept here, the role is what it says this time. */
  async admit(who: Actor, role: Role, request: WireRequest): Promise<SignedIn> {
    return this.#open({ operator: null, actor: who, role }, request);
  }

  /** Makes the first operator, an admin, and signs in. @throws UNAUTHENTICATED; NAME_TAKEN when there is one already */
  async setUp(secret: string, name: string, password: string, request: WireRequest): Promise<SignedIn> {
    const { ledger, runtime } = this.#parts;
    if (!(await this.isNew())) throw new WaybillError("NAME_TAKEN", "there is an operator already; sign in as one");
    const hash = await passwordHash(password, runtime.random);
    await this.#useUp(secret);
    await ledger.access.addFirstOperator(name, hash, LOCAL);
    return this.#open({ operator: name, actor: operatorActor(name), role: "admin" }, request);
  }

  /** Nobody can sign in by name yet. */
  async isNew(): Promise<boolean> {
    return (await this.#parts.ledger.access.operators()).length === 0;
  }

  /** The same secret until it was used, at whichever hub, or is too old: whoever prints it may ask every second. */
  async invite(): Promise<string> {
    const { access } = this.#parts.ledger;
    const known = this.#invitation;
    if (known !== null && (await access.isInvited(secretHash(known)))) return known;
    const secret = this.#secret();
    this.#invitation = secret;
    await access.invite(secretHash(secret), INVITATION_MS);
    return secret;
  }

  /** The session of a request's cookie, if it has one that still counts. */
  async of(request: WireRequest): Promise<Session | null> {
    const hash = hashOf(request);
    return hash === null ? null : this.#parts.ledger.access.session(hash, IDLE_MS);
  }

  /** Ends the request's session; gives the cookie that makes the browser forget it. */
  async signOut(request: WireRequest): Promise<string> {
    const hash = hashOf(request);
    if (hash !== null) await this.#parts.ledger.access.closeSession(hash);
    return cookieOf("", 0, request);
  }

  async #useUp(secret: string): Promise<void> {
    const good = await this.#brake.guard("", async () => {
      return (await this.#parts.ledger.access.useInvitation(secretHash(secret))) || null;
    });
    if (good === null)
      throw new WaybillError("UNAUTHENTICATED", "this link was used before or is too old; ask for another");
  }

  async #open(who: Pick<NewSession, "operator" | "actor" | "role">, request: WireRequest): Promise<SignedIn> {
    const { access } = this.#parts.ledger;
    const before = hashOf(request);
    if (before !== null) await access.closeSession(before);
    const [value, proof] = [this.#secret(), this.#secret()];
    await access.openSession({ ...who, hash: secretHash(value), proof, validMs: SESSION_MS });
    return {
      session: { actor: who.actor, role: who.role, proof },
      cookie: cookieOf(value, SESSION_MS / 1_000, request),
    };
  }

  #secret(): string {
    return newSecret(this.#parts.runtime.random);
  }
}

const operatorActor = (name: string): Actor => actor(`operator:${name}`);

/** Strict: no link or form of another site ever arrives signed in. Behind a proxy that speaks TLS it travels by TLS only. */
function cookieOf(value: string, seconds: number, { headers }: WireRequest): string {
  const secure = headers["x-forwarded-proto"]?.split(",")[0]?.trim() === "https" ? "; Secure" : "";
  return `${COOKIE}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
}

function hashOf(request: WireRequest): Uint8Array | null {
  const value = new RegExp(`(?:^|;\\s*)${COOKIE}=([\\w-]{1,100})(?:;|$)`).exec(request.headers["cookie"] ?? "")?.[1];
  return value === undefined ? null : secretHash(value);
}
