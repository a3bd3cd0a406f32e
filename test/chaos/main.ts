import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { findPrograms } from "../kit/cluster.ts";
import { REPO } from "../kit/repo.ts";
import { runChaos } from "./chaos.ts";
import { reportOf } from "./report.ts";

/** `npm run chaos -- --minutes 30`: see docs/chaos.md. */
const program = new Command("chaos")
  .description("runs a chain of real processes through faults, then checks the books")
  .option("--minutes <n>", "how long faults are made", Number, 5)
  .option("--hubs <n>", "hub processes", Number, 3)
  .option("--tills <n>", "tills, each with an agent: SQLite and PostgreSQL in turn", Number, 40)
  .option("--rounds <n>", "the retail file is rung up so many times over", Number, 10)
  .option("--faults <n>", "end after so many faults", Number)
  .option("--seed <n>", "of the faults", Number, Math.floor(Math.random() * 2 ** 31))
  .option("--write", "put the report into docs/chaos.md")
  .action(async (options: Options) => {
    const programs = findPrograms();
    if ("missing" in programs) throw new Error(programs.missing);
    const folder = mkdtempSync(join(tmpdir(), "waybill-chaos-"));
    chmodSync(folder, 0o711); // PostgreSQL runs as another user
    const started = performance.now();
    const tell = (line: string): void =>
      console.error(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}`);
    const { hubs, tills, rounds, seed, faults } = options;
    const plan = { hubs, tills, rounds, seed, seconds: options.minutes * 60, tell };
    const report = await runChaos(folder, { ...plan, ...(faults === undefined ? {} : { faults }) });
    rmSync(folder, { recursive: true, force: true });
    const text = reportOf(report, new Date().toISOString().slice(0, 10));
    console.log(text);
    if (options.write) write(text);
    // Connections that a fault left half open have nothing to say any more.
    process.exit(report.findings.length === 0 ? 0 : 1);
  });
type Options = {
  readonly minutes: number;
  readonly hubs: number;
  readonly tills: number;
  readonly rounds: number;
  readonly seed: number;
  readonly faults?: number;
  readonly write?: true;
};

function write(text: string): void {
  const page = join(REPO, "docs/chaos.md");
  const [head = ""] = readFileSync(page, "utf8").split("<!-- report -->");
  writeFileSync(page, `${head}<!-- report -->\n\n${text}\n`);
}

await program.parseAsync();
