import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MUTATIONS, SPARE, type Mutation } from "./list.ts";
import { broken } from "./patch.ts";

/**
 * `node test/mutations/main.ts [part of a file's name or of a mutation's words]`: breaks the code of this checkout, one place
 * at a time, and sees that the test named for it fails. Writes docs/mutations.md when all of the list was tried.
 */

type Found = Mutation & { readonly word: "caught" | "SURVIVED" | "GONE"; readonly tests: string };

const testsOf = ({ file, tests }: Mutation): string => tests ?? file.split("/").slice(0, 2).join("/");

function attempt(mutation: Mutation): Found["word"] {
  const path = join("src", mutation.file);
  const before = readFileSync(path, "utf8");
  const after = broken(mutation);
  if (after === null) return "GONE";
  try {
    writeFileSync(path, after);
    return failingTests(mutation) > 0 ? "caught" : "SURVIVED";
  } finally {
    writeFileSync(path, before);
  }
}

/** Of the tests that match, run on the code as it stands. */
function failingTests(mutation: Mutation): number {
  const report = join(tmpdir(), `waybill-mutation-${process.pid}.json`);
  rmSync(report, { force: true });
  const pattern = mutation.caughtBy.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  spawnSync(
    process.execPath,
    ["node_modules/vitest/vitest.mjs", "run", join("src", testsOf(mutation)), "-t", pattern, "--bail", "1"].concat(
      "--reporter=json",
      `--outputFile=${report}`,
    ),
    { stdio: "ignore" },
  );
  const read = JSON.parse(readFileSync(report, "utf8")) as { numFailedTests: number };
  return read.numFailedTests;
}

const wanted = process.argv[2] ?? "";
const found: Found[] = [];
for (const mutation of MUTATIONS) {
  if (![mutation.file, mutation.what, testsOf(mutation)].some((text) => text.includes(wanted))) continue;
  const word = attempt(mutation);
  found.push({ ...mutation, word, tests: testsOf(mutation) });
  console.log(`${word.padEnd(8)} ${testsOf(mutation)}: ${mutation.what}`);
}
const escaped = found.filter(({ word }) => word !== "caught");
console.log(`${found.length - escaped.length} of ${found.length} caught`);
if (wanted === "" && escaped.length === 0) writeFileSync("docs/mutations.md", page(found));
process.exitCode = escaped.length > 0 ? 1 : 0;

function page(rows: readonly Found[]): string {
  const lines = rows.map(
    ({ file, what, caughtBy, tests }) => `| \`${file}\` | ${what} | \`${tests}\`: "${caughtBy}…" |`,
  );
  return `# What was broken to see the contract suites fail

Made by \`npm run mutate:contracts\`: each line was tried on the code as it stands, one at a time, and the test named failed.
The list is [test/mutations/list.ts](../test/mutations/list.ts).

| file | broken so that | caught by |
|---|---|---|
${lines.join("\n")}

Taken out, and rightly not noticed:

| file | broken so that | what holds |
|---|---|---|
${SPARE.map(({ file, what, why }) => `| \`${file}\` | ${what} | ${why} |`).join("\n")}
`;
}
