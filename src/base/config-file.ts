import { readFile } from "node:fs/promises";
import { extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { WaybillError } from "./errors.ts";

/** One error for all that is wrong with a config; a fault is "path: what was expected", never the value (it may be a secret). */
export const configInvalid = (faults: readonly string[]): WaybillError =>
  new WaybillError(
    "CONFIG_INVALID",
    `${faults.length} setting(s) are wrong:\n${faults.map((fault) => `  ${fault}`).join("\n")}`,
  );

/**
 * What a `.ts`, `.js`, `.json` or `.yaml` config file holds, not yet checked. Code files export it as default.
 * @throws CONFIG_NOT_FOUND; CONFIG_INVALID when it cannot be read
 */
export async function readConfigFile(path: string): Promise<unknown> {
  const file = resolve(path);
  const kind = extname(file);
  try {
    if (kind === ".json") return JSON.parse(await readFile(file, "utf8")) as unknown;
    if (kind === ".yaml" || kind === ".yml") {
      const { parse } = await import("yaml"); // only by those who write it: it is a third of an agent's libraries
      return parse(await readFile(file, "utf8")) as unknown;
    }
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown };
    if (module.default === undefined)
      throw configInvalid([`${path}: export the config as default: \`export default defineConfig({…})\``]);
    return module.default;
  } catch (thrown) {
    if (thrown instanceof WaybillError) throw thrown;
    const code = (thrown as NodeJS.ErrnoException).code;
    if ((code === "ENOENT" || code === "ERR_MODULE_NOT_FOUND") && (thrown as Error).message.includes(file)) {
      throw new WaybillError("CONFIG_NOT_FOUND", `there is no file ${file}`);
    }
    throw new WaybillError("CONFIG_INVALID", `${file} cannot be read: ${(thrown as Error).message}`, { cause: thrown });
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;
const REFERENCE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** Replaces `${NAME}` in every string; names that are not set are faults, so that no secret is ever silently empty. */
export function fillEnvironment(
  given: unknown,
  environment: Environment,
  faults: string[],
  path: readonly string[] = [],
): unknown {
  if (typeof given === "string") {
    return given.replace(REFERENCE, (whole, name: string) => {
      const value = environment[name];
      if (value !== undefined && value !== "") return value;
      faults.push(`${path.join(".")}: the environment has no ${name}`);
      return whole;
    });
  }
  if (Array.isArray(given))
    return given.map((item, i) => fillEnvironment(item, environment, faults, [...path, String(i)]));
  if (typeof given === "object" && given !== null) {
    return Object.fromEntries(
      Object.entries(given).map(([name, value]) => [
        name,
        fillEnvironment(value, environment, faults, [...path, name]),
      ]),
    );
  }
  return given;
}

/** `over` laid over `base`, member by member; lists are replaced whole. */
export function merged(base: unknown, over: Readonly<Record<string, unknown>>): unknown {
  if (!isPlain(base)) return base;
  const both: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(over))
    both[name] = isPlain(value) && isPlain(both[name]) ? merged(both[name], value) : value;
  return both;
}
const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
