import { oursPer100k } from "./report.ts";
import type { Figures } from "./world.ts";

/** A figure that we aim at on the machine of docs/performance.md, and how it is read off a run. */
type Aim = {
  readonly what: string;
  readonly engine?: string;
  /** Undefined: this run did not measure it. */
  readonly of: (run: Run) => number | undefined;
} & ({ readonly least: number } | { readonly most: number });

class Run {
  readonly #all: readonly Figures[];
  constructor(all: readonly Figures[]) {
    this.#all = all;
  }
  /** The line whose name begins so. */
  line(what: string): Figures | undefined {
    return this.#all.find((one) => one.what.startsWith(what));
  }
  rate(what: string): number | undefined {
    return this.line(what)?.rowsPerSecond;
  }
  /** Quotient of what two lines say. */
  ratio(of: Figures | undefined, to: Figures | undefined, read: (one: Figures) => number): number | undefined {
    return of && to ? read(of) / read(to) : undefined;
  }
  /** The most that a process of this name held at its peak. */
  peak(name: string): number | undefined {
    const peaks = this.#all.flatMap(({ ours }) => ours?.[name]?.peakMib ?? []).filter((mib) => !Number.isNaN(mib));
    return peaks.length === 0 ? undefined : Math.max(...peaks);
  }
  backlogs(): readonly (Figures | undefined)[] {
    const all = this.#all.filter(({ scenario }) => scenario === "backlog");
    return [all.at(0), all.at(-1)];
  }
}

const DRAINED = "whole path, backlog drained, 1 header + 9 lines";
const SELLING = "whole path, while the till sells, 1 header + 9 lines";
const STEADY = "steady sales, 1 header + 9 lines";
const HUB = "hub alone, 1 header + 5 lines, 20 terminal(s)";
const BESIDE = "hub alone beside the queues";
const series = (terminals: number): string => `hub alone, 1 header + 5 lines, ${terminals} terminal(s), small requests`;
const allCpu = (one: Figures): number => oursPer100k(one) + ((one.serverCpuSeconds ?? 0) * 100_000) / one.rows;

const AIMS: readonly Aim[] = [
  { what: "backlog drained, rows/s", engine: "postgres", of: (run) => run.rate(DRAINED), least: 30_000 },
  { what: "the same, SQLite at every station", engine: "sqlite", of: (run) => run.rate(DRAINED), least: 40_000 },
  { what: "while the till sells, rows/s", engine: "postgres", of: (run) => run.rate(SELLING), least: 20_000 },
  {
    what: "CPU seconds of ours for 100,000 rows of the backlog",
    of: (run) => run.ratio(run.line(DRAINED), ONE, oursPer100k),
    most: 3,
  },
  { what: "2,000 rows/s steady, p50 ms", of: (run) => run.line(STEADY)?.p50Ms, most: 40 },
  { what: "2,000 rows/s steady, p99 ms", of: (run) => run.line(STEADY)?.p99Ms, most: 150 },
  { what: "hub alone, rows/s", of: (run) => run.rate(HUB), least: 40_000 },
  {
    what: "hub alone, of pg-boss's rows/s",
    engine: "postgres",
    of: (run) => run.ratio(run.line(BESIDE), run.line("pg-boss"), ({ rowsPerSecond }) => rowsPerSecond),
    least: 1,
  },
  {
    what: "hub alone, of graphile-worker's rows/s",
    engine: "postgres",
    of: (run) => run.ratio(run.line(BESIDE), run.line("graphile-worker"), ({ rowsPerSecond }) => rowsPerSecond),
    least: 1,
  },
  { what: "the agent's peak, MiB", of: (run) => run.peak("agent"), most: 80 },
  { what: "the hub's peak, MiB", of: (run) => run.peak("hub"), most: 250 },
  {
    what: "CPU a row with 1,000 terminals, of that with one, the server's included",
    of: (run) => run.ratio(run.line(series(1_000)), run.line(series(1)), allCpu),
    most: 1.5,
  },
  {
    what: "CPU a row of the large backlog, of that of the small one, the server's included",
    of: (run) => {
      const [small, large] = run.backlogs();
      // The hub's start is taken off, and may have cost more than the small one: then nothing can be said.
      return small && large && allCpu(small) > 0 && allCpu(large) > 0 ? allCpu(large) / allCpu(small) : undefined;
    },
    most: 1.2,
  },
  {
    what: "healthy rows in the storm, of the clean rate",
    of: (run) => run.ratio(run.line("10 % poison"), run.line("all healthy"), ({ rowsPerSecond }) => rowsPerSecond),
    least: 0.7,
  },
];
/** A divisor that leaves what is divided. */
const ONE: Figures = {
  scenario: "",
  what: "",
  rows: 100_000,
  rowsPerSecond: 1,
  ours: { one: { cpuSeconds: 1, peakMib: 0 } },
};

/** What is aimed at and what this run measured of it, as a Markdown table. @param engine of all stations; null: of several */
export function aims(all: readonly Figures[], engine: string | null): string {
  const run = new Run(all);
  const rows = AIMS.filter((aim) => aim.engine === undefined || aim.engine === engine).flatMap((aim) => {
    const value = aim.of(run);
    if (value === undefined) return [];
    const isReached = "least" in aim ? value >= aim.least : value <= aim.most;
    const wanted = "least" in aim ? `at least ${told(aim.least)}` : `at most ${told(aim.most)}`;
    return [`| ${aim.what} | ${wanted} | ${told(value)} | ${isReached ? "yes" : "no"} |`];
  });
  return rows.length === 0 ? "" : ["| aim | wanted | measured | reached |", "|---|---:|---:|---|", ...rows].join("\n");
}

const told = (value: number): string =>
  value >= 1_000
    ? Math.round(value).toLocaleString("en-US").replaceAll(",", " ")
    : String(Number(value.toPrecision(3)));
