import { cpSync, globSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { spawnChild } from "./kit/child.ts";
import { REPO } from "./kit/repo.ts";
import { tempDir } from "./kit/temp-dir.ts";

type Manifest = {
  readonly version: string;
  readonly exports: { readonly ".": { readonly types: string; readonly default: string } };
};

test("the published build runs without the sources, and has all that they read at run time", async () => {
  const manifest = JSON.parse(readFileSync(join(REPO, "package.json"), "utf8")) as Manifest;
  await using dir = tempDir();
  const dist = dir.file("dist");
  await using build = spawnChild(process.execPath, [join(REPO, "scripts/build.ts"), dist]);
  expect(await build.ended, build.stdout).toEqual({ code: 0, signal: null });

  const made = globSync("**/*", { cwd: dist }).map((path) => path.replaceAll("\\", "/"));
  expect(made.filter((path) => /\.(test|test-kit|contract)\./.test(path))).toEqual([]);
  const read = globSync("**/*.sql", { cwd: join(REPO, "src") }).map((path) => path.replaceAll("\\", "/"));
  expect(made).toEqual(expect.arrayContaining(read));
  const door = manifest.exports["."];
  for (const file of [door.types, door.default]) expect(made).toContain(file.replace("./dist/", ""));

  for (const name of ["bin", "package.json"]) cpSync(join(REPO, name), dir.file(name), { recursive: true });
  symlinkSync(join(REPO, "node_modules"), dir.file("node_modules"));
  await using waybill = spawnChild(process.execPath, [dir.file("bin/waybill.js"), "version"], { cwd: dir.path });
  expect(await waybill.ended, waybill.stderr).toEqual({ code: 0, signal: null });
  expect(waybill.stdout).toContain(manifest.version);
});
