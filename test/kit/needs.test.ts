import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { find } from "./needs.ts";
import { REPO } from "./repo.ts";
import { runVitest } from "./run-vitest.ts";

afterEach(() => vi.unstubAllEnvs());

describe("what a suite needs", () => {
  test("is found by its variable", () => {
    vi.stubEnv("WAYBILL_POSTGRES_URL", "postgres://localhost/x");
    expect(find("postgres")).toEqual({ at: "postgres://localhost/x" });
  });
  test("that is a file must be there", () => {
    vi.stubEnv("WAYBILL_RETAIL_CSV", "/nowhere.csv");
    expect(find("retail")).toEqual({ missing: expect.stringContaining("there is no file /nowhere.csv") as string });
  });
});

describe("a suite that lacks what it needs", () => {
  const suite = `
    import { describeWith } from ${JSON.stringify(join(REPO, "test/kit/needs.ts"))};
    describeWith("retail", "the data set", () => { test("reads it", () => {}); test("reads more", () => {}); });`;
  const lacking = { WAYBILL_RETAIL_CSV: "/nowhere.csv" };

  test("is one skipped test with the reason", async () => {
    const { code, last, output } = await runVitest({ one: `test("passes", () => {});`, two: suite }, { env: lacking });
    expect({ code, last }).toEqual({ code: 0, last: "1 passed, 0 failed, 1 skipped" });
    expect(output).toMatch(
      /Not covered by this run:\n {2}needs the retail data set .*\n {4}two\.test\.ts: the data set > needs retail\n/,
    );
  });
  test.each([
    ["all", 1],
    ["postgres, retail", 1],
    ["postgres", 0],
  ])("fails when WAYBILL_REQUIRE is %j: %d", async (required, failed) => {
    const env = { ...lacking, WAYBILL_REQUIRE: required };
    const { code, last } = await runVitest({ one: `test("passes", () => {});`, two: suite }, { env });
    expect({ code, last }).toEqual({ code: failed, last: `1 passed, ${failed} failed, ${1 - failed} skipped` });
  });
});
