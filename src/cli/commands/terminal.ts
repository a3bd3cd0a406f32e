import { existsSync } from "node:fs";
import type { Command } from "commander";
import { folderAt } from "../../base/folder.ts";
import { instantOf } from "../../base/clock.ts";
import { configInvalid, fillEnvironment, readConfigFile } from "../../base/config-file.ts";
import { WaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { createLog, type LogLevel } from "../../observe/log.ts";
import { readTerminalConfig, type TerminalConfig } from "../../terminal/config.ts";
import { readStatus, type TerminalStatus } from "../../terminal/state.ts";
import { startTerminal } from "../../terminal/terminal.ts";
import type { GlobalOptions } from "../options.ts";
import { duration, table, type Output } from "../print.ts";
import { untilStopped } from "../process.ts";
import { VERSION } from "../version.ts";

/** The agent writes its status at least this often, and a little slack. */
const SILENT_MS = 60_000;

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

/** What has arrived, what waits and why, in the words of a shop. */
function statusText(status: TerminalStatus, now: number): string {
  const { up, down } = status;
  const age = now - (instantOf(status.writtenAt) ?? now);
  const waiting = up.packedThrough - up.receivedThrough;
  const lines = [
    `${status.terminal} → ${status.hub}${age > SILENT_MS ? `   (the agent is not running: it last said something ${duration(age)} ago)` : ""}`,
    "",
    `  in the central database  through message ${up.loadedThrough}`,
    `  stored at the hub        through message ${up.receivedThrough}`,
    `  waiting here             ${waiting} message(s), and ${up.outboxRows} change(s) not numbered yet${up.oldestAt === null ? "" : `, the oldest since ${up.oldestAt}`}`,
    `  in trouble at the centre ${up.open.dead} dead, ${up.open.held} held, ${up.open.retrying} retrying`,
    `  updates applied here     through ${down.appliedThrough}${down.stale > 0 ? `; ${down.stale} row(s) refused by this database` : ""}`,
    "",
    table(
      ["work", "state", "since", "failures", "last error"],
      Object.entries(status.loops).map(([name, loop]) => [
        name,
        loop.state,
        loop.since,
        loop.failures,
        errorText(loop.lastError),
      ]),
    ),
  ];
  return lines.join("\n");
}

const errorText = (error: unknown): string =>
  error === null || error === undefined ? "" : typeof error === "string" ? error : JSON.stringify(error);
