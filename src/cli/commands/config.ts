import { z } from "zod";
import type { Command } from "commander";
import { hubConfig } from "../../hub/config.ts";
import { loadHubConfig } from "../../hub/load-config.ts";
import { terminalConfig } from "../../terminal/config.ts";
import { configSource, type GlobalOptions } from "../options.ts";
import { table, type Output } from "../print.ts";

/** A setting as people see it: path, type, default, meaning. */
export type Setting = {
  readonly path: string;
  readonly type: string;
  readonly default: string;
  readonly meaning: string;
};

type Json = { readonly [name: string]: unknown };
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isEmpty = (value: unknown): boolean => isObject(value) && Object.keys(value).length === 0;

/** Every setting of a schema, from the schema itself, so that the list cannot fall behind it. */
export function settingsOf(schema: z.ZodType): Setting[] {
  const whole = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Json;
  const found: Setting[] = [];
  const walk = (node: Json, path: string): void => {
    const members = isObject(node["properties"]) ? node["properties"] : null;
    const each = isObject(node["additionalProperties"])
      ? node["additionalProperties"]
      : isObject(node["items"])
        ? node["items"]
        : null;
    const open = members ?? (each && isObject(each["properties"]) ? each : null);
    if (path !== "" && (open === null || node["description"] !== undefined)) {
      found.push({
        path,
        type: typeOf(node),
        default: "default" in node && open === null && !isEmpty(node["default"]) ? JSON.stringify(node["default"]) : "",
        meaning: typeof node["description"] === "string" ? node["description"] : "",
      });
    }
    if (members)
      for (const [name, member] of Object.entries(members))
        if (isObject(member)) walk(member, path === "" ? name : `${path}.${name}`);
    // `false`, or an object: what it may hold is listed too.
    const choices = Array.isArray(node["anyOf"]) ? node["anyOf"].filter(isObject) : [];
    const objects = choices.filter((choice) => isObject(choice["properties"]));
    if (choices.length === 2 && objects[0] && choices.some((choice) => choice["const"] === false))
      walk({ ...objects[0], description: undefined }, path);
    if (!members && each && isObject(each["properties"])) walk(each, `${path}.${node["items"] ? "[]" : "<name>"}`);
  };
  walk(whole, "");
  return found;
}

function typeOf(node: Json): string {
  if (Array.isArray(node["enum"])) return node["enum"].map(String).join(" | ");
  if (Array.isArray(node["anyOf"])) return [...new Set(node["anyOf"].filter(isObject).map(typeOf))].join(" | ");
  if (node["const"] !== undefined) return JSON.stringify(node["const"]);
  if (node["type"] === "array") return "list";
  return typeof node["type"] === "string" ? node["type"] : "function";
}

export function addConfig(program: Command, output: Output): void {
  program
    .command("config")
    .description("print every setting with its default and meaning, or check the config of this folder")
    .option("--check", "read the config and say what is wrong with it, all at once")
    .option("--terminal", "the settings of a terminal instead of the hub's")
    .addHelpText(
      "after",
      "\nExamples:\n  waybill config                 every setting of a hub\n  waybill config --check         is waybill.config.ts right?\n  waybill config --terminal      every setting of a terminal",
    )
    .action(async (options: { check?: boolean; terminal?: boolean }, command: Command) => {
      const given = command.optsWithGlobals<GlobalOptions>();
      if (options.check) {
        const source = configSource(given);
        const config = await loadHubConfig(source);
        output.out(
          given.json
            ? JSON.stringify({ ok: true, tables: Object.keys(config.tables) })
            : `${source.path} is right: ${Object.keys(config.tables).length} table(s).`,
        );
        return;
      }
      const settings = settingsOf(options.terminal ? terminalConfig : hubConfig);
      output.out(
        given.json
          ? JSON.stringify(settings, null, 2)
          : table(
              ["setting", "type", "default", "meaning"],
              settings.map((s) => [s.path, s.type, s.default, s.meaning]),
            ),
      );
    });
}
