import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { aims } from "./aims.ts";
import { machine } from "./machine.ts";
import { chart, table } from "./report.ts";
import { backlog } from "./scenarios/backlog.ts";
import { fanOut } from "./scenarios/fan-out.ts";
import { hubAlone } from "./scenarios/hub-alone.ts";
import { poison } from "./scenarios/poison.ts";
import { queues } from "./scenarios/queues.ts";
import { returning } from "./scenarios/returning.ts";
import { soap } from "./scenarios/soap.ts";
import { steady } from "./scenarios/steady.ts";
import { wholePath } from "./scenarios/whole-path.ts";
import { openPlace, type EngineName } from "./stations.ts";
import { bareLimits, type Figures, type Scenario, type World } from "./world.ts";

const SCENARIOS: readonly Scenario[] = [hubAlone, wholePath, steady, backlog, fanOut, returning, poison, queues, soap];

const HELP = `npm run bench -- [--ledger E] [--central E] [--terminal E] [--scenario LIST] [--scale S] [--write]

Measures real processes on this machine, and beside them, in the same run, the bare limit: the same rows in the fastest way that
the database takes them from a driver. Compare ratios within a run; figures of different runs say little about each other.

  --ledger E      sqlite or postgres (default sqlite), and the same for
  --central E     the central database
  --terminal E    the terminal's; PostgreSQL is started for the run, one server for all stations
  --scenario LIST names with commas (default all that the engines allow):
${SCENARIOS.map(({ name, about }) => `                    ${name.padEnd(10)} ${about}`).join("\n")}
  --scale S       smoke (seconds, proves the harness), quick (default, some minutes) or long (the full sizes)
  --terminals L   how many terminals send to the hub alone, a measurement each (default 1,10,100,1000)
  --write         put table and chart into docs/ (the three stations must be of one engine)

A scenario that fails is reported, the others go on, and the command ends with 1.
`;

const engine = (given: string, option: string): EngineName => {
  if (given === "sqlite" || given === "postgres") return given;
  return wrong(`--${option} must be sqlite or postgres, not "${given}"`);
};

function wrong(what: string): never {
  process.stderr.write(`${what}\nnpm run bench -- --help tells all options.\n`);
  process.exit(2);
}

function options() {
  try {
    return parseArgs({
      options: {
        ledger: { type: "string", default: "sqlite" },
        central: { type: "string", default: "sqlite" },
        terminal: { type: "string", default: "sqlite" },
        scenario: { type: "string" },
        scale: { type: "string", default: "quick" },
        terminals: { type: "string" },
        write: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (thrown) {
    return wrong(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** As a shell says it of a program that was interrupted. */
const BROKEN_OFF = 130;

const values = options();
if (values.help) process.stdout.write(HELP);
else process.exitCode = await main();

async function main(): Promise<number> {
  const engines = {
    ledger: engine(values.ledger, "ledger"),
    central: engine(values.central, "central"),
    terminal: engine(values.terminal, "terminal"),
  };
  const { scale } = values;
  if (scale !== "smoke" && scale !== "quick" && scale !== "long") wrong(`--scale must be smoke, quick or long`);
  const terminals = (values.terminals ?? (scale === "smoke" ? "2" : "1,10,100,1000")).split(",").map(Number);
  if (!terminals.every((n) => Number.isInteger(n) && n > 0)) wrong(`--terminals must be numbers above 0`);
  const oneEngine = engines.ledger === engines.central && engines.central === engines.terminal;
  if (values.write && !oneEngine) wrong("--write needs three stations of one engine");
  const chosen = chosenScenarios(engines);
  const say = (text: string): void => void process.stderr.write(`${new Date().toISOString().slice(11, 19)}  ${text}\n`);

  const folder = mkdtempSync(join(tmpdir(), "waybill-bench-"));
  chmodSync(folder, 0o711); // PostgreSQL runs as another user
  const measured: Figures[] = [];
  let failed = 0;
  let versions = "";
  try {
    const kinds = [...new Set(Object.values(engines))];
    await using opened = new AsyncDisposableStack();
    const places = new Map<EngineName, Awaited<ReturnType<typeof openPlace>>>();
    for (const kind of kinds) places.set(kind, opened.use(await openPlace(kind, folder)));
    // Its own PostgreSQL is in nobody's process group: stopped by hand, or it would outlive a run that is broken off.
    const leave = (): void =>
      void opened.disposeAsync().finally(() => {
        rmSync(folder, { recursive: true, force: true });
        process.exit(BROKEN_OFF);
      });
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, leave);
    const place = (kind: EngineName) => places.get(kind) ?? wrong(`no ${kind}`);
    versions = [...places.values()].map(({ version }) => version).join(", ");
    let names = 0;
    const parts: Omit<World, "bare"> = {
      folder,
      places: { ledger: place(engines.ledger), central: place(engines.central), terminal: place(engines.terminal) },
      scale,
      terminals,
      say,
      report: (figures) => {
        measured.push(figures);
        say(`    ${figures.what}: ${Math.round(figures.rowsPerSecond)} rows/s`);
      },
      fresh: (word) => `${word}_${++names}`,
    };
    const world: World = { ...parts, bare: bareLimits(parts) };
    for (const scenario of chosen) {
      try {
        await scenario.run(world);
      } catch (thrown) {
        failed++;
        say(`${scenario.name} failed: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const where = oneEngine
    ? engines.ledger
    : Object.entries(engines)
        .map((pair) => pair.join(" "))
        .join(", ");
  const about = `${new Date().toISOString().slice(0, 10)}, ${machine()}, ${versions}; ${where}, scale ${scale}`;
  const text =
    `${about}.\n\nCPU seconds are for 100,000 rows.\n\n${table(measured)}\n\n${aims(measured, oneEngine ? engines.ledger : null)}`.trimEnd();
  process.stdout.write(`${text}\n`);
  if (values.write && failed === 0) write(engines.ledger, text, chart(measured, about));
  return failed === 0 ? 0 : 1;
}

function chosenScenarios(engines: Readonly<Record<"ledger" | "central" | "terminal", EngineName>>): Scenario[] {
  const unable = (scenario: Scenario): string | null => scenario.needs?.(engines) ?? null;
  if (values.scenario === undefined) return SCENARIOS.filter((scenario) => unable(scenario) === null);
  return values.scenario.split(",").map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name);
    if (!found) return wrong(`there is no scenario "${name}": ${SCENARIOS.map((one) => one.name).join(", ")}`);
    const why = unable(found);
    return why === null ? found : wrong(`scenario ${name} ${why}`);
  });
}

function write(kind: EngineName, text: string, svg: string): void {
  const page = new URL("../docs/performance.md", import.meta.url);
  const picture = `performance-${kind}.svg`;
  writeFileSync(new URL(picture, page), svg);
  const section = `${text}\n\n![rows per second, ${kind}](${picture})`;
  writeFileSync(
    page,
    readFileSync(page, "utf8").replace(
      new RegExp(`(<!-- bench ${kind} -->\\n)[\\s\\S]*?\\n?(<!-- /bench -->)`),
      (_, before: string, after: string) => `${before}${section}\n${after}`,
    ),
  );
}
