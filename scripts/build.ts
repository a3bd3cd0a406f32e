import { spawnSync } from "node:child_process";
import { cpSync, globSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Makes `dist/` (or the folder given), the JavaScript that is published: the same files under the same names, so that what
 * is found beside a file of the source tree (a thread's module, a migration) is found beside it there too.
 */
const repo = fileURLToPath(new URL("..", import.meta.url));
const out = resolve(process.argv[2] ?? join(repo, "dist"));
const tsc = join(repo, "node_modules/typescript/bin/tsc");

rmSync(out, { recursive: true, force: true });
const arguments_ = [tsc, "--project", "tsconfig.build.json", "--outDir", out];
const { status } = spawnSync(process.execPath, arguments_, { cwd: repo, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);

// What the code reads at run time beside TypeScript.
for (const file of globSync("src/**/*.{sql,json,wsdl,xsd}", { cwd: repo })) {
  cpSync(join(repo, file), join(out, file.slice("src/".length)), { recursive: true });
}
