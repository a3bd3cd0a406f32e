import { expect, test } from "vitest";
import { BatchSize } from "./batch-size.ts";

const settings = {
  workers: 2,
  lanesPerBatch: 64,
  messagesPerLane: 500,
  bytesPerLane: 2_097_152,
  leaseMs: 30_000,
  pollMs: 1_000,
};

test("a batch stays of one size, however many lanes share it", () => {
  const size = new BatchSize(settings);
  for (const lanes of [64, 64, 10, 10, 10, 10, 1, 1, 1, 1, 1, 40, 64]) {
    size.claimed(lanes);
    const { messages, bytes } = size.next;
    expect(messages * lanes).toBeLessThanOrEqual(2_000);
    expect(bytes * lanes).toBeLessThanOrEqual(8 * 1024 * 1024);
  }
});

test("one lane alone gets as much as the settings allow", () => {
  const size = new BatchSize(settings);
  for (let i = 0; i < 8; i++) size.claimed(1);
  expect(size.next).toEqual({ lanes: 64, messages: 500, bytes: 2_097_152 });
});

test("the first claim is small: everybody may have a backlog", () => {
  expect(new BatchSize(settings).next.messages * 64).toBeLessThanOrEqual(2_000);
});
