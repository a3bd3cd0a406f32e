import { execFile, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { systemRuntime } from "../src/base/runtime.ts";
import { actor, laneName, epoch, seq, terminalId, workerId } from "../src/base/ids.ts";
import { Gate } from "../src/hub/api/gate.ts";
import { RetentionKeeper } from "../src/hub/retention-keeper.ts";
import { drain, send as sendTo, Till } from "../src/ledger/contract/till.ts";
import { Processor } from "../src/hub/processor.ts";
import { UpkeepWatch } from "../src/hub/upkeep-watch.ts";
import type { Claim, LaneOutcome, Work } from "../src/ledger/port.ts";
import { silentLog } from "../src/observe/log.ts";
import { METRICS, type MetricName } from "../src/observe/metric-list.ts";
import { Metrics, namesOf } from "../src/observe/metrics.ts";
import { hurried, openApi, TestLane, testSettings } from "./kit/api.ts";
import { freePort } from "./kit/free-port.ts";
import { describeWith } from "./kit/needs.ts";
import { collector, type Collector } from "./kit/otlp.ts";
import { REPO } from "./kit/repo.ts";
import { SmallChain } from "./kit/small-chain.ts";
import { tempDir } from "./kit/temp-dir.ts";
import { until } from "./kit/until.ts";

/** A page of Prometheus text as a scraper reads it: series with their labels → value. */
type Page = ReadonlyMap<string, number>;
const SERIES = /^([a-z_]+(?:\{.*\})?) (\S+)$/;
const pageOf = (text: string): Page =>
  new Map(
    text.split("\n").flatMap((line): [string, number][] => {
      const [, series, value] = SERIES.exec(line) ?? [];
      return series === undefined ? [] : [[series, Number(value)]];
    }),
  );

let chain: SmallChain;
let collecting: Collector;
/** The agents' own pages, by terminal: t2's looks at its database once a minute, so that what is committed waits there. */
const agents = new Map<string, string>();
let lane: TestLane;
let key = "";

const scrape = async (url: string): Promise<Page> => pageOf(await (await fetch(url)).text());
const hub = (): Promise<Page> => scrape(`${chain.address}/metrics`);
const till = (name = "t1"): Promise<Page> => scrape(agents.get(name) ?? "");

type Change = (now: number, before: number) => boolean;
const grows: Change = (now, before) => now > before;
/** What a test before began may still be counted while this one looks. */
const STRAGGLERS = 4;

/** Does something, and waits until the series has changed as it should. */
async function changes(
  page: () => Promise<Page>,
  series: string,
  act: (time: number) => Promise<unknown> | void,
  how: Change | { readonly exactly: number } = grows,
): Promise<void> {
  const valueOf = async (): Promise<number> => (await page()).get(series) ?? 0;
  for (let time = 1; ; time++) {
    const before = await valueOf();
    await act(time);
    let now = before;
    await until(
      async () => {
        now = await valueOf();
        return typeof how === "function" ? how(now, before) : now - before >= how.exactly;
      },
      { timeoutMs: 20_000, what: `${series} after ${before}` },
    );
    if (typeof how === "function" || now - before === how.exactly) return;
    expect(time, `${series} grows by ${now - before} each time, not by ${how.exactly}`).toBeLessThan(STRAGGLERS);
  }
}
const exactly = (by: number): { readonly exactly: number } => ({ exactly: by });

const at = (): string => new Date().toISOString();
const saleLine = (n: number, amount = "1.00"): string => {
  const row = { id: `R-${n}`, till: "raw", amount };
  return JSON.stringify({ seq: n, at: at(), changes: [{ table: "sale", op: "insert", key: { id: row.id }, row }] });
};
let sent = 0;
/** A terminal of ours sends its next message, or the last one again. */
async function send(what: "new" | "again" | "bad" = "new"): Promise<void> {
  if (what !== "again") lane.append(saleLine(++sent, what === "bad" ? "bad" : "1.00"));
  const answer = await fetch(`${chain.address}/v1/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/x-ndjson" },
    body: lane.body(sent, sent),
  });
  expect(answer.status).toBe(200);
}
const sellAt = (name: string, id: string, amount = "2.00"): void =>
  chain.sql(
    `${name}.db`,
    `pragma ignore_check_constraints = on; insert into sale values ('${id}', '${name}', '${amount}')`,
  );
const priceAtCentre = (sku: string, amount = "3.00"): void =>
  chain.sql("central.db", `pragma ignore_check_constraints = on; insert into price values ('${sku}', '${amount}')`);

/** Nobody can write at the centre while `work` runs. */
async function centreAway(work: () => Promise<void>): Promise<void> {
  const other = new DatabaseSync(chain.dir.file("central.db"));
  try {
    other.exec("pragma busy_timeout = 5000; begin immediate");
    await work();
  } finally {
    other.exec("rollback");
    other.close();
  }
}

beforeAll(async () => {
  collecting = await collector();
  chain = await SmallChain.start({ tracing: { url: collecting.url } });
  for (const [name, given] of [
    ["t1", {}],
    ["t2", { pollMs: 60_000 }],
  ] as const) {
    const port = await freePort();
    await chain.till(name, { ...given, metrics: { port } });
    agents.set(name, `http://127.0.0.1:${port}/metrics`);
  }
  const { token } = await chain.operator<{ token: string }>("/api/enroll-tokens", { terminal: "raw" });
  const enrolled = await fetch(`${chain.address}/v1/enroll`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, terminal: "raw" }),
  });
  ({ key } = (await enrolled.json()) as { key: string });
  lane = new TestLane("E1", 0);
}, 60_000);
afterAll(async () => {
  await chain[Symbol.asyncDispose]();
  await collecting[Symbol.asyncDispose]();
});

/** One claim of ten messages that another worker takes over before it is settled. */
async function loseLease(metrics: Metrics): Promise<void> {
  const claim = {
    lane: laneName(terminalId("t"), epoch("E")),
    from: seq(1),
    through: seq(10),
    late: [],
    fence: 1,
  } as unknown as Claim;
  const outcome: LaneOutcome = {
    ...{ lane: claim.lane, fence: 1, loadedThrough: seq(10), version: 1 },
    ...{ exceptions: [], closed: [], events: [], lagMs: null },
  };
  const work = { claim: async () => [claim], settle: async () => ["lost"], renew: async () => [] } as unknown as Work;
  const processor = new Processor({
    work,
    load: async () => ({ outcomes: [outcome], moved: [], changes: 0, tripped: [] }),
    settings: { workers: 1, lanesPerBatch: 1, messagesPerLane: 10, bytesPerLane: 1_000, leaseMs: 10_000, pollMs: 10 },
    ...{
      runtime: systemRuntime,
      worker: workerId("w"),
      log: silentLog,
      metrics,
      onLoaded: () => undefined,
      onTripped: async () => undefined,
    },
  });
  await processor.turn();
}
async function upkeep(metrics: Metrics): Promise<void> {
  const facts = {
    oldestSnapshot: { seconds: 60, by: "a report" },
    deadRows: [{ table: "lane_out", dead: 7, live: 1 }],
    ...{ partitionsEndInSeconds: 86_400, rowsOutsidePartitions: false, replicationLagSeconds: 2 },
  };
  using watch = new UpkeepWatch({ look: async () => facts }, { runtime: systemRuntime, log: silentLog, metrics });
  await watch.look();
}
/** A disk with no room left. */
async function diskFull(metrics: Metrics): Promise<void> {
  const { limits } = testSettings("sqlite::memory:", { freeDiskBytes: 1 });
  using _gate = new Gate(limits, hurried, { log: silentLog, metrics }, async () => ({
    backlogBytes: 0,
    freeDiskBytes: 0,
  }));
  await until(() => metrics.value("waybill_ingest_refusing", { why: "disk" }) === 1);
}
/** Forty loaded messages, of which none is to be kept: the first pass notes how far they are, the second takes them away. */
async function retention(metrics: Metrics): Promise<void> {
  await using station = await openApi();
  const sender = new Till("t1").write(40);
  for (let n = 1; n <= 40; n++) await sendTo(station.ledger, sender.messages(n, n));
  await drain(station.ledger);
  const keep = { messagesMs: 1, eventsMs: 1, updatesMs: 1, awayMs: 1, historyMs: 1 };
  const parts = { runtime: hurried, log: silentLog, metrics, worker: workerId("w1"), ledger: station.ledger };
  await using keeper = new RetentionKeeper({ ...parts, settings: { keep, everyMs: 0 } });
  for (const _ of ["notes", "takes away"]) {
    await keeper.begin(actor("operator:anna"));
    await until(async () => (await keeper.state()).pass?.endedAt);
  }
}
/** For what a small chain does not meet by itself: the part that counts it, with the facts it would be told. */
async function counted(
  work: (metrics: Metrics) => Promise<void>,
  series: string,
  value: number | "more than nothing",
): Promise<void> {
  const metrics = new Metrics();
  expect(pageOf(metrics.text()).get(series)).toBeUndefined();
  await work(metrics);
  const now = pageOf(metrics.text()).get(series);
  if (value === "more than nothing") expect(now).toBeGreaterThan(0);
  else expect(now).toBe(value);
}

/** Each metric's reason: what happens, and how its series is seen to change. A new metric compiles only with one. */
const REASONS: Readonly<Record<MetricName, () => Promise<void>>> = {
  waybill_messages_received_total: () => changes(hub, "waybill_messages_received_total", () => send(), exactly(1)),
  waybill_messages_duplicate_total: () =>
    changes(hub, "waybill_messages_duplicate_total", () => send("again"), exactly(1)),
  waybill_requests_total: () =>
    changes(
      hub,
      'waybill_requests_total{route="/healthz",status="200"}',
      () => fetch(`${chain.address}/healthz`),
      exactly(1),
    ),
  waybill_request_seconds: () =>
    changes(
      hub,
      'waybill_request_seconds_count{route="/healthz"}',
      () => fetch(`${chain.address}/healthz`),
      exactly(1),
    ),
  waybill_soap_faults_total: () =>
    changes(hub, 'waybill_soap_faults_total{code="UNAUTHENTICATED",terminal="none"}', () =>
      fetch(`${chain.address}/soap/terminal/basic`, {
        method: "POST",
        headers: { "content-type": "text/xml" },
        body: '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><Ping xmlns="urn:waybill:terminal:v1"/></s:Body></s:Envelope>',
      }),
    ),
  waybill_messages_loaded_total: () => changes(hub, "waybill_messages_loaded_total", () => send(), exactly(1)),
  waybill_changes_loaded_total: () => changes(hub, "waybill_changes_loaded_total", () => send(), exactly(1)),
  waybill_exceptions_total: () => changes(hub, 'waybill_exceptions_total{state="dead"}', () => send("bad"), exactly(1)),
  waybill_exceptions_open: () => changes(hub, 'waybill_exceptions_open{state="dead"}', () => send("bad")),
  waybill_batch_seconds: () => changes(hub, "waybill_batch_seconds_count", () => send()),
  waybill_load_seconds: () => changes(hub, "waybill_load_seconds_count", () => send()),
  waybill_batch_messages: () => changes(hub, "waybill_batch_messages_sum", () => send(), exactly(1)),
  waybill_load_lag_seconds: () => changes(hub, "waybill_load_lag_seconds_count", () => send(), exactly(1)),
  waybill_leases_lost_total: () => counted(loseLease, "waybill_leases_lost_total", 1),
  waybill_terminals_enrolled: () => changes(hub, "waybill_terminals_enrolled", () => chain.till("t3")),
  waybill_updates_forwarded_total: () =>
    changes(hub, "waybill_updates_forwarded_total", (time) => priceAtCentre(`f1-${time}`), exactly(1)),
  waybill_publish_seconds: () => changes(hub, "waybill_publish_seconds_count", () => priceAtCentre("f2")),
  // The centre is away, and comes back: these are seen in one outage, which takes as long as we wait for a lock.
  waybill_breaker_open: outage,
  waybill_batches_failed_total: outage,
  waybill_backlog_messages: outage,
  waybill_backlog_oldest_seconds: outage,
  waybill_terminal_messages_unloaded: outage,
  waybill_ledger_snapshot_seconds: () => counted(upkeep, "waybill_ledger_snapshot_seconds", 60),
  waybill_ledger_dead_rows: () => counted(upkeep, 'waybill_ledger_dead_rows{table="lane_out"}', 7),
  waybill_ledger_partition_headroom_seconds: () => counted(upkeep, "waybill_ledger_partition_headroom_seconds", 86_400),
  waybill_ledger_replication_lag_seconds: () => counted(upkeep, "waybill_ledger_replication_lag_seconds", 2),
  waybill_route_paused: async () => {
    const pause = { kind: "route", name: "sale", reason: "the test looks" };
    await changes(hub, 'waybill_route_paused{table="sale"}', () => chain.operator("/api/pauses", pause));
    await changes(
      hub,
      'waybill_route_paused{table="sale"}',
      () => chain.operator("/api/pauses/resume", pause),
      (now) => now === 0,
    );
  },
  waybill_ingest_refusing: () => counted(diskFull, 'waybill_ingest_refusing{why="disk"}', 1),
  waybill_retention_removed_total: () =>
    counted(retention, 'waybill_retention_removed_total{kind="messages"}', "more than nothing"),
  waybill_retention_pass_seconds: () => counted(retention, "waybill_retention_pass_seconds", "more than nothing"),
  waybill_spans_total: () => changes(hub, 'waybill_spans_total{fate="sent"}', () => sellAt("t1", "T-1")),
  waybill_terminal_messages_packed_total: () =>
    changes(till, "waybill_terminal_messages_packed_total", (time) => sellAt("t1", `P-1-${time}`), exactly(1)),
  waybill_terminal_changes_packed_total: () =>
    changes(till, "waybill_terminal_changes_packed_total", (time) => sellAt("t1", `P-2-${time}`), exactly(1)),
  waybill_terminal_messages_acknowledged_total: () =>
    changes(till, "waybill_terminal_messages_acknowledged_total", (time) => sellAt("t1", `P-3-${time}`), exactly(1)),
  waybill_terminal_updates_applied_total: () =>
    changes(till, "waybill_terminal_updates_applied_total", (time) => priceAtCentre(`u1-${time}`), exactly(1)),
  waybill_terminal_rows_refused_total: () =>
    changes(
      till,
      'waybill_terminal_rows_refused_total{code="CHECK_VIOLATED"}',
      (time) => priceAtCentre(`u2-${time}`, "bad"),
      exactly(1),
    ),
  waybill_terminal_stale_rows: () =>
    changes(till, "waybill_terminal_stale_rows", (time) => priceAtCentre(`u3-${time}`, "bad"), exactly(1)),
  waybill_terminal_exceptions_open: () =>
    changes(
      till,
      'waybill_terminal_exceptions_open{state="dead"}',
      (time) => sellAt("t1", `P-4-${time}`, "bad"),
      exactly(1),
    ),
  waybill_terminal_longest_lock_seconds: async () =>
    void (await until(async () => ((await till()).get("waybill_terminal_longest_lock_seconds") ?? 0) > 0)),
  waybill_terminal_outbox_rows: () =>
    changes(
      () => till("t2"),
      "waybill_terminal_outbox_rows",
      (time) => sellAt("t2", `O-${time}`),
      exactly(1),
    ),
  // Last: the hub ends.
  waybill_terminal_messages_waiting: hubGone,
  waybill_terminal_failures_total: hubGone,
};

let away: Promise<void> | null = null;
function outage(): Promise<void> {
  return (away ??= centreAway(async () => {
    const before = await hub();
    await send();
    sellAt("t1", "A-1");
    const rose = (page: Page, series: string): boolean => (page.get(series) ?? 0) > (before.get(series) ?? 0);
    await until(
      async () => {
        const [page, agent] = [await hub(), await till()];
        return (
          page.get('waybill_breaker_open{target="central"}') === 1 &&
          rose(page, 'waybill_batches_failed_total{code="DATABASE_BUSY"}') &&
          page.get("waybill_backlog_messages") === 2 &&
          (page.get("waybill_backlog_oldest_seconds") ?? 0) > 0 &&
          agent.get("waybill_terminal_messages_unloaded") === 1
        );
      },
      { timeoutMs: 30_000, what: "an outage on both pages" },
    );
  }).then(async () => {
    await until(
      async () => {
        const page = await hub();
        return (
          page.get('waybill_breaker_open{target="central"}') === 0 &&
          page.get("waybill_backlog_messages") === 0 &&
          page.get("waybill_backlog_oldest_seconds") === 0
        );
      },
      { timeoutMs: 60_000, what: "an end of the outage" },
    );
  }));
}

let gone: Promise<void> | null = null;
function hubGone(): Promise<void> {
  return (gone ??= (async () => {
    await chain.closeHub();
    sellAt("t1", "G-1");
    await until(
      async () => {
        const page = await till();
        const failed = page.get('waybill_terminal_failures_total{loop="submit",code="HUB_UNREACHABLE"}') ?? 0;
        return page.get("waybill_terminal_messages_waiting") === 1 && failed > 0;
      },
      { timeoutMs: 20_000, what: "a till that misses its hub" },
    );
  })());
}

describeWith("promtool", "Prometheus", (promtool) => {
  test("promtool accepts both pages without a remark, and the rules", async () => {
    for (const url of [`${chain.address}/metrics`, agents.get("t1") ?? ""]) {
      const running = spawn(promtool, ["check", "metrics"], { stdio: ["pipe", "pipe", "pipe"] });
      let said = "";
      running.stdout.on("data", (text: Buffer) => (said += text.toString()));
      running.stderr.on("data", (text: Buffer) => (said += text.toString()));
      running.stdin.end(await (await fetch(url)).text());
      const code = await new Promise((resolve) => running.on("close", resolve));
      expect({ code, said }).toEqual({ code: 0, said: "" });
    }
    const { stdout } = await promisify(execFile)(promtool, ["check", "rules", RULES]);
    expect(stdout).toMatch(/SUCCESS: \d+ rules found/);
  });

  test("a server scrapes both pages and finds every rule well", { timeout: 60_000 }, async () => {
    await using dir = tempDir();
    const port = await freePort();
    const targets = [chain.address, agents.get("t1") ?? ""].map((url) => new URL(url).host);
    writeFileSync(
      dir.file("prometheus.yml"),
      JSON.stringify({
        global: { scrape_interval: "1s", evaluation_interval: "1s" },
        rule_files: [RULES],
        scrape_configs: [{ job_name: "waybill", static_configs: [{ targets }] }],
      }),
    );
    const server = spawn(
      join(dirname(promtool), "prometheus"),
      [
        `--config.file=${dir.file("prometheus.yml")}`,
        `--storage.tsdb.path=${dir.file("data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: "ignore" },
    );
    const ended = new Promise((resolve) => server.on("close", resolve));
    try {
      const ask = async <T>(path: string): Promise<T> =>
        ((await (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json()) as { data: T }).data;
      type Value = { result: { value: [number, string] }[] };
      const up = async (): Promise<boolean> => {
        const { result } = await ask<Value>("query?query=up");
        return result.length === 2 && result.every(({ value }) => value[1] === "1");
      };
      await until(up, { timeoutMs: 30_000, what: "both targets up" });
      type Groups = { groups: { rules: { name: string; health: string; lastError?: string }[] }[] };
      const judged = async (): Promise<false | Groups["groups"][number]["rules"]> => {
        const rules = (await ask<Groups>("rules")).groups.flatMap((group) => group.rules);
        return rules.length > 0 && rules.every(({ health }) => health !== "unknown") && rules;
      };
      const rules = await until(judged, { timeoutMs: 30_000, what: "every rule judged" });
      expect(rules.filter(({ health }) => health !== "ok")).toEqual([]);
    } finally {
      server.kill("SIGKILL");
      await ended;
    }
  });
});

describe("every metric is seen to change for its reason:", () => {
  const names = Object.keys(REASONS) as MetricName[];
  test("none is missing", () => {
    expect(names.toSorted()).toEqual(Object.keys(METRICS).toSorted());
  });
  for (const name of names) test(name, { timeout: 90_000 }, () => REASONS[name]());
});

test("each station's page has its own metrics and nobody else's", () => {
  const both = new Set([...namesOf("hub"), ...namesOf("terminal")]);
  expect(both.size).toBe(Object.keys(METRICS).length);
  const told = (station: "hub" | "terminal"): string[] =>
    [...new Metrics(station).text().matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? "");
  expect(told("hub")).toEqual(namesOf("hub"));
  expect(told("terminal")).toEqual(namesOf("terminal"));
  expect(told("terminal")).not.toContain("waybill_messages_received_total");
});

// ── ops/: what is ready to use must speak of metrics that there are ──────────────────────────────────────────────────

const RULES = join(REPO, "ops/prometheus-rules.yaml");
const DASHBOARD = join(REPO, "ops/grafana-dashboard.json");
type Rules = {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
};
type Panel = { readonly title: string; readonly targets?: readonly { readonly expr: string }[] };

/** What is wrong with an expression, by the catalogue: names, kinds and labels. */
function strange(expr: string): string[] {
  const faults: string[] = [];
  for (const [, found = "", selector = ""] of expr.matchAll(/(waybill_[a-z0-9_]+)(?:\{([^}]*)\})?/g)) {
    const name = found.replace(/_(bucket|sum|count)$/, "") as MetricName;
    const metric: (typeof METRICS)[MetricName] | undefined = METRICS[found as MetricName] ?? METRICS[name];
    if (metric === undefined) {
      faults.push(`${found} is no metric`);
      continue;
    }
    if ((found !== name) !== (metric.kind === "histogram")) faults.push(`${found} is a ${metric.kind}`);
    if (
      /\b(rate|increase)\(/.test(expr) &&
      metric.kind === "gauge" &&
      new RegExp(`(rate|increase)\\(${found}`).test(expr)
    )
      faults.push(`${found} is a gauge: no rate of it`);
    const labels: readonly string[] = metric.labels;
    const asked = [...selector.matchAll(/([a-z_]+)\s*(?:=|!=|=~|!~)/g)].map(([, label]) => label ?? "");
    const by = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list]) =>
      (list ?? "").split(",").map((label) => label.trim()),
    );
    for (const label of asked) if (!labels.includes(label)) faults.push(`${found} has no label ${label}`);
    // An expression may speak of several metrics: a label it groups by must be of one of them.
    const known = new Set(["le", ...[...expr.matchAll(/waybill_[a-z0-9_]+/g)].flatMap(([each]) => labelsOf(each))]);
    for (const label of by) if (!known.has(label)) faults.push(`no metric of ${expr} has the label ${label}`);
  }
  return faults;
}
const labelsOf = (found: string): readonly string[] =>
  (METRICS[found as MetricName] ?? METRICS[found.replace(/_(bucket|sum|count)$/, "") as MetricName])?.labels ?? [];

describe("ops/", () => {
  const rules = (parse(readFileSync(RULES, "utf8")) as Rules).groups.flatMap((group) => group.rules);
  const panels = (JSON.parse(readFileSync(DASHBOARD, "utf8")) as { panels: readonly Panel[] }).panels;
  const shown = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

  test("the rules speak of metrics and labels that there are", () => {
    expect(rules.length).toBeGreaterThan(10);
    expect(rules.flatMap(({ alert, expr }) => strange(expr).map((fault) => `${alert}: ${fault}`))).toEqual([]);
  });
  test("the dashboard speaks of metrics and labels that there are, and shows every one", () => {
    expect(shown.flatMap(strange)).toEqual([]);
    const names = Object.keys(METRICS).filter(
      (name) => !shown.some((expr) => new RegExp(`${name}(_bucket)?\\b`).test(expr)),
    );
    expect(names, "shown nowhere").toEqual([]);
  });
  test.each([
    ["sum(rate(waybill_message_received_total[5m]))", "is no metric"],
    ["rate(waybill_breaker_open[5m])", "no rate of it"],
    ['waybill_exceptions_open{kind="dead"}', "has no label kind"],
    ["sum by (shop) (waybill_exceptions_open)", "has the label shop"],
    ["waybill_batch_seconds > 1", "is a histogram"],
  ])("what is strange is seen: %s", (expr, fault) => {
    expect(strange(expr).join()).toContain(fault);
  });
});
