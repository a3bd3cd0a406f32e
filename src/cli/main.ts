import { Command, CommanderError } from "commander";
import { WaybillError } from "../base/errors.ts";
import { endWithReader, printError, standardOutput, type Output } from "./print.ts";
import { VERSION } from "./version.ts";

type AddCommand = (program: Command, output: Output) => void;
/**
 * The commands by their names, in the order of the help. Each loads what it needs only when it is asked for: an agent has no
 * use for a hub, nor room for it.
 */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  demo: async () => (await import("./commands/demo.ts")).addDemo,
  hub: async () => (await import("./commands/hub.ts")).addHub,
  terminal: async () => (await import("./commands/terminal.ts")).addTerminal,
  enroll: async () => (await import("./commands/enroll.ts")).addEnroll,
  status: async () => (await import("./commands/status.ts")).addStatus,
  trace: async () => (await import("./commands/trace.ts")).addTrace,
  dead: async () => (await import("./commands/dead.ts")).addDead,
  pause: async () => (await import("./commands/pause.ts")).addPause,
  resume: async () => (await import("./commands/pause.ts")).addResume,
  drain: async () => (await import("./commands/pause.ts")).addDrain,
  alerts: async () => (await import("./commands/alerts.ts")).addAlerts,
  reconcile: async () => (await import("./commands/reconcile.ts")).addReconcile,
  restores: async () => (await import("./commands/restores.ts")).addRestores,
  retention: async () => (await import("./commands/retention.ts")).addRetention,
  operator: async () => (await import("./commands/operator.ts")).addOperator,
  audit: async () => (await import("./commands/audit.ts")).addAudit,
  capture: async () => (await import("./commands/capture.ts")).addCapture,
  soap: async () => (await import("./commands/soap.ts")).addSoap,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctor,
  config: async () => (await import("./commands/config.ts")).addConfig,
  version: async () => (await import("./commands/version.ts")).addVersion,
};

/** All commands, or only the one that the words ask for. */
export async function program(words: readonly string[], output: Output): Promise<Command> {
  const root = new Command("waybill")
    .description(
      "Keeps a fleet of remote SQL databases and one central database in step, and accounts for every change.",
    )
    .version(VERSION, "-V, --version")
    .option("-c, --config <file>", "config file (default: waybill.config.ts, .js, .yaml or .json in this folder)")
    .option("--demo", "work with the demo's hub and its ./data folder")
    .option("--hub <url>", "address of a running hub (or WAYBILL_HUB)")
    .option("--token <token>", "operator token for that hub (or WAYBILL_TOKEN)")
    .option("--json", "print JSON for programs instead of text for people")
    .configureOutput({ writeOut: (text) => output.raw(text), writeErr: (text) => output.err(text.trimEnd()) })
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .showHelpAfterError("→ `waybill help` lists the commands; `waybill help <command>` explains one.")
    .exitOverride()
    .addHelpText(
      "after",
      "\nStart here:\n  waybill demo                     a chain of five shops on this machine\n  waybill status                   backlog, lag, dead letters\n  waybill trace t1 4711            one message's life\n\nExit codes: 0 done, 1 fault, 2 wrong words or config, 3 not found, 4 cannot be reached.",
    );
  const asked = [...new Set(words.filter((word) => Object.hasOwn(COMMANDS, word)))];
  const helped = words.some((word) => ["help", "--help", "-h"].includes(word));
  // One word alone may also be the value of an option; commander then finds the right one among those that were loaded.
  const names = asked.length === 0 || helped ? Object.keys(COMMANDS) : asked;
  for (const name of names) (await COMMANDS[name]?.())?.(root, output);
  for (const command of root.commands)
    command
      .exitOverride()
      .configureOutput({ writeOut: (text) => output.raw(text), writeErr: (text) => output.err(text.trimEnd()) });
  return root;
}

/** Runs one command line; gives the exit code. Nothing thrown leaves it, and no stack is shown to a person. */
export async function main(words: readonly string[], output: Output = standardOutput): Promise<number> {
  const json = words.includes("--json");
  if (output === standardOutput) endWithReader();
  try {
    await (await program(words, output)).parseAsync(words, { from: "user" });
    return typeof process.exitCode === "number" ? process.exitCode : 0;
  } catch (thrown) {
    // Commander has printed its own words about a wrong line, and help ends as an exit with code 0.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    return printError(output, thrown instanceof Error ? thrown : new WaybillError("INTERNAL", String(thrown)), json);
  }
}
