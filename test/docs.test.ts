import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FAULTS } from "../src/base/errors.ts";
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
