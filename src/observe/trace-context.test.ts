import fc from "fast-check";
import { expect, test } from "vitest";
import { systemRuntime } from "../base/runtime.ts";
import { contextOf, contextOfLine, newContext, newTraceparent, traceparentOf } from "./trace-context.ts";
import { recordsBy } from "./tracing.ts";

const { random } = systemRuntime;
const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("a traceparent reads as it was written, and what is none reads as null", () => {
  expect(contextOf(TRACE)).toEqual({ traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" });
  for (let i = 0; i < 100; i++) {
    const made = newTraceparent(random);
    const read = contextOf(made);
    expect(read && traceparentOf(read)).toBe(made);
  }
  const zeros = [
    `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
    `00-4bf92f3577b34da6a3ce929d0e0e4736-${"0".repeat(16)}-01`,
  ];
  for (const none of [null, undefined, "", "00", TRACE.toUpperCase(), ` ${TRACE}`, `${TRACE}-x`, ...zeros])
    expect(contextOf(none)).toBeNull();
});

test("a span within another shares its trace and nothing else", () => {
  const outer = newContext(random);
  const inner = newContext(random, outer);
  expect(inner.traceId).toBe(outer.traceId);
  expect(inner.spanId).not.toBe(outer.spanId);
});

test("a line's own trace is found in any order of its members, and never one that stands in a row", () => {
  const context = contextOf(TRACE);
  const at = "2026-11-23T09:14:07.123Z";
  const hostile = { trace: TRACE.replaceAll("4", "5"), text: `"trace":"${TRACE.replaceAll("4", "6")}"` };
  const changes = [{ table: "sale", op: "insert", key: { id: 1 }, row: hostile }];
  for (const line of [
    { seq: 1, at, trace: TRACE, changes },
    { seq: 1, part: 2, more: false, at, trace: TRACE, changes },
    { changes, trace: TRACE, at, seq: 1 },
  ])
    expect(contextOfLine(Buffer.from(JSON.stringify(line)))).toEqual(context);
  for (const line of [
    JSON.stringify({ seq: 1, at, changes }),
    JSON.stringify({ seq: 1, at, trace: 7, changes }),
    "{",
    "null",
  ])
    expect(contextOfLine(Buffer.from(line))).toBeNull();
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void contextOfLine(bytes)));
});

test("a share of all traces is recorded, the same ones wherever the share is the same", () => {
  const traces = Array.from({ length: 4_000 }, () => newContext(random));
  const recorded = traces.filter(recordsBy(0.25));
  expect(recorded.length / traces.length).toBeGreaterThan(0.2);
  expect(recorded.length / traces.length).toBeLessThan(0.3);
  expect(recorded.every(recordsBy(0.5)), "a larger share has those of the smaller").toBe(true);
  expect(traces.filter(recordsBy(0))).toEqual([]);
  expect(traces.filter(recordsBy(1))).toEqual(traces);
});
