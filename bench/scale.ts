import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { systemRuntime } from "../src/base/runtime.ts";
import { openLedger } from "../src/ledger/open.ts";
import { machine, timed } from "./machine.ts";
import { generate } from "./scale/generate.ts";
import { measure, searchCost } from "./scale/measure.ts";

const HELP = `npm run bench:scale -- --ledger URL [--messages N] [--terminals N] [--groups N] [--make]

Makes a ledger of many messages in one process, and asks it what operators ask while ingest goes on at full rate.

  --ledger URL     sqlite:/path/to/ledger.db (made when it is not there) or postgres://host/database?schema=name
  --messages N     messages in the ledger (default 5000000)
  --terminals N    terminals that sent them (default 10000)
  --groups N       group commits of 1,250 messages in each window of ingest (default 20)
  --make           make it (PostgreSQL: the schema must not be there yet)
  --only-make      and ask nothing
`;
const { values } = parseArgs({
  options: {
    ledger: { type: "string" },
    messages: { type: "string", default: "5000000" },
    terminals: { type: "string", default: "10000" },
    groups: { type: "string", default: "20" },
    make: { type: "boolean", default: false },
    "only-make": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

async function main(url: string): Promise<void> {
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const out = (text: string): void => void process.stdout.write(`${text}\n`);
  const size = { terminals: Number(values.terminals), messages: Number(values.messages) };
  const isThere = url.startsWith("sqlite:") && existsSync(url.slice("sqlite:".length));
  if (values.make || values["only-make"] || (url.startsWith("sqlite:") && !isThere)) {
    const took = await timed(() => generate(url, size, say));
    out(`made ${size.messages} messages of ${size.terminals} terminals in ${(took / 1_000).toFixed(0)} s`);
  }
  if (values["only-make"]) return;
  await using ledger = await openLedger(url, systemRuntime);
  out(`${new Date().toISOString().slice(0, 10)}, ${machine()}; ${url.replace(/:.*/, "")} ledger\n`);
  const figures = await measure(ledger, size, Number(values.groups), say);
  out(
    "| while ingest goes on at full rate | p50 ms | worst ms | ingest, of that alone | alone, messages/s |\n|---|---:|---:|---:|---:|",
  );
  for (const { what, p50Ms, worstMs, ofIngest, perSecond } of figures)
    out(
      `| ${what} | ${p50Ms.toFixed(1)} | ${worstMs.toFixed(0)} | ${ofIngest.toFixed(2)} | ${Math.round(perSecond)} |`,
    );
  const costs = await searchCost(ledger, Number(values.groups));
  const none = costs[0]?.perSecond ?? 1;
  out("\n| searchable values of a message | messages/s | of none |\n|---:|---:|---:|");
  for (const { values: n, perSecond } of costs)
    out(`| ${n} | ${Math.round(perSecond)} | ${(perSecond / none).toFixed(2)} |`);
}

if (values.help || values.ledger === undefined) process.stdout.write(HELP);
else await main(values.ledger);
