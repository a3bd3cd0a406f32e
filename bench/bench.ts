import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { hubPath } from "./hub-path.ts";
import { machine } from "./machine.ts";
import { HEADER_AND_5, ONE_ROW, rowsOf, sale, type Shape } from "./shape.ts";
import { openPlace, type EngineName } from "./stations.ts";
import { wholePath } from "./whole-path.ts";

const HELP = `npm run bench -- [--stations sqlite|postgres] [--messages N] [--terminals 1,10,100] [--write]

Measures the hub alone and the whole path with real processes, and beside them, in the same run, the bare limit of this machine: the same
rows in the fastest way the database takes them. Compare ratios, not figures of different runs.

  --stations E   till, ledger and centre on this engine (default sqlite); postgres starts a server of its own
  --messages N   messages of each scenario (default 20000)
  --terminals L  how many terminals send to the hub alone, one run each (default 1,10,100)
  --write        put the table into docs/performance.md
`;

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "20000" },
    stations: { type: "string", default: "sqlite" },
    terminals: { type: "string", default: "1,10,100" },
    write: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
} else {
  await run(
    values.stations === "postgres" ? "postgres" : "sqlite",
    Number(values.messages),
    values.terminals.split(",").map(Number),
    values.write,
  );
}

async function run(engine: EngineName, messages: number, counts: readonly number[], write: boolean): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "waybill-bench-"));
  chmodSync(folder, 0o711); // PostgreSQL runs as another user
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const rate = (n: number): string => Math.round(n).toLocaleString("en-US").replaceAll(",", " ");
  const rows: string[] = [];
  let version = "";
  try {
    await using place = await openPlace(engine, folder);
    version = place.version;
    for (const shape of [HEADER_AND_5, ONE_ROW] satisfies Shape[]) {
      const total = messages * rowsOf(shape);
      const per100k = (cpu: number): string => ((cpu * 100_000) / total).toFixed(1);
      say(`${shape.name}: bare limit …`);
      await using empty = await place.station(`bare_${shape.lines}`);
      const sales = Array.from({ length: messages }, (_, i) => sale("bare", i + 1, shape));
      const bare = (total * 1_000) / (await empty.bulk(sales));
      const add = (what: string, perSecond: number, more: string): void =>
        void rows.push(`| ${shape.name} | ${what} | ${rate(perSecond)} | ${(perSecond / bare).toFixed(2)} | ${more} |`);
      add("bare SQL, 1,000 sales a transaction", bare, "");
      for (const terminals of counts) {
        say(`${shape.name}: hub alone, ${terminals} terminal(s) …`);
        const hub = await hubPath(join(folder, `hub-${shape.lines}-${terminals}`), place, {
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
      const whole = await wholePath(join(folder, `whole-${shape.lines}`), place, messages, shape);
      add(
        "whole path: backlog in one till → central commit",
        whole.drainRowsPerSecond,
        `hub ${per100k(whole.hub.cpuSeconds)} + agent ${per100k(whole.agent.cpuSeconds)} CPU s per 100k rows, peak ${whole.hub.peakMib} + ${whole.agent.peakMib} MiB, agent's start included`,
      );
      add("till's own commits, no triggers", whole.tillRowsPerSecondBare, "one sale a transaction, fully durable");
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
    `${new Date().toISOString().slice(0, 10)}, ${machine()}, ${version}; ${messages} messages a scenario.`,
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
        new RegExp(`(<!-- bench ${engine} -->\\n)[\\s\\S]*?(\\n<!-- /bench -->)`),
        (_, before: string, after: string) => before + table + after,
      ),
    );
  }
}
