import { expect, test } from "vitest";
import { runVitest } from "./run-vitest.ts";

const PASSES = `test("passes", () => {});`;

test.concurrent("a run that passes ends with the counts alone on the last line", async () => {
  const { code, last, output } = await runVitest({ one: PASSES, two: PASSES });
  expect({ code, last }).toEqual({ code: 0, last: "2 passed, 0 failed, 0 skipped" });
  expect(output).not.toContain("Not covered");
});

test.concurrent("what was skipped is listed by its reason", async () => {
  const { code, last, output } = await runVitest({
    one: `${PASSES}\ntest("on a server", (context) => context.skip("needs a server"));\ntest.todo("later");`,
  });
  expect({ code, last }).toEqual({ code: 0, last: "1 passed, 0 failed, 2 skipped" });
  expect(output).toContain(
    "Not covered by this run:\n  needs a server\n    one.test.ts: on a server\n  to be written\n    one.test.ts: later\n",
  );
});

test.concurrent.each([
  ["a test", `test("fails", () => expect(1).toBe(2));`],
  ["a file that cannot be loaded", `import "./nowhere.ts";`],
  ["an error outside of the tests of a file", `throw new Error("at the top");`],
  [
    "an error that nobody caught",
    `test("passes", async () => { void Promise.reject(new Error("lost")); await new Promise((done) => setTimeout(done, 20)); });`,
  ],
  [
    "a suite's preparation",
    `describe("suite", () => { beforeAll(() => { throw new Error("not ready"); }); test("never runs", () => {}); });`,
  ],
])("%s that fails counts as one failed", async (_, code) => {
  const result = await runVitest({ one: PASSES, two: code });
  expect(result.code).toBe(1);
  expect(result.last).toMatch(/^[12] passed, 1 failed, [01] skipped$/);
});

test.concurrent.each([
  ["no file matches", { one: PASSES }, ["nowhere"]],
  ["no test matches", { one: PASSES }, ["-t", "nothing like it"]],
  ["all are skipped", { one: `test.skip("not now", () => {});` }, []],
])("a run of no tests is a failed run: %s", async (_, files, args) => {
  const { code, last } = await runVitest(files, { args });
  expect(code).toBe(1);
  expect(last).toMatch(/^0 passed, 0 failed, [01] skipped$/);
});
