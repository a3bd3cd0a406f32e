import type { Instant } from "../base/clock.ts";
import type { Actor, By } from "../base/ids.ts";

/** What a person or program may do, each including the one before: look; act on messages and terminals; say who may. */
export const ROLES = ["viewer", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];
export const mayActAs = (has: Role, needed: Role): boolean => ROLES.indexOf(has) >= ROLES.indexOf(needed);

/** A person who signs in. */
export type Operator = {
  readonly name: string;
  readonly role: Role;
  readonly madeAt: Instant;
  readonly signedInAt: Instant | null;
};
/** A program's key to the operator API; its secret was shown once. */
export type ApiToken = {
  readonly name: string;
  readonly role: Role;
  readonly madeBy: Actor;
  readonly madeAt: Instant;
  readonly expiresAt: Instant | null;
};
/** `operator` null: signed in as `actor` with `role`, by an invitation or because another system vouches for them. */
export type NewSession = {
  readonly hash: Uint8Array;
  readonly operator: string | null;
  readonly actor: Actor;
  readonly role: Role;
  /** What the page sends with each act; see console/sessions.ts. */
  readonly proof: string;
  readonly validMs: number;
};
export type Session = { readonly actor: Actor; readonly role: Role; readonly proof: string };

/** Who may use the operator API. Secrets are kept as hashes only; passwords as what `hub/api/password.ts` makes of them. */
export interface Access {
  operators(): Promise<readonly Operator[]>;
  /** @throws NAME_TAKEN */
  addOperator(name: string, role: Role, password: string, by: By): Promise<void>;
  /**
   * The first operator of all, an admin: of two who come at once one is refused.
   * @throws NAME_TAKEN when there is any operator
   */
  addFirstOperator(name: string, password: string, by: By): Promise<void>;
  /** Changes what is given and ends all of the operator's sessions. @throws NOT_FOUND; LAST_ADMIN */
  changeOperator(name: string, change: { readonly role?: Role; readonly password?: string }, by: By): Promise<void>;
  /** With all its sessions. @throws NOT_FOUND; LAST_ADMIN */
  removeOperator(name: string, by: By): Promise<void>;
  /** The hash to compare with; null for an unknown name. */
  passwordOf(name: string): Promise<{ readonly password: string; readonly role: Role } | null>;

  tokens(): Promise<readonly ApiToken[]>;
  /** `validMs` null: until it is revoked. @throws NAME_TAKEN */
  addToken(
    token: { readonly hash: Uint8Array; readonly name: string; readonly role: Role; readonly validMs: number | null },
    by: By,
  ): Promise<void>;
  /** Null when it is unknown, revoked or expired. */
  tokenBy(hash: Uint8Array): Promise<{ readonly name: string; readonly role: Role } | null>;
  /** @throws NOT_FOUND */
  revokeToken(name: string, by: By): Promise<void>;

  /** Without `operator`, all sessions of this actor have the role of the newest: whoever vouches for them says what is so now. */
  openSession(session: NewSession): Promise<void>;
  /**
   * Null when it ended, was unused for `idleMs`, or is too old. The role is the operator's as it is now. Being asked for
   * counts as use, to the minute.
   */
  session(hash: Uint8Array, idleMs: number): Promise<Session | null>;
  closeSession(hash: Uint8Array): Promise<void>;

  /** A secret that signs in once. Those too old are forgotten. */
  invite(hash: Uint8Array, validMs: number): Promise<void>;
  /** Whether it would be good now; nothing is used up. */
  isInvited(hash: Uint8Array): Promise<boolean>;
  /** Whether it was good; it is used up then. */
  useInvitation(hash: Uint8Array): Promise<boolean>;
}

/** A use is written down at most this often. */
export const SEEN_EVERY_MS = 60_000;
