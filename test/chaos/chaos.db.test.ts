import { expect, test } from "vitest";
import { findPrograms } from "../kit/cluster.ts";
import { describeFound } from "../kit/needs.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { runChaos } from "./chaos.ts";

/** The short form of `npm run chaos`: three hubs, tills on both engines, all kinds of faults, a fresh seed each time. */
describeFound("postgres", findPrograms(), "chaos", () => {
  test("I1–I8: processes die and networks break, and the books are right", { timeout: 240_000 }, async (context) => {
    await using dir = tempDir("others");
    const seed = Math.floor(Math.random() * 2 ** 31);
    const report = await runChaos(dir.path, { seed, hubs: 3, tills: 4, seconds: 15, rounds: 1 });
    await context.annotate(`seed ${seed}: ${JSON.stringify([...report.counts])}`);
    expect(report.findings).toEqual([]);
    expect(report.faults.process).toBeGreaterThan(2);
    expect(report.faults.network).toBeGreaterThan(2);
  });
});
