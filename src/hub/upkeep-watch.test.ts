import { expect, test } from "vitest";
import { systemRuntime } from "../base/runtime.ts";
import type { UpkeepFacts } from "../ledger/port.ts";
import { silentLog, type Log } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { findingsOf } from "./ledger-doctor.ts";
import { UpkeepWatch } from "./upkeep-watch.ts";

const WELL: UpkeepFacts = {
  oldestSnapshot: null,
  deadRows: [{ table: "lane_out", dead: 12, live: 40 }],
  partitionsEndInSeconds: 28 * 86_400,
  rowsOutsidePartitions: false,
  replicationLagSeconds: null,
};
const ILL: UpkeepFacts = {
  oldestSnapshot: { seconds: 3_600, by: "session 7 of report" },
  deadRows: [{ table: "lane_out", dead: 900_000, live: 40 }],
  partitionsEndInSeconds: 86_400,
  rowsOutsidePartitions: true,
  replicationLagSeconds: 120,
};

test("each figure is a metric, and a transaction that is held for long is told once until it has ended", async () => {
  const told: string[] = [];
  const log: Log = { ...silentLog, warn: (facts, event) => void told.push(`${event} ${String(facts["by"])}`) };
  const metrics = new Metrics();
  let facts = ILL;
  using watch = new UpkeepWatch({ look: async () => facts }, { runtime: systemRuntime, log, metrics });
  await watch.look();
  await watch.look();
  expect(metrics.value("waybill_ledger_snapshot_seconds", {})).toBe(3_600);
  expect(metrics.value("waybill_ledger_dead_rows", { table: "lane_out" })).toBe(900_000);
  expect(metrics.value("waybill_ledger_partition_headroom_seconds", {})).toBe(86_400);
  expect(metrics.value("waybill_ledger_replication_lag_seconds", {})).toBe(120);
  facts = WELL;
  await watch.look();
  expect(metrics.value("waybill_ledger_snapshot_seconds", {})).toBe(0);
  facts = ILL;
  await watch.look();
  expect(told).toEqual(["upkeep.held session 7 of report", "upkeep.held session 7 of report"]);
});

test("the doctor names each trouble with a remedy, and none of a store that is well", () => {
  expect(findingsOf(WELL)).toEqual([]);
  const findings = findingsOf(ILL);
  expect(findings.map(({ weight }) => weight)).toEqual(["risk", "risk", "risk", "advice", "risk"]);
  expect(findings.map(({ what }) => what).join("\n")).toMatch(
    /session 7.*3600[^]*900000 dead[^]*1 more day[^]*default partition[^]*120 seconds behind/,
  );
  for (const { remedy } of findings) expect(remedy.length).toBeGreaterThan(20);
});
