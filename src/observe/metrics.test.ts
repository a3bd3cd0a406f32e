import { expect, test } from "vitest";
import { METRICS } from "./metric-list.ts";
import { Metrics } from "./metrics.ts";

test("a metric reads as Prometheus text with its meaning and unit", () => {
  const metrics = new Metrics();
  metrics.add("waybill_exceptions_total", 2, { state: "dead" });
  metrics.add("waybill_exceptions_total", 1, { state: "dead" });
  metrics.set("waybill_breaker_open", 1, { target: 'a "b"\\' });
  const text = metrics.text();
  expect(text).toContain('# TYPE waybill_exceptions_total counter\nwaybill_exceptions_total{state="dead"} 3\n');
  expect(text).toContain('waybill_breaker_open{target="a \\"b\\"\\\\"} 1\n');
  expect(text).toContain("# HELP waybill_batch_seconds From the claim of a batch to its settlement. Unit: seconds.\n");
});

test("a histogram's buckets count what is at or below their limit", () => {
  const metrics = new Metrics();
  for (const count of [1, 2, 3, 50_000]) metrics.observe("waybill_batch_messages", count, {});
  const text = metrics.text();
  expect(text).toContain('waybill_batch_messages_bucket{le="1"} 1\n');
  expect(text).toContain('waybill_batch_messages_bucket{le="3"} 3\n');
  expect(text).toContain('waybill_batch_messages_bucket{le="10000"} 3\n');
  expect(text).toContain('waybill_batch_messages_bucket{le="+Inf"} 4\n');
  expect(text).toContain("waybill_batch_messages_sum 50006\nwaybill_batch_messages_count 4\n");
});

test("names say their unit as Prometheus asks", () => {
  for (const [name, { kind, unit }] of Object.entries(METRICS)) {
    if (kind === "counter") expect(name).toMatch(/_total$/);
    if (unit === "seconds") expect(name).toMatch(/_seconds$/);
  }
});
