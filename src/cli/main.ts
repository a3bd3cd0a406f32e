import { Command, CommanderError } from "commander";
import { WaybillError } from "../base/errors.ts";
import { addAlerts } from "./commands/alerts.ts";
import { addAudit } from "./commands/audit.ts";
import { addCapture } from "./commands/capture.ts";
import { addConfig } from "./commands/config.ts";
import { addDead } from "./commands/dead.ts";
import { addDemo } from "./commands/demo.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEnroll } from "./commands/enroll.ts";
import { addHub } from "./commands/hub.ts";
import { addRestores } from "./commands/restores.ts";
import { addSoap } from "./commands/soap.ts";
import { addStatus } from "./commands/status.ts";
import { addTerminal } from "./commands/terminal.ts";
import { addTrace } from "./commands/trace.ts";
import { addVersion } from "./commands/version.ts";
import { printError, standardOutput, type Output } from "./print.ts";
import { VERSION } from "./version.ts";

export function program(output: Output): Command {
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
  addDemo(root, output);
  addHub(root, output);
  addTerminal(root, output);
  addEnroll(root, output);
  addStatus(root, output);
  addTrace(root, output);
  addDead(root, output);
  addRestores(root, output);
  addAlerts(root, output);
  addAudit(root, output);
  addCapture(root, output);
  addSoap(root, output);
  addDoctor(root, output);
  addConfig(root, output);
  addVersion(root, output);
  for (const command of root.commands)
    command
      .exitOverride()
      .configureOutput({ writeOut: (text) => output.raw(text), writeErr: (text) => output.err(text.trimEnd()) });
  return root;
}

/** Runs one command line; gives the exit code. Nothing thrown leaves it, and no stack is shown to a person. */
export async function main(words: readonly string[], output: Output = standardOutput): Promise<number> {
  const json = words.includes("--json");
  try {
    await program(output).parseAsync(words, { from: "user" });
    return typeof process.exitCode === "number" ? process.exitCode : 0;
  } catch (thrown) {
    // Commander has printed its own words about a wrong line, and help ends as an exit with code 0.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    return printError(output, thrown instanceof Error ? thrown : new WaybillError("INTERNAL", String(thrown)), json);
  }
}
