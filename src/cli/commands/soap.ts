import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import pc from "picocolors";
import { isoOf } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { loadHubConfig } from "../../hub/load-config.ts";
import { dryRun, type DryRun } from "../../hub/soap/dry-run.ts";
import { legacyMapping, type LegacyMapping } from "../../wire/soap/mapping.ts";
import { configSource, type GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";

type DryRunOptions = GlobalOptions & { readonly mapping: string; readonly request: string; readonly terminal: string };

export function addSoap(program: Command, output: Output): void {
  const soap = program.command("soap").description("work with mappings of old SOAP contracts");
  soap
    .command("dry-run")
    .description("show the messages and the reply that a captured request would become; nothing is stored")
    .requiredOption("--mapping <name|file>", "a mapping of the config by its name, or a JSON file with one")
    .requiredOption("--request <file>", "the captured request: the envelope alone, or a whole HTTP request")
    .option("--terminal <id>", "the terminal that would have signed in", "till-1")
    .addHelpText("after", "\nExample:\n  waybill soap dry-run --mapping contoso-pos --request captured.xml")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<DryRunOptions>();
      const mapping = await mappingOf(options);
      const shown = dryRun(
        mapping,
        envelopeOf(await bytesOf(options.request)),
        options.terminal,
        isoOf(systemRuntime.clock.now()),
      );
      output.out(options.json ? JSON.stringify(shown) : textOf(shown));
    });
}

async function mappingOf(options: DryRunOptions): Promise<LegacyMapping> {
  if (!options.mapping.endsWith(".json")) {
    const { soap } = await loadHubConfig(configSource(options));
    const found = soap.mappings.find(({ name }) => name === options.mapping);
    if (found) return found;
    throw new WaybillError("NOT_FOUND", `the config has no SOAP mapping ${JSON.stringify(options.mapping)}`);
  }
  const read = legacyMapping.safeParse(jsonOf(await bytesOf(options.mapping), options.mapping));
  if (read.success) return read.data;
  const wrong = read.error.issues.map((issue) => `  ${issue.path.join(".")}: ${issue.message}`);
  throw new WaybillError("CONFIG_INVALID", `${options.mapping}:\n${wrong.join("\n")}`);
}

async function bytesOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new WaybillError("USAGE", `${file} cannot be read`, { cause });
  }
}

function jsonOf(bytes: Buffer, file: string): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw new WaybillError("CONFIG_INVALID", `${file} is not JSON`, { cause });
  }
}

/** A capture often has the HTTP head in front; it ends with the first empty line. */
function envelopeOf(bytes: Buffer): Buffer {
  if (!/^(POST|PUT) /.test(bytes.subarray(0, 8).toString("latin1"))) return bytes;
  const text = bytes.toString("latin1");
  const end = /\r?\n\r?\n/.exec(text);
  return end ? bytes.subarray(end.index + end[0].length) : bytes;
}

function textOf({ operation, does, terminal, messages, reply }: DryRun): string {
  const lines = [`${pc.bold(operation)}  ${does}${terminal === null ? "" : `, for terminal ${terminal}`}`, ""];
  for (const message of messages)
    lines.push(
      `  ${message.table}  ${pc.dim(message.id)}`,
      `    found by ${message.search.join(", ")}`,
      `    ${JSON.stringify(message.body)}`,
    );
  if (messages.length === 0 && does === "submit") lines.push("  no messages: nothing stands at the mapping's `each`");
  lines.push("", reply === null ? pc.dim("  no reply: 202") : `  ${reply}`);
  return lines.join("\n");
}
