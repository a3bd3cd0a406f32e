import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnChild, type Child } from "../test/kit/child.ts";
import { REPO } from "../test/kit/repo.ts";

let built: string | null = null;

/**
 * The command line as the published package has it: JavaScript without the sources beside it, which start slower and keep
 * the type stripper in memory. Built once a run into a folder that goes when the run ends. BENCH_NODE_FLAGS is for a
 * profile of ours alone, such as `--cpu-prof --cpu-prof-dir=/tmp/profiles`.
 */
export function spawnBuilt(words: readonly string[]): Child {
  built ??= build();
  const flags = process.env["BENCH_NODE_FLAGS"]?.split(" ") ?? [];
  return spawnChild(process.execPath, [...flags, join(built, "bin/waybill.js"), ...words]);
}

function build(): string {
  const folder = mkdtempSync(join(tmpdir(), "waybill-built-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const { status, stderr } = spawnSync(process.execPath, [join(REPO, "scripts/build.ts"), join(folder, "dist")]);
  if (status !== 0) throw new Error(`the build failed: ${String(stderr)}`);
  for (const part of ["bin", "dist-console", "package.json"])
    cpSync(join(REPO, part), join(folder, part), { recursive: true });
  symlinkSync(join(REPO, "node_modules"), join(folder, "node_modules"));
  return folder;
}
