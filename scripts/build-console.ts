import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Makes `dist-console/`, the page that the hub serves. npm runs this after every install in a clone (`prepare`); where the
 * tools to build were left out (`npm ci --omit=dev`) there is nothing to do, and the hub's page says how to build it.
 */
const repo = fileURLToPath(new URL("..", import.meta.url));
const vite = join(repo, "node_modules/vite/bin/vite.js");
const needed = [vite, join(repo, "node_modules/react-dom"), join(repo, "node_modules/@vitejs/plugin-react")];

if (needed.every((path) => existsSync(path))) {
  const arguments_ = [vite, "build", "--config", join(repo, "console/vite.config.ts"), "--logLevel", "warn"];
  const { status } = spawnSync(process.execPath, arguments_, { cwd: repo, stdio: "inherit" });
  process.exitCode = status ?? 1;
} else {
  console.log("The console is not built: its tools are development dependencies, which are not installed here.");
}
