import type { Command } from "commander";
import pc from "picocolors";
import { examine } from "../../database/doctor.ts";
import type { Finding } from "../../database/finding.ts";
import { examineLedger } from "../../hub/ledger-doctor.ts";
import { loadHubConfig } from "../../hub/load-config.ts";
import { configSource, type GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";

type DoctorOptions = GlobalOptions & { readonly database?: string; readonly tables?: string };

export function addDoctor(program: Command, output: Output): void {
  program
    .command("doctor")
    .description("look a database over for what will hurt: inexact types, missing keys, old transactions")
    .option(
      "--database <url>",
      "a terminal's or any other database; without it, the central database and the ledger of the config",
    )
    .option("--tables <names>", "look at these tables only, separated by commas")
    .addHelpText(
      "after",
      "\nIt only reads; on a large database it takes its time. Exit code 1 when something is affected now.\nExample:\n  waybill doctor --database sqlite:/srv/till/till.db",
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<DoctorOptions>();
      const config = options.database === undefined ? await loadHubConfig(configSource(options)) : null;
      const tables =
        options.tables?.split(",").map((name) => name.trim()) ??
        (config ? Object.entries(config.tables).map(([name, table]) => table.target ?? name) : null);
      const findings = [
        ...(await examine(options.database ?? config?.central ?? "", tables)),
        ...(config ? await examineLedger(config.ledger) : []),
      ];
      output.out(options.json ? JSON.stringify(findings) : findingsText(findings));
      if (findings.some((finding) => finding.weight === "harm")) process.exitCode = 1;
    });
}

const COLOURS = { harm: pc.red, risk: pc.yellow, advice: pc.dim } as const;

function findingsText(findings: readonly Finding[]): string {
  if (findings.length === 0) return pc.green("Nothing to complain about.");
  return findings
    .map(({ weight, table, column, what, remedy }) => {
      const where = table === null ? "" : ` ${table}${column === null ? "" : `.${column}`}:`;
      return `${COLOURS[weight](weight)}${where} ${what}\n  → ${remedy}`;
    })
    .join("\n");
}
