import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { REPO } from "../kit/repo.ts";
import { MUTATIONS, type Mutation } from "./mutations.ts";
import { misfits, patched } from "./patch.ts";
import { tableOf, type Caught } from "./table.ts";

/** `npm run mutate`: see docs/proof.md. */
type Options = {
  readonly check?: boolean;
  readonly only?: string;
  readonly seeds: number;
  readonly steps: number;
  readonly write?: boolean;
};

await new Command("mutate")
  .description("breaks the core in chosen ways, one at a time, in a copy, and looks who notices")
  .option("--check", "only whether every patch still applies")
  .option("--only <ids>", "mutations by their ids, with commas")
  .option("--seeds <n>", "simulated worlds each mutation is played in", Number, 10)
  .option("--steps <n>", "steps of each world", Number, 1_000)
  .option("--write", "put the list into docs/spec.md")
  .action((options: Options) => {
    process.exitCode = options.check ? check() : run(options);
  })
  .parseAsync();

function check(): number {
  const wrong = misfits();
  for (const line of wrong) console.error(line);
  console.log(`${MUTATIONS.length - wrong.length} of ${MUTATIONS.length} mutations apply`);
  return wrong.length === 0 ? 0 : 1;
}

function run({ only, seeds, steps, write }: Options): number {
  if (check() !== 0) return 1;
  const folder = mkdtempSync(join(tmpdir(), "waybill-mutate-"));
  try {
    for (const name of ["src", "test", "docs", "scripts", "bin", "package.json", "vitest.config.ts", "tsconfig.json"]) {
      cpSync(join(REPO, name), join(folder, name), { recursive: true });
    }
    symlinkSync(join(REPO, "node_modules"), join(folder, "node_modules"));
    const chosen = MUTATIONS.filter(({ id }) => only === undefined || only.split(",").includes(id));
    const caught = chosen.map((mutation) => tryOne(folder, mutation, seeds, steps));
    const survivors = caught.filter(({ by }) => by === null);
    console.log(
      `${caught.length - survivors.length} of ${caught.length} caught by a test${survivors.length > 0 ? `; survived: ${survivors.map(({ mutation }) => mutation.id).join(" ")}` : ""}`,
    );
    if (write)
      writeFileSync(
        join(REPO, "docs/spec.md"),
        tableOf(readFileSync(join(REPO, "docs/spec.md"), "utf8"), caught, seeds, steps),
      );
    return survivors.length === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function tryOne(folder: string, mutation: Mutation, seeds: number, steps: number): Caught {
  const path = join(folder, mutation.file);
  const whole = readFileSync(path, "utf8");
  writeFileSync(path, patched(mutation, folder));
  try {
    const by = mutation.tests.map((file) => failingTest(folder, file)).find((found) => found !== null) ?? null;
    const worlds = seeds === 0 ? 0 : brokenWorlds(folder, seeds, steps);
    console.log(
      `${by === null ? "SURVIVED" : "caught  "} ${mutation.id}: ${by === null ? "no test failed" : `${by.file}: "${by.name}"`}; ${worlds} of ${seeds} worlds`,
    );
    return { mutation, by, worlds };
  } finally {
    writeFileSync(path, whole);
  }
}

type Report = {
  readonly testResults: readonly {
    readonly message?: string;
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
};

/** The first test of the file that fails; null: all pass. A mutant that hangs is noticed by the time limit. */
function failingTest(folder: string, file: string): Caught["by"] {
  const report = join(folder, "report.json");
  rmSync(report, { force: true });
  const vitest = join(folder, "node_modules/vitest/vitest.mjs");
  spawnSync(process.execPath, [vitest, "run", "--bail=1", "--reporter=json", `--outputFile=${report}`, file], {
    cwd: folder,
    stdio: "ignore",
    timeout: 120_000,
  });
  let read: Report;
  try {
    read = JSON.parse(readFileSync(report, "utf8")) as Report;
  } catch {
    return { file, name: "(the run ended without a report)" };
  }
  const failed = read.testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .find(({ status }) => status === "failed");
  return failed ? { file, name: failed.title } : null;
}

/** In how many simulated worlds something was violated; a simulation that cannot even run counts as all of them. */
function brokenWorlds(folder: string, seeds: number, steps: number): number {
  const args = ["test/simulation/main.ts", "--seeds", `1..${seeds}`, "--steps", String(steps), "--story", "0"];
  const { stdout, status } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8", timeout: 120_000 });
  if (status === 0) return 0;
  return Number(/^(\d+) violated/m.exec(stdout)?.[1] ?? seeds);
}
