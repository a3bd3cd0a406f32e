import type { FaultCode } from "../src/base/errors.ts";
import type { WaysIn } from "../src/console/console.ts";
import type { Picture } from "../src/console/watch.ts";
import type { Point } from "../src/console/recent.ts";
import { mayActAs, type Role } from "../src/ledger/access.ts";
import type { Minute } from "../src/ledger/history.ts";
import type { TerminalLine } from "../src/ledger/fleet.ts";
import type { ExceptionRow } from "../src/ledger/exceptions.ts";
import type { LaneStatus, Terminal } from "../src/ledger/port.ts";
import type { Event } from "../src/ledger/trail.ts";
import type { TraceAnswer, TracedMessage } from "../src/hub/api/trace.ts";

export type { Event, ExceptionRow, Minute, Picture, Point, Role, TraceAnswer, TracedMessage, WaysIn };
/** A page of `GET /api/terminals`. */
export type FleetPage = { readonly terminals: readonly TerminalLine[]; readonly next: string | null };
export type Session = { readonly actor: string; readonly role: Role; readonly proof: string };
export type TerminalPage = {
  readonly restored: { readonly at: number; readonly reason: string } | null;
  readonly terminal: Terminal;
  readonly line: TerminalLine | null;
  readonly lanes: readonly (Omit<LaneStatus, "chain"> & { readonly chain: string })[];
  readonly refusedUpdates: readonly {
    readonly id: number;
    readonly code: FaultCode;
    readonly detail: string;
    readonly at: number;
  }[];
};

/** What the hub refused, in its own words. */
export class Refusal extends Error {
  readonly status: number;
  readonly hint: string;
  constructor(status: number, what: string, hint: string) {
    super(what);
    this.status = status;
    this.hint = hint;
  }
}

let session: Session | null = null;
let onSignedOut: () => void = () => undefined;
/** Calls `then` whenever the hub no longer knows this browser. */
export function whenSignedOut(then: () => void): void {
  onSignedOut = then;
}

export async function currentSession(): Promise<Session | null> {
  session = await call<Session | null>("GET", "/api/session");
  return session;
}
/** Whether the person at this browser may do what needs this role; the hub decides again at each call. */
export const may = (needed: Role): boolean => session !== null && mayActAs(session.role, needed);
export async function setUp(by: { invitation: string; name: string; password: string }): Promise<Session> {
  session = await call<Session>("POST", "/api/setup", by);
  return session;
}
export const waysIn = (): Promise<WaysIn> => call<WaysIn>("GET", "/api/ways-in");
export async function signIn(by: { name: string; password: string } | { invitation: string }): Promise<Session> {
  session = await call<Session>("POST", "/api/session", by);
  return session;
}
export async function signOut(): Promise<void> {
  await call("POST", "/api/session/end");
  session = null;
  onSignedOut();
}

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> => call<T>("GET", path, undefined, signal);
export const post = <T>(path: string, body: unknown): Promise<T> => call<T>("POST", path, body);

/** `path("api", "trace", terminal, "E1/7")`: every part is escaped, also the slash within one. */
export const path = (...parts: readonly string[]): string => `/${parts.map(encodeURIComponent).join("/")}`;
export function query(values: Readonly<Record<string, string | number | null | undefined>>): string {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length === 0 ? "" : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}
/** The address of one message under /api/exceptions, for acts. */
export const exceptionPath = (lane: string, seq: number): string =>
  `/api/exceptions/${lane.split("/").map(encodeURIComponent).join("/")}/${seq}`;

async function call<T>(method: string, to: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await fetch(to, {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(session === null ? {} : { "x-waybill-proof": session.proof }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (response.status === 204) return null as T;
  if (response.ok) return (await response.json()) as T;
  const refusal = await refusalOf(response);
  if (response.status === 401 && session !== null) {
    session = null;
    onSignedOut();
  }
  throw refusal;
}

async function refusalOf(response: Response): Promise<Refusal> {
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; title?: string; hint?: string };
  const what = problem.detail ?? problem.title ?? `the hub answered ${response.status}`;
  return new Refusal(response.status, what, problem.hint ?? "");
}
