import { z } from "zod";
import type { Route } from "../../src/hub/api/route.ts";
import { ADMIN, PUBLISHER } from "../kit/api.ts";
import type { Plain } from "./http.ts";

/**
 * A good request for each endpoint there is, by its own schemas: so an endpoint that is added is fuzzed from its first day.
 * `names` are put into the path by their names (`{terminal}`); what has no name there is `1`.
 */
export function everyRoute(
  routes: readonly Route[],
  names: Readonly<Record<string, string>>,
  key: string,
): (() => Plain)[] {
  return routes.map((route) => () => {
    const bearer = { terminal: key, publisher: PUBLISHER, anyone: null }[route.caller as string];
    const token = bearer === undefined ? ADMIN : bearer;
    const body = route.bodySchema ? Buffer.from(JSON.stringify(sampleOf(schemaOf(route.bodySchema)))) : Buffer.alloc(0);
    const query = route.query ? (sampleOf(schemaOf(route.query)) as Record<string, unknown>) : {};
    return {
      method: route.method,
      path: route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => names[name] ?? "1"),
      query: new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString(),
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(route.body === "json" ? { "content-type": "application/json" } : {}),
      },
      body,
    };
  });
}

type Schema = {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly minimum?: number;
  readonly minItems?: number;
  readonly minLength?: number;
};
const SCHEMAS = new WeakMap<z.ZodType, Schema>();
function schemaOf(type: z.ZodType): Schema {
  const known = SCHEMAS.get(type) ?? (z.toJSONSchema(type, { io: "input", unrepresentable: "any" }) as Schema);
  SCHEMAS.set(type, known);
  return known;
}

/** A small value of this shape, with every member that there may be. */
function sampleOf(schema: Schema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choice = schema.anyOf ?? schema.oneOf;
  if (choice?.[0]) return sampleOf(choice[0]);
  switch (typeof schema.type === "string" ? schema.type : schema.type?.[0]) {
    case "object":
      return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, part]) => [name, sampleOf(part)]));
    case "array":
      return Array.from({ length: schema.minItems ?? 0 }, () => sampleOf(schema.items ?? {}));
    case "integer":
    case "number":
      return Math.max(1, schema.minimum ?? 1);
    case "boolean":
      return false;
    case "string":
      return "sample".padEnd(schema.minLength ?? 0, "s");
    default:
      return null;
  }
}
