import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { WaybillError } from "../base/errors.ts";
import type { ConfigSource } from "../hub/load-config.ts";

/** Options every command understands; commander gathers them from anywhere on the line. */
export type GlobalOptions = {
  readonly config?: string;
  readonly demo?: boolean;
  readonly hub?: string;
  readonly token?: string;
  readonly json?: boolean;
};

const NAMES = [
  "waybill.config.ts",
  "waybill.config.js",
  "waybill.config.yaml",
  "waybill.config.yml",
  "waybill.config.json",
];

/** The config that a command works with: --config, --demo, or the first of the usual names in this folder. */
export function configSource(options: GlobalOptions): ConfigSource {
  if (options.demo) return demoSource("data");
  if (options.config !== undefined) return { path: options.config };
  const found = NAMES.find((name) => existsSync(name));
  if (found === undefined) {
    throw new WaybillError("CONFIG_NOT_FOUND", `there is no ${NAMES[0]} (or .js, .yaml, .json) in ${process.cwd()}`);
  }
  return { path: found };
}

/** The demo's own config, with its databases in `folder`. */
export function demoSource(folder: string, overrides: Readonly<Record<string, unknown>> = {}): ConfigSource {
  const at = resolve(folder);
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return {
    path: fileURLToPath(new URL(`./demo/demo.config.${extension}`, import.meta.url)),
    overrides: { ledger: `sqlite:${join(at, "ledger.db")}`, central: `sqlite:${join(at, "central.db")}`, ...overrides },
  };
}
