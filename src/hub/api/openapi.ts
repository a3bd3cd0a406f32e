import { z } from "zod";
import { FAULTS, type FaultCode } from "../../base/errors.ts";
import { ROLES, type Role } from "../../ledger/access.ts";
import { JSON_TYPE, NDJSON_TYPE } from "../../wire/headers.ts";
import { problem, PROBLEM_TYPE } from "../../wire/problem.ts";
import type { Route } from "./route.ts";

/** What any route may answer, beside the faults of its own. */
export function faultsOf(route: Route): readonly FaultCode[] {
  const faults = new Set<FaultCode>(route.faults);
  if (route.caller !== "anyone") faults.add("UNAUTHENTICATED").add("FORBIDDEN");
  if (route.query || route.body === "json" || route.path.includes("{")) faults.add("REQUEST_INVALID");
  if (route.body !== "none") faults.add("REQUEST_INVALID").add("TOO_LARGE").add("MEDIA_TYPE").add("OVERLOADED");
  faults.add("UNAVAILABLE");
  return [...faults];
}

const jsonSchema = (schema: z.ZodType): unknown => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest;
};

/** OpenAPI 3.1, made from the table that dispatches: an endpoint that is not described does not exist. */
export function openapiOf(routes: readonly Route[], version: string): unknown {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = (paths[route.path] ??= {});
    path[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Waybill hub",
      version,
      description: "The wire of docs/wire.md. Errors are problem documents (RFC 9457).",
    },
    paths,
    components: {
      securitySchemes: {
        terminal: { type: "http", scheme: "bearer", description: "the key of a terminal, from POST /v1/enroll" },
        publisher: { type: "http", scheme: "bearer", description: "an API token with the role publisher" },
        ...Object.fromEntries(ROLES.map((role) => [role, personScheme(role)])),
      },
      schemas: { problem: jsonSchema(problem) },
    },
  };
}

const personScheme = (role: Role): unknown => ({
  type: "http",
  scheme: "bearer",
  description: `an API token or session with at least the role ${role}`,
});

function operationOf(route: Route): unknown {
  return {
    summary: route.summary,
    ...(isRole(route.caller) ? { "x-least-role": route.caller } : {}),
    ...(route.caller === "anyone" ? {} : { security: [{ [route.caller]: [] }] }),
    parameters: [...pathParameters(route), ...queryParameters(route)],
    ...(route.body === "none" ? {} : { requestBody: { required: true, content: bodyContent(route) } }),
    responses: {
      [route.answer.status]: { description: "done", content: answerContent(route) },
      ...faultResponses(route),
    },
  };
}

const isRole = (caller: Route["caller"]): boolean => (ROLES as readonly string[]).includes(caller);

const bodyContent = (route: Route): unknown =>
  route.body === "json" && route.bodySchema
    ? { [JSON_TYPE]: { schema: jsonSchema(route.bodySchema) } }
    : { [NDJSON_TYPE]: {} };

const answerContent = ({ answer }: Route): unknown =>
  answer.ndjson ? { [NDJSON_TYPE]: {} } : { [JSON_TYPE]: answer.schema ? { schema: jsonSchema(answer.schema) } : {} };

const pathParameters = (route: Route): readonly unknown[] =>
  [...route.path.matchAll(/\{([^}]+)\}/g)].map((match) => ({
    name: match[1],
    in: "path",
    required: true,
    schema: { type: "string" },
  }));

function queryParameters(route: Route): readonly unknown[] {
  return Object.entries(route.query?.shape ?? {}).map(([name, schema]) => ({
    name,
    in: "query",
    required: false,
    schema: jsonSchema(schema as z.ZodType),
  }));
}

/** Codes that share a status are told apart by `code`. */
function faultResponses(route: Route): Record<string, unknown> {
  const byStatus = Map.groupBy(faultsOf(route), (code) => FAULTS[code].status);
  return Object.fromEntries(
    [...byStatus]
      .toSorted(([a], [b]) => a - b)
      .map(([status, codes]) => [
        String(status),
        {
          description: codes.join(", "),
          content: { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/problem" } } },
        },
      ]),
  );
}
