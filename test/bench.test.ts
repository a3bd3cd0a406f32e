import { describe, expect, test } from "vitest";
import { chart, table } from "../bench/report.ts";
import type { Figures } from "../bench/world.ts";
import { spawnChild } from "./kit/child.ts";
import { REPO } from "./kit/repo.ts";

const bench = (...words: string[]) => spawnChild(process.execPath, [`${REPO}bench/bench.ts`, ...words]);

/** The harness, never its figures: a machine that is busy must not fail a test. */
describe("npm run bench", () => {
  test("carries every row of its smallest form through real processes and reports it", async () => {
    await using run = bench("--scale", "smoke", "--scenario", "steady,poison,fan-out");
    expect(await run.ended, run.stderr).toMatchObject({ code: 0 });
    for (const what of ["steady sales, 1 header + 9 lines", "10 % poison", "fan-out of 100 price changes to 2"]) {
      const line = run.stdout.split("\n").find((one) => one.startsWith(`| ${what}`));
      expect(line, `${what}\n${run.stdout}`).toBeDefined();
      expect(Number(line?.split("|")[2]?.replaceAll(" ", ""))).toBeGreaterThan(0);
    }
    expect(run.stdout).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("a scenario that is not there is named, with those that are", async () => {
    await using run = bench("--scenario", "teleport");
    expect(await run.ended).toMatchObject({ code: 2 });
    expect(run.stderr).toMatch(/"teleport".*hub, path, steady/);
  });

  test("an engine that a scenario cannot use is refused before anything starts", async () => {
    await using run = bench("--scenario", "queues");
    expect(await run.ended).toMatchObject({ code: 2 });
    expect(run.stderr).toContain("needs PostgreSQL as ledger and as centre");
  });
});

describe("the report", () => {
  const figures: Figures = {
    scenario: "hub",
    what: "hub <alone>",
    rows: 200_000,
    rowsPerSecond: 40_000,
    bare: 100_000,
    ours: { hub: { cpuSeconds: 4, peakMib: 200 }, agent: { cpuSeconds: 2, peakMib: 80 } },
    serverCpuSeconds: 5,
  };

  test("gives the ratio to the bare limit, and CPU seconds for 100,000 rows, ours apart from the server's", () => {
    expect(table([figures]).split("\n")[2]).toBe(
      "| hub <alone> | 40 000 | 0.40 |  |  | 3.0 (hub 2.0, agent 1.0) | 2.5 | hub 200, agent 80 |  |  |",
    );
  });

  test("the longest bar is the fastest, and names are escaped", () => {
    const svg = chart([figures, { ...figures, what: "slower", rowsPerSecond: 20_000 }], "now");
    const widths = [...svg.matchAll(/<rect x="400" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(widths[0]).toBeCloseTo((widths[1] ?? 0) * 2, 0);
    expect(svg).toContain("hub &lt;alone&gt;");
  });
});
