import type { Command } from "commander";
import { VERSION } from "../version.ts";
import type { GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";

export function addVersion(program: Command, output: Output): void {
  program
    .command("version")
    .description("print the versions of Waybill, Node and SQLite")
    .action((_: unknown, command: Command) => {
      const versions = {
        waybill: VERSION,
        node: process.versions.node,
        sqlite: process.versions["sqlite"] ?? "built in",
      };
      const { json } = command.optsWithGlobals<GlobalOptions>();
      output.out(
        json
          ? JSON.stringify(versions)
          : `waybill ${versions.waybill}, node ${versions.node}, sqlite ${versions.sqlite}`,
      );
    });
}
