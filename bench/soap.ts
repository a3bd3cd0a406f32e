import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { zstdCompressSync } from "node:zlib";
import { systemRuntime } from "../src/base/runtime.ts";
import { spawnBuilt } from "./program.ts";
import { freePort } from "../test/kit/free-port.ts";
import { until } from "../test/kit/until.ts";
import { machine, percentile, timed, usageOf } from "./machine.ts";

/**
 * SOAP beside NDJSON, in one run against one hub process: 20,000 messages in batches of 100 from 8 connections into the
 * ledger, each kind with lanes of its own. What is measured is the answer, which is sent after the durable commit.
 */
const MESSAGES = 20_000;
const BATCH = 100;
const CONNECTIONS = 8;
const EACH = MESSAGES / CONNECTIONS;

type Figures = {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** The hub's alone, loading included: on a busy machine the steadier figure. */
  readonly cpuSeconds: number;
};
type Request = { readonly body: Buffer; readonly headers: Readonly<Record<string, string>> };

const payload = (n: number): string =>
  JSON.stringify({ sale_id: `S-${n}`, store_id: "014", cashier: "cashier 3", total: "12.50", note: "x".repeat(200) });

function soapRequests(terminal: string, key: string): Request[] {
  const headers = {
    "content-type": "text/xml; charset=utf-8",
    soapaction: '"urn:waybill:terminal:v1/ITerminalSync/SubmitMessages"',
    authorization: `Basic ${Buffer.from(`${terminal}:${key}`).toString("base64")}`,
  };
  return batches(
    (n) =>
      `<SyncMessage><sequence>${n}</sequence><messageId>${terminal}-${n}</messageId><entity>sale</entity><operation>create</operation><key>S-${n}</key><occurredAt>2026-03-04T05:06:07.1234567Z</occurredAt><contentType>application/json</contentType><payload>${payload(n)}</payload></SyncMessage>`,
  ).map(({ lines }) => ({
    headers,
    body: Buffer.from(
      `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><SubmitMessages xmlns="urn:waybill:terminal:v1"><terminalId>${terminal}</terminalId><messages>${lines.join("")}</messages></SubmitMessages></s:Body></s:Envelope>`,
    ),
  }));
}

function ndjsonRequests(chainOf: (before: string, line: string) => string, key: string): Request[] {
  const headers = {
    "content-type": "application/x-ndjson",
    "content-encoding": "zstd",
    authorization: `Bearer ${key}`,
  };
  let chain = "0".repeat(64);
  return batches(
    (n) =>
      `{"seq":${n},"at":"2026-03-04T05:06:07.1234567Z","changes":[{"table":"document:sale","op":"insert","key":{"id":"S-${n}"},"row":{"id":"S-${n}","type":"sale","body":${payload(n)}}}]}`,
  ).map(({ after, lines }) => {
    const header = JSON.stringify({ epoch: "e1", after, chain });
    for (const line of lines) chain = chainOf(chain, line);
    return { headers, body: zstdCompressSync(Buffer.from(`${[header, ...lines].join("\n")}\n`)) };
  });
}

const batches = (lineOf: (n: number) => string): { after: number; lines: string[] }[] =>
  Array.from({ length: EACH / BATCH }, (_, batch) => ({
    after: batch * BATCH,
    lines: Array.from({ length: BATCH }, (_each, i) => lineOf(batch * BATCH + i + 1)),
  }));

async function measure(
  base: string,
  path: string,
  senders: readonly (readonly Request[])[],
  hub: { readonly pid: number; readonly loaded: () => Promise<unknown> },
): Promise<Figures> {
  const latencies: number[] = [];
  const before = usageOf(hub.pid).cpuSeconds;
  const began = performance.now();
  await Promise.all(
    senders.map(async (requests) => {
      for (const { body, headers } of requests) {
        latencies.push(
          await timed(async () => {
            const answer = await systemRuntime.network.request({
              method: "POST",
              url: `${base}${path}`,
              headers,
              body,
              timeoutMs: 60_000,
            });
            if (answer.status !== 200)
              throw new Error(
                `${path} answered ${answer.status}: ${Buffer.from(answer.body).toString("utf8").slice(0, 500)}`,
              );
          }),
        );
      }
    }),
  );
  const seconds = (performance.now() - began) / 1_000;
  latencies.sort((a, b) => a - b);
  // What the first kind left to be loaded must not slow the second.
  await hub.loaded();
  const cpuSeconds = usageOf(hub.pid).cpuSeconds - before;
  return { perSecond: MESSAGES / seconds, p50: percentile(latencies, 50), p99: percentile(latencies, 99), cpuSeconds };
}

async function run(folder: string): Promise<void> {
  mkdirSync(join(folder, "data"), { recursive: true });
  const port = await freePort();
  const central = new DatabaseSync(join(folder, "data/central.db"));
  central.exec("pragma journal_mode = wal; create table kept (id text primary key)");
  central.close();
  const config = join(folder, "waybill.config.mjs");
  // Loading is kept small on purpose: this is the figure of the entrance.
  writeFileSync(
    config,
    `export default ${JSON.stringify({ port, tables: { "document:sale": { direction: "up", target: "kept" } } }).replace('"target":"kept"', '"target":"kept","transform":() => null')}`,
  );
  await using hub = spawnBuilt(["hub", "--log", "error", "--config", config]);
  await hub.waitForLine(/The hub answers at/, { timeoutMs: 60_000 });
  const base = `http://127.0.0.1:${port}`;
  const operator = readFileSync(join(folder, "data/ledger.db.operator-token"), "utf8").trim();
  const post = async (path: string, token: string, body: unknown): Promise<Record<string, string>> => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await systemRuntime.network.request({
      method: "POST",
      url: `${base}${path}`,
      headers,
      body: Buffer.from(JSON.stringify(body)),
      timeoutMs: 10_000,
    });
    return JSON.parse(Buffer.from(answer.body).toString("utf8")) as Record<string, string>;
  };
  const overview = async (): Promise<{ readonly backlog: number }> => {
    const answer = await systemRuntime.network.request({
      method: "GET",
      url: `${base}/api/overview`,
      headers: { authorization: `Bearer ${operator}` },
      timeoutMs: 10_000,
    });
    return JSON.parse(Buffer.from(answer.body).toString("utf8")) as { backlog: number };
  };
  const enrol = async (terminal: string): Promise<string> => {
    const { token } = await post("/api/enroll-tokens", operator, { terminal });
    return (await post("/v1/enroll", token ?? "", { token, terminal }))["key"] ?? "";
  };
  const { chainNext, chainHex, chainOf } = await import("../src/message/chain.ts");
  const next = (before: string, line: string): string =>
    chainHex(chainNext(chainOf(before) ?? new Uint8Array(32), Buffer.from(line)));
  const terminals = Array.from({ length: CONNECTIONS }, (_, i) => i + 1);
  const ndjson = await Promise.all(terminals.map(async (i) => ndjsonRequests(next, await enrol(`n${i}`))));
  const soap = await Promise.all(terminals.map(async (i) => soapRequests(`s${i}`, await enrol(`s${i}`))));
  const loaded = (): Promise<unknown> =>
    until(async () => (await overview()).backlog === 0, { timeoutMs: 60_000, what: "all loaded" });
  const watched = { pid: hub.pid, loaded };
  const plain = await measure(base, "/v1/messages", ndjson, watched);
  const wcf = await measure(base, "/soap/terminal/basic", soap, watched);
  const line = (name: string, { perSecond, p50, p99, cpuSeconds }: Figures): string =>
    `| ${name} | ${Math.round(perSecond)} | ${p50.toFixed(1)} | ${p99.toFixed(1)} | ${(perSecond / plain.perSecond).toFixed(2)} | ${((cpuSeconds * 1e6) / MESSAGES).toFixed(0)} |`;
  process.stdout.write(
    [
      `${MESSAGES} messages, ${BATCH} a request, ${CONNECTIONS} connections; ${machine()}`,
      "",
      "| entrance | messages/s | p50 ms | p99 ms | of NDJSON | CPU µs a message |",
      "|---|---:|---:|---:|---:|---:|",
      line("NDJSON (zstd)", plain),
      line("SOAP 1.1", wcf),
      "",
    ].join("\n"),
  );
  await hub.kill("SIGTERM");
}

const folder = mkdtempSync(join(tmpdir(), "waybill-bench-soap-"));
try {
  await run(folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
