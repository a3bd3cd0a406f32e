import { describe, expect, test } from "vitest";
import { route } from "./api/route.ts";
import { HUB_ROLES, readRoles, routesOf } from "./roles.ts";

describe("roles of a hub", () => {
  test("are read in any order, each once, and an unknown one is named", () => {
    expect(readRoles("process, ingest,process")).toEqual(["ingest", "process"]);
    expect(readRoles(HUB_ROLES.join(","))).toEqual(HUB_ROLES);
    expect(() => readRoles("ingest,prcess")).toThrow(/"prcess" is none of ingest, process, publish, deliver/);
    expect(() => readRoles("")).toThrow(/is none of/);
  });

  test("what a process does not do it answers with UNAVAILABLE, so that the caller tries another", async () => {
    const served = { status: 200, headers: {}, body: Buffer.alloc(0) };
    const described = { method: "GET", path: "/x", summary: "", answer: { status: 200 }, faults: [] } as const;
    const routes = [route("anyone", described, async () => served)];
    expect(routesOf("ingest", ["ingest"], routes)).toBe(routes);
    const [refusing] = routesOf("ingest", ["process", "publish"], routes);
    await expect(refusing!.handle({} as never)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
