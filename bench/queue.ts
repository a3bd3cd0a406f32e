import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client } from "pg";
import { epoch, seq, terminalId, workerId } from "../src/base/ids.ts";
import { systemRuntime } from "../src/base/runtime.ts";
import { openLedger } from "../src/ledger/open.ts";
import type { Ledger, Submission } from "../src/ledger/port.ts";
import { CHAIN_START, chainNext } from "../src/message/chain.ts";
import { spawnBuilt } from "./program.ts";
import { arrived, prepared, salesOf, sendAll } from "./lanes.ts";
import { startBenchHub } from "./hub.ts";
import { percentile, timed } from "./machine.ts";
import { HEADER_AND_5, rowsOf, saleId } from "./shape.ts";
import { openPlace, type Place } from "./stations.ts";

/**
 * What makes queues on PostgreSQL slow: a deep backlog, and an old transaction somewhere that keeps every dead row. Prints two
 * tables of ratios, each within one run.
 */
const HELP = `npm run bench:queue -- [--backlog N] [--churn N]

  --backlog N   messages waiting in the deep case (default 1000000; the shallow one has 1000)
  --churn N     messages carried while a transaction is held open, before anything is measured (default 60000)
`;
const { values } = parseArgs({
  options: {
    backlog: { type: "string", default: "1000000" },
    churn: { type: "string", default: "60000" },
    help: { type: "boolean", default: false },
  },
});
const LANES = 50;
const CLAIMS = 300;
const worker = workerId("bench");

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "waybill-bench-"));
  chmodSync(folder, 0o711); // PostgreSQL runs as another user
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  try {
    await using place = await openPlace("postgres", folder);
    say("claims …");
    const shallow = await claimCost(place, 1_000);
    const deep = await claimCost(place, Number(values.backlog));
    const ms = (of: number): string => of.toFixed(2);
    process.stdout.write(
      `| messages waiting | claim p50 | p99 |\n|---:|---:|---:|\n| 1,000 | ${ms(shallow.p50)} ms | ${ms(shallow.p99)} ms |\n` +
        `| ${Number(values.backlog).toLocaleString("en-US")} | ${ms(deep.p50)} ms | ${ms(deep.p99)} ms |\n| ratio | ${(deep.p50 / shallow.p50).toFixed(2)} | |\n\n`,
    );
    process.stdout.write("| transaction held open in | rows/s | of none |\n|---|---:|---:|\n");
    let none = 0;
    for (const where of ["none", "ledger", "centre"] as const) {
      say(`held in ${where} …`);
      const rate = await heldOpen(join(folder, where), place, where, Number(values.churn));
      none ||= rate;
      process.stdout.write(`| ${where} | ${Math.round(rate)} | ${(rate / none).toFixed(2)} |\n`);
    }
    say("held in the till …");
    const churn = Math.ceil(Number(values.churn) / 4);
    const calm = await heldAtTill(join(folder, "calm"), place, false, churn);
    const held = await heldAtTill(join(folder, "held"), place, true, churn);
    process.stdout.write(`| none (whole path, one till that sells) | ${Math.round(calm)} | 1.00 |\n`);
    process.stdout.write(`| the till | ${Math.round(held)} | ${(held / calm).toFixed(2)} |\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A request's worth of a lane's messages, as ingest hands it to the ledger. */
function submission(lane: number, after: number, count: number, chain: Uint8Array): Submission {
  const texts = Array.from({ length: count }, (_, i) =>
    JSON.stringify({ seq: after + i + 1, at: "2026-11-26T09:00:00Z", changes: [], note: "x".repeat(300) }),
  );
  const chains = new Uint8Array(32 * count);
  let at = chain;
  let end = 0;
  const lines = texts.map((text, i) => {
    at = chainNext(at, Buffer.from(text));
    chains.set(at, 32 * i);
    end += Buffer.byteLength(text) + 1;
    return {
      seq: seq(after + i + 1),
      part: 0,
      more: false,
      end,
      at: systemRuntime.clock.now(),
      changes: 0,
      search: [],
    };
  });
  const body = Buffer.from(`${texts.join("\n")}\n`);
  return {
    ...{ terminal: terminalId(`t${lane}`), epoch: epoch("e1"), after: seq(after), part: 0, chain, oldest: null },
    ...{ body, lines, chains },
  };
}

async function fill(ledger: Ledger, messages: number): Promise<void> {
  const each = Math.ceil(messages / LANES);
  const per = Math.min(each, 500);
  const chains: Uint8Array[] = Array.from({ length: LANES }, () => CHAIN_START);
  for (let after = 0; after < each; after += per) {
    const asked = chains.map((chain, lane) => submission(lane, after, Math.min(per, each - after), chain));
    const answers = await ledger.lanes.append(asked);
    for (const [lane, answer] of answers.entries()) {
      if ("refused" in answer) throw new Error(answer.what);
      chains[lane] = answer.chain;
    }
  }
}

/** Milliseconds of a claim of four lanes, given back each time so that the next finds the same backlog. */
async function claimCost(place: Place, messages: number): Promise<{ readonly p50: number; readonly p99: number }> {
  await using ledger = await openLedger(await place.ledger(`claims_${messages}`), systemRuntime);
  await fill(ledger, messages);
  const times: number[] = [];
  for (let n = 0; n < CLAIMS; n++) {
    let claims: Awaited<ReturnType<Ledger["work"]["claim"]>> = [];
    const claim = async (): Promise<void> => {
      claims = await ledger.work.claim(worker, { lanes: 4, messages: 10, bytes: 64 * 1024 }, 30_000);
    };
    times.push(await timed(claim));
    if (claims.length === 0) throw new Error("nothing was claimed");
    await ledger.work.release(
      claims.map(({ lane, fence }) => ({ lane, fence })),
      0,
      "bench",
    );
  }
  times.splice(0, 30); // the first ones prepare their statements
  times.sort((a, b) => a - b);
  return { p50: percentile(times, 50), p99: percentile(times, 99) };
}

/**
 * Rows a second of the hub alone, after `churn` messages in small batches went through the same lanes under a transaction that has
 * seen the database as it was before: every version of every hot row since is still there.
 */
async function heldOpen(
  folder: string,
  place: Place,
  where: "none" | "ledger" | "centre",
  churn: number,
): Promise<number> {
  await using central = await place.station(`held_${where}_central`);
  const ledger = await place.ledger(`held_${where}_ledger`);
  // Small batches: as many versions of each lane's rows as ten minutes of a slow day make.
  await using hub = await startBenchHub(folder, { ledger, central: central.url });
  const holder = new Client({ connectionString: where === "centre" ? central.url : ledger });
  await holder.connect();
  if (where !== "none") await holder.query("begin isolation level repeatable read; select count(*) from pg_class");
  const measured = 20_000;
  const terminals = 10;
  const each = Math.ceil((churn + measured) / terminals);
  const perRequest = 10;
  const senders = await prepared(hub, terminals, each * terminals, salesOf(HEADER_AND_5, perRequest));
  const cut = Math.ceil(churn / terminals / perRequest);
  const share = (from: number, to: number): typeof senders =>
    senders.map(({ requests, ...lane }) => ({ ...lane, requests: requests.slice(from, to) }));
  const lastOf = (n: number): string[] => senders.map((_, at) => saleId(`t${at + 1}`, n));
  await sendAll(hub.post, share(0, cut), 4);
  await arrived(central, lastOf(cut * perRequest), hub);
  const began = performance.now();
  await sendAll(hub.post, share(cut, Number.POSITIVE_INFINITY), 4);
  await arrived(central, lastOf(each), hub);
  const seconds = (performance.now() - began) / 1_000;
  await holder.end();
  return ((each - cut * perRequest) * terminals * rowsOf(HEADER_AND_5)) / seconds;
}

/**
 * Rows a second from a till's commits to the centre, its agent running, after `churn` sales were captured and sent under a
 * transaction of the till's own database that has seen it as it was before.
 */
async function heldAtTill(folder: string, place: Place, held: boolean, churn: number): Promise<number> {
  const name = `till_${held}`;
  await using central = await place.station(`${name}_central`);
  await using till = await place.station(name);
  await using hub = await startBenchHub(folder, { ledger: await place.ledger(`${name}_ledger`), central: central.url });
  await using _ = spawnBuilt([
    ...["terminal", "--log", "warn", "--hub", hub.address, "--id", "t1", "--database", till.url],
    ...["--state", join(folder, "agent"), "--token", await hub.token("t1")],
  ]);
  await till.ring("t1", 1, 1, HEADER_AND_5);
  await arrived(central, [saleId("t1", 1)], hub);
  const holder = new Client({ connectionString: till.url });
  await holder.connect();
  if (held) await holder.query("begin isolation level repeatable read; select count(*) from pg_class");
  await till.ring("t1", 2, churn, HEADER_AND_5);
  await arrived(central, [saleId("t1", churn + 1)], hub);
  const measured = 5_000;
  const began = performance.now();
  await till.ring("t1", churn + 2, measured, HEADER_AND_5);
  await arrived(central, [saleId("t1", churn + 1 + measured)], hub);
  const seconds = (performance.now() - began) / 1_000;
  await holder.end();
  return (measured * rowsOf(HEADER_AND_5)) / seconds;
}

if (values.help) process.stdout.write(HELP);
else await main();
