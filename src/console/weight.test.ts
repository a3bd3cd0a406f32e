import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { REPO } from "../../test/kit/repo.ts";

/** Bytes of script that a browser fetches before it has anything in its cache, compressed as the hub sends them. */
const MOST = 300_000;

test("the console's scripts are no more than 300 kB, compressed", () => {
  const scripts = globSync("dist-console/**/*.js", { cwd: REPO });
  expect(scripts, "`npm ci` builds the page, and `npm run build:console` after a change").not.toEqual([]);
  const bytes = scripts.map((path) => gzipSync(readFileSync(join(REPO, path))).byteLength);
  expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThan(MOST);
});
