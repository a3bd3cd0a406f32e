import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { spawnChild } from "../../test/kit/child.ts";
import { collector } from "../../test/kit/otlp.ts";
import { until } from "../../test/kit/until.ts";
import { instant } from "../base/clock.ts";
import { systemRuntime } from "../base/runtime.ts";
import { createLog } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { newContext } from "./trace-context.ts";
import { openTracing } from "./open-tracing.ts";
import { tracingConfig, type Tracing } from "./tracing.ts";

const opened = (url: string | undefined, to: string[] = [], metrics = new Metrics()): Promise<Tracing> =>
  openTracing({
    settings: tracingConfig.parse(url === undefined ? {} : { url }),
    ...{ service: "waybill-hub", instance: "h1", runtime: systemRuntime, metrics },
    log: createLog({ level: "info", form: "json", to: { write: (line) => void to.push(line) } }),
  });
/** By a till whose clock lost its battery. The SDK takes so small a bare number for a time since its own start. */
const LONG_AGO = instant(Date.UTC(1980, 0, 2, 3, 4, 5, 678));

test("a span arrives with its ids, its times, its links and its fault", async () => {
  await using collecting = await collector();
  const tracing = await opened(collecting.url);
  const [first, batch] = [newContext(systemRuntime.random), newContext(systemRuntime.random)];
  tracing.span({ as: first }, { name: "capture", kind: "producer", from: LONG_AGO, to: LONG_AGO });
  tracing.span(
    { parent: first },
    {
      name: "load",
      kind: "consumer",
      from: LONG_AGO,
      to: instant(LONG_AGO + 1_500),
      attributes: { n: 7 },
      links: [batch],
      fault: "ROW_REFUSED",
    },
  );
  await tracing.close();
  const [capture, load] = collecting.spans;
  expect(capture).toMatchObject({
    ...first,
    parent: null,
    name: "capture",
    service: "waybill-hub",
    instance: "h1",
    failed: false,
  });
  expect(capture?.from).toBe(BigInt(LONG_AGO) * 1_000_000n);
  expect(load).toMatchObject({
    traceId: first.traceId,
    parent: first.spanId,
    links: [batch],
    attributes: { n: "7" },
    failed: true,
  });
  expect((load?.to ?? 0n) - (load?.from ?? 0n)).toBe(1_500_000_000n);
});

test("a collector that is away costs spans only: it is said once, counted, and said again when it is back", async () => {
  const server: Server = createServer((_, answer) => answer.writeHead(status).end());
  let status = 400;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const lines: string[] = [];
  const metrics = new Metrics();
  const tracing = await opened(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, lines, metrics);
  const tell = (): void =>
    tracing.span(
      { as: newContext(systemRuntime.random) },
      { name: "x", kind: "internal", from: LONG_AGO, to: LONG_AGO },
    );
  const fate = (name: string): number => metrics.value("waybill_spans_total", { fate: name });
  for (const failed of [1, 2]) {
    tell();
    await until(() => fate("failed") === failed, { timeoutMs: 10_000, what: "a refused batch" });
  }
  status = 200;
  tell();
  await until(() => fate("sent") === 1, { timeoutMs: 10_000, what: "a batch that was taken" });
  expect(fate("made")).toBe(3);
  const events = lines.map((line) => (JSON.parse(line) as { event: string }).event);
  expect(events).toEqual(["traces.unsent", "traces.sent-again"]);
  await tracing.close();
  server.close();
});

test("without an address nothing of the tools is read from disk, at the hub or at a terminal", async () => {
  expect((await opened(undefined)).on).toBe(false);
  const script = `
    const read = [];
    require("node:module").registerHooks({ load: (url, context, next) => { read.push(url); return next(url, context); } });
    Promise.all(["./src/hub/hub.ts", "./src/terminal/terminal.ts"].map((path) => import(require("node:url").pathToFileURL(path))))
      .then(() => console.log(read.length, read.filter((url) => url.includes("opentelemetry")).length));`;
  await using child = spawnChild(process.execPath, ["--input-type=commonjs", "-e", script]);
  await child.ended;
  expect(child.stderr).toBe("");
  const [all, tools] = child.stdout.trim().split(" ").map(Number);
  expect(all).toBeGreaterThan(100);
  expect(tools).toBe(0);
});
