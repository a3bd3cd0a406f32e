import { afterAll, beforeAll, expect, test } from "vitest";
import { openApi, type ApiStation } from "../../../test/kit/api.ts";
import { FAULTS } from "../../base/errors.ts";
import { faultsOf } from "./openapi.ts";

type Operation = {
  readonly summary: string;
  readonly security?: unknown;
  readonly parameters: readonly { name: string }[];
  readonly responses: Readonly<Record<string, unknown>>;
};
type Document = {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
};

let hub: ApiStation;
let document: Document;
beforeAll(async () => {
  hub = await openApi();
  document = (await hub.call("GET", "/openapi.json")).json as unknown as Document;
});
afterAll(() => hub.close());

test("every endpoint is described, with its caller, its parameters and all it may answer", () => {
  expect(document.openapi).toBe("3.1.0");
  expect(Object.values(document.paths).flatMap((path) => Object.keys(path))).toHaveLength(hub.api.routes.length);
  for (const route of hub.api.routes) {
    const operation = document.paths[route.path]?.[route.method.toLowerCase()];
    expect(operation?.summary).toBe(route.summary);
    expect(operation?.security).toEqual(route.caller === "anyone" ? undefined : [{ [route.caller]: [] }]);
    const statuses = new Set([route.answer.status, ...faultsOf(route).map((code) => FAULTS[code].status)]);
    expect(new Set(Object.keys(operation?.responses ?? {}).map(Number))).toEqual(statuses);
    const named = (operation?.parameters ?? []).map(({ name }) => name);
    expect(named).toEqual([
      ...[...route.path.matchAll(/\{(.+?)\}/g)].map((match) => match[1]),
      ...Object.keys(route.query?.shape ?? {}),
    ]);
  }
});

test("the calls of the contract are there", () => {
  const calls = hub.api.routes.map(({ method, path }) => `${method} ${path}`);
  for (const call of [
    "POST /v1/enroll",
    "GET /v1/manifest",
    "POST /v1/messages",
    "POST /v1/documents",
    "POST /v1/epochs",
    "GET /v1/updates",
    "POST /v1/updates/ack",
    "GET /v1/status",
    "POST /v1/updates",
    "GET /healthz",
    "GET /readyz",
    "GET /openapi.json",
  ]) {
    expect(calls).toContain(call);
  }
});

test("schemas tell units and limits, not only types", () => {
  expect(JSON.stringify(document.paths["/v1/updates"]?.["get"])).toContain("seconds to wait");
  expect(JSON.stringify(document.paths["/v1/enroll"]?.["post"])).toContain("256 random bits");
});
