import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { REPO } from "../kit/repo.ts";
import { MUTATIONS, type Mutation } from "./mutations.ts";
import { misfits, patched } from "./patch.ts";
import { tableOf, type Caught, type Measured } from "./table.ts";

/** `npm run mutate`: see docs/proof.md. */
type Options = {
  readonly check?: boolean;
  readonly only?: string;
  readonly seeds: number;
  readonly steps: number;
  readonly tests: boolean;
  readonly write?: boolean;
};

const SPEC = join(REPO, "docs/spec.md");

await new Command("mutate")
  .description("breaks the core in chosen ways, one at a time, in a copy, and looks who notices")
  .option("--check", "only whether every patch still applies")
  .option("--only <ids>", "mutations by their ids, with commas")
  .option("--seeds <n>", "simulated worlds each mutation is played in", Number, 10)
  .option("--steps <n>", "steps of each world", Number, 1_000)
  .option("--no-tests", "plays the worlds alone; who caught what stays as it is in the list")
  .option("--write", "put what was found into the list in docs/spec.md")
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

function run({ only, seeds, steps, tests, write }: Options): number {
  if (check() !== 0) return 1;
  const folder = mkdtempSync(join(tmpdir(), "waybill-mutate-"));
  try {
    for (const name of ["src", "test", "docs", "scripts", "bin", "package.json", "vitest.config.ts", "tsconfig.json"]) {
      cpSync(join(REPO, name), join(folder, name), { recursive: true });
    }
    symlinkSync(join(REPO, "node_modules"), join(folder, "node_modules"));
    const chosen = MUTATIONS.filter(({ id }) => only === undefined || only.split(",").includes(id));
    const found = chosen.map((mutation) => {
      const measured = tryOne(folder, mutation, { seeds, steps, tests });
      // After each: a run that is broken off has not been for nothing.
      if (write) writeFileSync(SPEC, tableOf(readFileSync(SPEC, "utf8"), MUTATIONS, [measured], steps));
      return measured;
    });
    const survivors = found.filter(({ by }) => by === "nobody");
    if (tests)
      console.log(
        `${found.length - survivors.length} of ${found.length} caught by a test${survivors.length > 0 ? `; survived: ${survivors.map(({ mutation }) => mutation.id).join(" ")}` : ""}`,
      );
    console.log(
      `${found.filter(({ worlds }) => worlds && worlds.broken > 0).length} of ${found.length} seen in a world`,
    );
    return survivors.length === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function tryOne(
  folder: string,
  mutation: Mutation,
  { seeds, steps, tests }: Pick<Options, "seeds" | "steps" | "tests">,
): Measured {
  const path = join(folder, mutation.file);
  const whole = readFileSync(path, "utf8");
  writeFileSync(path, patched(mutation, folder));
  try {
    const by = tests ? (firstFailing(folder, mutation.tests) ?? "nobody") : null;
    const worlds = seeds === 0 ? null : { broken: brokenWorlds(folder, seeds, steps), of: seeds };
    const told = by === null ? "" : by === "nobody" ? "SURVIVED; " : `${by.file}: "${by.name}"; `;
    console.log(`${mutation.id}: ${told}${worlds === null ? "" : `${worlds.broken} of ${worlds.of} worlds`}`);
    return { mutation, by, worlds };
  } finally {
    writeFileSync(path, whole);
  }
}

function firstFailing(folder: string, files: readonly string[]): Caught | null {
  for (const file of files) {
    const failing = failingTest(folder, file);
    if (failing !== null) return failing;
  }
  return null;
}

type Report = {
  readonly testResults: readonly {
    readonly message?: string;
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
};

/** The first test of the file that fails; null: all pass. A mutant that hangs is noticed by the time limit. */
function failingTest(folder: string, file: string): Caught | null {
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
  return Number(/ (\d+) violated, in /.exec(stdout)?.[1] ?? seeds);
}
