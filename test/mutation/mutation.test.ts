import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { REPO } from "../kit/repo.ts";
import { MUTATIONS } from "./mutations.ts";
import { misfits } from "./patch.ts";
import { listedIn } from "./table.ts";

test("every mutation still applies to the code as it is", () => {
  expect(misfits()).toEqual([]);
});

test("docs/spec.md lists every mutation, each caught by a test", () => {
  const spec = readFileSync(join(REPO, "docs/spec.md"), "utf8");
  expect(new Set(MUTATIONS.map(({ id }) => id)).size).toBe(MUTATIONS.length);
  expect(listedIn(spec)).toEqual(MUTATIONS.map(({ id }) => id));
  expect(spec).not.toMatch(/\| \*\*(nobody|not tried)\*\* \|/);
});
