import { fileURLToPath } from "node:url";
import { spawnChild } from "../../test/kit/child.ts";
import type { Scenario } from "../world.ts";

/** The entrance's own measurement, in a process of its own; its lines are taken over. */
export const soap: Scenario = {
  name: "soap",
  about: "SOAP beside NDJSON: 20,000 messages into the ledger (SQLite), one run for both entrances",
  needs: ({ ledger }) => (ledger === "sqlite" ? null : "is measured with --ledger sqlite"),
  run: async (world) => {
    world.say("soap beside NDJSON");
    await using child = spawnChild(process.execPath, [fileURLToPath(new URL("../soap.ts", import.meta.url))]);
    const { code } = await child.ended;
    if (code !== 0) throw new Error(`bench/soap.ts ended with ${code}\n${child.stderr}`);
    const lines = child.stdout.split("\n").filter((line) => /^\| (NDJSON|SOAP)/.test(line));
    if (lines.length !== 2) throw new Error(`bench/soap.ts wrote no table:\n${child.stdout}`);
    for (const line of lines) {
      const [, entrance = "", perSecond, p50, p99, share, cpu] = line.split("|").map((cell) => cell.trim());
      world.report({
        scenario: "soap",
        what: `entrance, ${entrance}, 1 row a message`,
        rows: 20_000,
        rowsPerSecond: Number(perSecond),
        p50Ms: Number(p50),
        p99Ms: Number(p99),
        ours: { hub: { cpuSeconds: Number(cpu) / 50, peakMib: Number.NaN } },
        note: `stored and acknowledged; ${share} of NDJSON's pace`,
      });
    }
  },
};
