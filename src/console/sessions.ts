import { WaybillError } from "../base/errors.ts";
import type { Actor } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import type { WireRequest } from "../hub/api/http.ts";
import { newSecret, sameHash, secretHash } from "../hub/api/secret.ts";

/** One signed-in browser. */
export type Session = {
  readonly actor: Actor;
  /** What the page sends with each act: a page of another site can make a browser send the cookie, but never this. */
  readonly proof: string;
};
type Kept = Session & { readonly until: number };
type Invitation = { readonly hash: Uint8Array; readonly secret: string; readonly until: number };

const COOKIE = "waybill_session";
/** The header that carries a session's proof. */
export const PROOF_HEADER = "x-waybill-proof";
const SESSION_MS = 12 * 60 * 60_000;
/** The oldest is signed out first. */
const MOST_SESSIONS = 1_000;
const INVITATION_MS = 15 * 60_000;
/** After so many failures within a minute nobody is let in until it has passed: guessing ends, whoever guesses. */
const MOST_FAILURES = 10;
const FAILURE_MS = 60_000;

/**
 * Who is signed in, in memory: a restart of the hub signs everybody out, and loses nothing else. Cookies are kept as hashes.
 * Later roles become members of `Session`; nothing else here asks what a person may do.
 */
export class Sessions {
  readonly #runtime: Runtime;
  readonly #operatorOfToken: (token: string) => Actor;
  readonly #invited: Actor;
  readonly #sessions = new Map<string, Kept>();
  #failures: readonly number[] = [];
  #invitation: Invitation | null = null;

  /** @param invited who an invitation signs in */
  constructor(runtime: Runtime, operatorOfToken: (token: string) => Actor, invited: Actor) {
    this.#runtime = runtime;
    this.#operatorOfToken = operatorOfToken;
    this.#invited = invited;
  }

  /** @throws UNAUTHENTICATED; FORBIDDEN for a token of another role; OVERLOADED after too many failures */
  signInByToken(token: string): { readonly session: Session; readonly cookie: string } {
    return this.#signIn(() => this.#operatorOfToken(token));
  }

  /** Uses the invitation up. @throws UNAUTHENTICATED when it is another, used or too old; OVERLOADED */
  signInByInvitation(secret: string): { readonly session: Session; readonly cookie: string } {
    return this.#signIn(() => {
      const invitation = this.#invitation;
      const known = invitation && invitation.until > this.#now() && sameHash(invitation.hash, secretHash(secret));
      if (!known) throw new WaybillError("UNAUTHENTICATED", "this link was used before or is too old; ask for another");
      this.#invitation = null;
      return this.#invited;
    });
  }

  invite(): string {
    if (this.#invitation === null || this.#invitation.until <= this.#now()) {
      const secret = this.#secret();
      this.#invitation = { hash: secretHash(secret), secret, until: this.#now() + INVITATION_MS };
    }
    return this.#invitation.secret;
  }

  /** The session of a request's cookie, if it has one that still counts. */
  of(request: WireRequest): Session | null {
    const name = nameOf(request);
    const kept = name === null ? undefined : this.#sessions.get(name);
    if (name === null || !kept) return null;
    if (kept.until > this.#now()) return kept;
    this.#sessions.delete(name);
    return null;
  }

  /** Ends the request's session; gives the cookie that makes the browser forget it. */
  signOut(request: WireRequest): string {
    const name = nameOf(request);
    if (name !== null) this.#sessions.delete(name);
    return cookieOf("", 0);
  }

  #signIn(check: () => Actor): { readonly session: Session; readonly cookie: string } {
    const now = this.#now();
    this.#failures = this.#failures.filter((at) => at > now - FAILURE_MS);
    if (this.#failures.length >= MOST_FAILURES) {
      const retryAfterSeconds = Math.ceil(((this.#failures[0] ?? now) + FAILURE_MS - now) / 1_000);
      throw new WaybillError("OVERLOADED", "too many sign-ins failed", { facts: { retryAfterSeconds } });
    }
    let actor: Actor;
    try {
      actor = check();
    } catch (thrown) {
      this.#failures = [...this.#failures, now];
      throw thrown;
    }
    const value = this.#secret();
    const session = { actor, proof: this.#secret() };
    const oldest = this.#sessions.keys().next();
    if (this.#sessions.size >= MOST_SESSIONS && !oldest.done) this.#sessions.delete(oldest.value);
    this.#sessions.set(secretHash(value).toString("base64"), { ...session, until: now + SESSION_MS });
    return { session, cookie: cookieOf(value, SESSION_MS / 1_000) };
  }

  #now(): number {
    return this.#runtime.clock.elapsed();
  }
  #secret(): string {
    return newSecret(this.#runtime.random);
  }
}

/** Strict: no link or form of another site ever arrives signed in. A proxy that speaks TLS adds `Secure`. */
const cookieOf = (value: string, seconds: number): string =>
  `${COOKIE}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict`;

function nameOf(request: WireRequest): string | null {
  const value = new RegExp(`(?:^|;\\s*)${COOKIE}=([\\w-]{1,100})(?:;|$)`).exec(request.headers["cookie"] ?? "")?.[1];
  return value === undefined ? null : secretHash(value).toString("base64");
}
