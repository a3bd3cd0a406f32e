import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bareLimit } from "./bare.ts";
import { hubPath } from "./hub-path.ts";
import { machine } from "./machine.ts";
import { HEADER_AND_5, ONE_ROW, rowsOf, type Shape } from "./shape.ts";
import { wholePath } from "./whole-path.ts";

const HELP = `npm run bench -- [--messages N] [--write]

Measures the hub alone and the whole path on SQLite with real processes, and beside them, in the same run, the bare limit of this machine:
the same rows by prepared statements in large transactions. Compare ratios, not figures of different runs.

  --messages N   messages of each scenario (default 20000)
  --write        put the table into docs/performance.md
`;

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "20000" },
    write: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
} else {
  await run(Number(values.messages), values.write);
}

async function run(messages: number, write: boolean): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "waybill-bench-"));
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const rate = (n: number): string => Math.round(n).toLocaleString("en-US").replaceAll(",", " ");
  const rows: string[] = [];
  try {
    for (const shape of [HEADER_AND_5, ONE_ROW] satisfies Shape[]) {
      const total = messages * rowsOf(shape);
      const per100k = (cpu: number): string => ((cpu * 100_000) / total).toFixed(1);
      say(`${shape.name}: bare limit …`);
      const bare = await bareLimit(folder, messages, shape);
      const add = (what: string, perSecond: number, more: string): void =>
        void rows.push(`| ${shape.name} | ${what} | ${rate(perSecond)} | ${(perSecond / bare).toFixed(2)} | ${more} |`);
      add("bare SQL, 1,000 sales a transaction", bare, "");
      for (const terminals of [1, 10, 100]) {
        say(`${shape.name}: hub alone, ${terminals} terminal(s) …`);
        const hub = await hubPath(join(folder, `hub-${shape.lines}-${terminals}`), {
          terminals,
          messages,
          perRequest: 100,
          connections: 4,
          shape,
        });
        add(
          `hub alone, ${terminals} terminal(s): HTTP → central commit`,
          hub.loadedRowsPerSecond,
          `accepted at ${rate(hub.acceptedRowsPerSecond)}/s, answer p50 ${hub.answerP50Ms.toFixed(1)} ms, p99 ${hub.answerP99Ms.toFixed(1)} ms, ${per100k(hub.hub.cpuSeconds)} CPU s per 100k rows, peak ${hub.hub.peakMib} MiB, ${hub.wireBytesPerRow.toFixed(0)} B a row on the wire`,
        );
      }
      say(`${shape.name}: whole path …`);
      const whole = await wholePath(join(folder, `whole-${shape.lines}`), messages, shape);
      add(
        "whole path: backlog in one till → central commit",
        whole.drainRowsPerSecond,
        `hub ${per100k(whole.hub.cpuSeconds)} + agent ${per100k(whole.agent.cpuSeconds)} CPU s per 100k rows, peak ${whole.hub.peakMib} + ${whole.agent.peakMib} MiB, agent's start included`,
      );
      add("till's own commits, no triggers", whole.tillRowsPerSecondBare, "one sale a transaction, synchronous=FULL");
      add(
        "till's own commits, captured",
        whole.tillRowsPerSecondCaptured,
        `${(whole.tillRowsPerSecondCaptured / whole.tillRowsPerSecondBare).toFixed(2)} of the same without triggers`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const table = [
    `${new Date().toISOString().slice(0, 10)}, ${machine()}; ${messages} messages a scenario.`,
    "",
    "| message | path | rows/s | of bare | more |",
    "|---|---|---:|---:|---|",
    ...rows,
  ].join("\n");
  process.stdout.write(`${table}\n`);
  if (write) {
    const page = new URL("../docs/performance.md", import.meta.url);
    writeFileSync(
      page,
      readFileSync(page, "utf8").replace(
        /(<!-- bench -->\n)[\s\S]*?(\n<!-- \/bench -->)/,
        (_, before: string, after: string) => before + table + after,
      ),
    );
  }
}
