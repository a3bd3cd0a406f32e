import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnChild, type ChildOptions } from "./child.ts";
import { REPO } from "./repo.ts";
import { tempDir } from "./temp-dir.ts";

export type VitestRun = { readonly code: number | null; readonly output: string; readonly last: string | undefined };

/** Runs Vitest with our reporter over the given files (name: code) in a folder of their own; `last` is the last line. */
export async function runVitest(
  files: Readonly<Record<string, string>>,
  options: { readonly args?: readonly string[]; readonly env?: ChildOptions["env"] } = {},
): Promise<VitestRun> {
  await using dir = tempDir();
  symlinkSync(join(REPO, "node_modules"), dir.file("node_modules"));
  const reporter = JSON.stringify(join(REPO, "test/kit/reporter.ts"));
  writeFileSync(
    dir.file("vitest.config.ts"),
    `import { CountsReporter } from ${reporter};\nexport default { test: { reporters: ["default", new CountsReporter()] } };\n`,
  );
  for (const [name, code] of Object.entries(files)) {
    writeFileSync(
      dir.file(`${name}.test.ts`),
      `import { beforeAll, describe, expect, test } from "vitest";\n${code}\n`,
    );
  }
  const program = join(REPO, "node_modules/vitest/vitest.mjs");
  await using vitest = spawnChild(process.execPath, [program, "run", ...(options.args ?? [])], {
    cwd: dir.path,
    // The run within must not take itself for a worker of the run around it.
    env: { VITEST: undefined, VITEST_WORKER_ID: undefined, VITEST_POOL_ID: undefined, ...options.env },
  });
  const { code } = await vitest.ended;
  return { code, output: vitest.stdout, last: vitest.stdout.split("\n").at(-2) };
}
