import type { z } from "zod";
import { WaybillError, type FaultCode } from "../../base/errors.ts";
import type { Act } from "../../base/ids.ts";
import type { Role } from "../../ledger/access.ts";
import type { Terminal } from "../../ledger/port.ts";
import type { WireRequest, WireResponse } from "./http.ts";
import type { RequestSpan } from "./request-span.ts";
import type { Sight } from "./sight.ts";

/** A person who signed in, or a program by its API token. */
export type Person<As> = { readonly as: As; readonly by: Act; readonly role: Role; readonly sight: Sight };
/**
 * Who may call: anyone, a terminal by its key, a publisher by its token, or a person who has at least the role named (an
 * operator may do what a viewer may, an admin everything).
 */
export type Caller = {
  readonly anyone: { readonly as: "anyone" };
  readonly terminal: { readonly as: "terminal"; readonly terminal: Terminal };
  readonly publisher: { readonly as: "publisher"; readonly by: Act };
  readonly viewer: Person<"viewer">;
  readonly operator: Person<"operator">;
  readonly admin: Person<"admin">;
};
export type CallerKind = keyof Caller;

/** What a handler gets: everything checked, nothing raw. */
export type Call<Kind extends CallerKind, Body> = {
  readonly caller: Caller[Kind];
  readonly request: WireRequest;
  /** Parts of the path, percent-decoded: `/api/terminals/{id}/revoke` gives `id`. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: Body;
  /** The JSON body as it came: numbers in it may say more than JSON.parse kept. Empty for other bodies. */
  readonly text: string;
  readonly span: RequestSpan;
};

/** How a body is read: not at all, as JSON of a schema, or as decompressed bytes for a reader of its own. */
export type BodyKind = "none" | "json" | "bytes";

/** One line of the hub's only table of endpoints: dispatch, checks and /openapi.json are made from it. */
export type Route = {
  readonly method: "GET" | "POST";
  /** `/api/terminals/{id}/revoke` */
  readonly path: string;
  readonly caller: CallerKind;
  readonly summary: string;
  readonly query?: z.ZodObject;
  readonly body: BodyKind;
  readonly bodySchema?: z.ZodType;
  /** Status and schema of the good answer; no schema for NDJSON, which docs/wire.md describes. */
  readonly answer: { readonly status: number; readonly schema?: z.ZodType; readonly ndjson?: boolean };
  readonly faults: readonly FaultCode[];
  readonly handle: (call: Call<CallerKind, unknown>) => Promise<WireResponse>;
};

/** The query by a route's schema; parameters it does not name are ignored. @throws REQUEST_INVALID with `path` */
export function queryOf<Schema extends z.ZodObject>(schema: Schema, request: WireRequest): z.output<Schema> {
  return checked(schema, Object.fromEntries(request.query), "query");
}
/** @throws REQUEST_INVALID with `path`, naming what was expected, never what came */
export function checked<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  const path = [where, ...(issue?.path ?? [])].join(".");
  throw new WaybillError("REQUEST_INVALID", `${path}: ${issue?.message ?? "has another shape"}`, { facts: { path } });
}

type Handler<Kind extends CallerKind, Body> = (call: Call<Kind, Body>) => Promise<WireResponse>;
type Described = Omit<Route, "handle" | "body" | "bodySchema" | "caller">;

/** A route without body. */
export function route<Kind extends CallerKind>(caller: Kind, described: Described, handle: Handler<Kind, null>): Route {
  return { ...described, caller, body: "none", handle: handle as Route["handle"] };
}
/** A route whose body is JSON of this shape; anything else is REQUEST_INVALID before the handler is called. */
export function jsonRoute<Kind extends CallerKind, Schema extends z.ZodType>(
  caller: Kind,
  described: Described,
  schema: Schema,
  handle: Handler<Kind, z.output<Schema>>,
): Route {
  return { ...described, caller, body: "json", bodySchema: schema, handle: handle as Route["handle"] };
}
/** A route that reads its body itself. */
export function bytesRoute<Kind extends CallerKind>(
  caller: Kind,
  described: Described,
  handle: Handler<Kind, Uint8Array>,
): Route {
  return { ...described, caller, body: "bytes", handle: handle as Route["handle"] };
}

export type Found = { readonly route: Route; readonly params: Readonly<Record<string, string>> };

/** Routes by path, all segments literal or `{name}`. Few enough that a walk over them is nothing beside the request itself. */
export class RouteTable {
  readonly routes: readonly Route[];
  readonly #patterns: readonly { readonly route: Route; readonly segments: readonly string[] }[];

  constructor(routes: readonly Route[]) {
    this.routes = routes;
    this.#patterns = routes.map((each) => ({ route: each, segments: each.path.split("/") }));
  }

  /** HEAD finds GET. @throws NOT_FOUND; METHOD_NOT_ALLOWED with `allow` */
  find(method: string, path: string): Found {
    const segments = path.split("/");
    const allowed = new Set<string>();
    for (const { route: each, segments: pattern } of this.#patterns) {
      const params = matched(pattern, segments);
      if (!params) continue;
      if (each.method === method || (method === "HEAD" && each.method === "GET")) return { route: each, params };
      allowed.add(each.method);
    }
    const what = `${method} ${path.slice(0, 200)}`;
    if (allowed.size === 0) throw new WaybillError("NOT_FOUND", `there is no ${path.slice(0, 200)}`);
    throw new WaybillError("METHOD_NOT_ALLOWED", what, { facts: { allow: [...allowed].join(", ") } });
  }
}

function matched(pattern: readonly string[], segments: readonly string[]): Record<string, string> | null {
  if (pattern.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (let i = 0; i < pattern.length; i++) {
    const [wanted = "", given = ""] = [pattern[i], segments[i]];
    if (!wanted.startsWith("{")) {
      if (wanted !== given) return null;
    } else {
      const value = decoded(given);
      if (value === null || value === "") return null;
      params[wanted.slice(1, -1)] = value;
    }
  }
  return params;
}

function decoded(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null; // a broken escape names nothing
  }
}
