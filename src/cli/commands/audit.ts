import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { WaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { operatorOf } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";

type ExportOptions = GlobalOptions & {
  readonly format: string;
  readonly out?: string;
  readonly since?: string;
  readonly until?: string;
  readonly terminal?: string;
  readonly kind?: string;
  readonly actor?: string;
};

export function addAudit(program: Command, output: Output): void {
  const audit = program.command("audit").description("the audit trail: every change of state and every operator's act");
  audit
    .command("export")
    .description("the trail as a file, oldest first, of any length")
    .option("--format <form>", "ndjson or csv", "ndjson")
    .option("--out <file>", "where to write it (default: standard output)")
    .option("--since <time>", "from this time on, such as 2026-11-01T00:00:00Z")
    .option("--until <time>", "before this time")
    .option("--terminal <id>", "of this terminal only")
    .option("--kind <kind>", "one kind of event, such as requeued")
    .option("--actor <actor>", "one actor, such as operator:anna")
    .addHelpText(
      "after",
      "\nExample:\n  waybill audit export --format csv --since 2026-11-01T00:00:00Z --out november.csv",
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ExportOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const { format, since, until, terminal, kind, actor, out } = options;
      const pieces = operator.stream("/api/audit", { format, since, until, terminal, kind, actor });
      if (out === undefined) {
        for await (const piece of pieces) output.raw(Buffer.from(piece).toString("utf8"));
        return;
      }
      try {
        await pipeline(Readable.from(pieces), createWriteStream(out));
      } catch (cause) {
        if (cause instanceof WaybillError) throw cause;
        throw new WaybillError("USAGE", `--out: ${out} cannot be written`, { cause });
      }
      output.err(`Written to ${out}.`);
    });
}
