import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FAULTS } from "../src/base/errors.ts";
import { EVENTS } from "../src/ledger/events.ts";
import { LOG_EVENTS } from "../src/observe/log-events.ts";
import { PAGES } from "../scripts/docs.ts";
import { REPO } from "./kit/repo.ts";

const read = (path: string): string => readFileSync(join(REPO, path), "utf8");

test.each(Object.entries(PAGES))("%s is what `npm run docs` makes of the code", (path, page) => {
  expect(read(path)).toBe(page());
});

test("the launcher says the same about an old Node as the catalogue of errors", () => {
  expect(read("bin/waybill.js")).toContain(FAULTS.NODE_TOO_OLD.hint);
});

test("the launcher knows every Node that the package pins, and needs what the package says", () => {
  type Manifest = {
    readonly optionalDependencies: Record<string, string>;
    readonly engines: { readonly node: string };
  };
  const manifest = JSON.parse(read("package.json")) as Manifest;
  const launcher = read("bin/waybill.js");
  for (const name of Object.keys(manifest.optionalDependencies)) expect(launcher).toContain(`"${name}"`);
  expect(manifest.engines.node).toBe(`>=${/NEEDED = (\d+)/.exec(launcher)?.[1]}`);
});

test("every event that a log line or the audit trail may name is told somewhere: no dead words in the catalogues", () => {
  const catalogues = /observe\/log-events\.ts$|ledger\/events\.ts$|api\/sight\.ts$/;
  const sources = globSync("src/**/*.ts", { cwd: REPO })
    .filter((path) => !/\.(test|contract|test-kit)\.ts$/.test(path) && !catalogues.test(path))
    .map(read)
    .join("\n");
  const said = (name: string): boolean => sources.includes(`"${name}"`) || sources.includes(`'${name}'`);
  const unsaid = [...Object.keys(LOG_EVENTS), ...Object.keys(EVENTS)].filter((name) => !said(name));
  expect(unsaid).toEqual([]);
});
