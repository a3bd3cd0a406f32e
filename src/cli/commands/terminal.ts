import { existsSync } from "node:fs";
import type { Command } from "commander";
import { folderAt } from "../../base/folder.ts";
import { configInvalid, fillEnvironment, readConfigFile } from "../../base/config-file.ts";
import { WaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { createLog, type LogLevel } from "../../observe/log.ts";
import { readTerminalConfig, type TerminalConfig } from "../../terminal/config.ts";
import { readStatus } from "../../terminal/state.ts";
import { startTerminal } from "../../terminal/terminal.ts";
import type { GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";
import { untilStopped } from "../process.ts";
import { VERSION } from "../version.ts";
import { statusText } from "./terminal-status.ts";

type TerminalOptions = GlobalOptions & {
  readonly id?: string;
  readonly database?: string;
  readonly state?: string;
  readonly tables?: string;
  readonly log: LogLevel;
};
const NAMES = [
  "waybill.terminal.ts",
  "waybill.terminal.js",
  "waybill.terminal.yaml",
  "waybill.terminal.yml",
  "waybill.terminal.json",
];

/** The file (--config, or the first of the usual names) with what the command line says laid over it. */
export async function terminalConfigOf(options: TerminalOptions): Promise<TerminalConfig> {
  const file = options.config ?? NAMES.find((name) => existsSync(name));
  const faults: string[] = [];
  const given = file === undefined ? {} : fillEnvironment(await readConfigFile(file), process.env, faults);
  if (typeof given !== "object" || given === null) throw configInvalid([`${file}: must be an object of settings`]);
  if (faults.length > 0) throw configInvalid(faults);
  const said = {
    hub: options.hub ?? process.env["WAYBILL_HUB"],
    terminal: options.id,
    database: options.database,
    state: options.state,
    token: options.token ?? process.env["WAYBILL_ENROLL_TOKEN"],
    tables:
      options.tables === undefined || options.tables === "all"
        ? options.tables
        : options.tables.split(",").map((name) => name.trim()),
  };
  return readTerminalConfig({
    ...given,
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
  });
}

export function addTerminal(program: Command, output: Output): void {
  const terminal = program
    .command("terminal")
    .description("run the agent beside a terminal's database: capture, send, receive, apply")
    .option("--id <name>", "this terminal's id")
    .option("--database <url>", 'the application\'s database, such as "sqlite:/srv/till/till.db"')
    .option("--state <folder>", "folder of the agent's own files")
    .option("--tables <names>", 'tables that may be captured and written, separated by commas, or "all"')
    .option("--log <level>", "debug, info, warn or error", "info")
    .addHelpText(
      "after",
      "\nSettings come from waybill.terminal.ts (.js, .yaml, .json) or --config; the command line wins.\nThe first start needs --token (or WAYBILL_ENROLL_TOKEN) from `waybill enroll` at the hub.\n\nExample:\n  waybill terminal --hub https://hub.example:8420 --id till-7 --database sqlite:/srv/till/till.db --token …",
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<TerminalOptions>();
      const config = await terminalConfigOf(options);
      const log = createLog({ level: options.log, form: options.json ? "json" : "auto" }).child({
        terminal: config.terminal,
      });
      const { stop, ended } = untilStopped(log);
      await startTerminal({ config, runtime: systemRuntime, log, stop, version: VERSION });
      await ended;
    });
  terminal
    .command("status")
    .description("what of this terminal's day has arrived at the hub and in the central database")
    .option("--state <folder>", "folder of the agent's own files")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<TerminalOptions>();
      const folder = options.state ?? (await terminalConfigOf(options)).state;
      const status = await readStatus(folderAt(folder));
      if (status === null) throw new WaybillError("NOT_FOUND", `no agent has run with the state folder ${folder}`);
      output.out(options.json ? JSON.stringify(status) : statusText(status, systemRuntime.clock.now()));
    });
}
