import { cpus, totalmem } from "node:os";
import type { ChaosReport } from "./chaos.ts";

/** The run in Markdown, for docs/chaos.md. */
export function reportOf(report: ChaosReport, date: string): string {
  const { plan, counts, faults, findings, starts } = report;
  const rows = [...counts].toSorted(([, a], [, b]) => b - a).map(([name, count]) => `| ${name} | ${count} |`);
  return [
    `${date}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, seed ${plan.seed}: ${plan.hubs} hub processes, ${plan.tills} tills (SQLite and PostgreSQL in turn), three PostgreSQL servers, ${Math.round(plan.seconds / 60)} minutes of faults.`,
    "",
    `| fault | times |`,
    `|---|---:|`,
    ...rows,
    `| **processes** | **${faults.process}** |`,
    `| **network** | **${faults.network}** |`,
    "",
    `Hubs were started ${starts.hubs} times, agents ${starts.agents} times. ${report.sales} sales with ${report.lines} lines were rung up; the centre was looked at ${report.looks} times meanwhile.`,
    `Both sides were equal ${(report.healedMs / 1_000).toFixed(1)} s after the last sale.`,
    "",
    findings.length === 0
      ? "**Verdict: nothing lost, nothing doubled, nothing out of order, nothing seen in part.**"
      : `**Verdict: ${findings.length} finding(s).**\n\n${findings.map((finding) => `- ${finding}`).join("\n")}`,
  ].join("\n");
}
