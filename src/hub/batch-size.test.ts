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

const BATCH = { messages: 2_000, bytes: 8 * 1024 * 1024 };

test("a batch stays of one size, however many lanes have something from one claim to the next", () => {
  const size = new BatchSize(settings);
  for (const due of [64, 64, 10, 10, 10, 10, 1, 1, 1, 1, 1, 40, 64, 64, 3, 64, 1, 1, 1, 1, 1, 1, 1, 64]) {
    const { lanes, messages, bytes } = size.next;
    expect(messages * lanes).toBeLessThanOrEqual(BATCH.messages);
    expect(bytes * lanes).toBeLessThanOrEqual(BATCH.bytes);
    size.claimed(Math.min(due, lanes));
  }
});

test("one lane alone gets as much as the settings allow, and soon all have their turn when all have something", () => {
  const size = new BatchSize(settings);
  for (let i = 0; i < 8; i++) size.claimed(1);
  expect(size.next).toMatchObject({ messages: 500, bytes: 2_097_152 });
  const taken: number[] = [];
  while (taken.at(-1) !== 64) {
    taken.push(size.next.lanes);
    size.claimed(size.next.lanes);
  }
  expect(taken).toEqual([4, 8, 16, 32, 64]);
});

test("many lanes in one batch have room for little of each", () => {
  const { lanes, messages } = new BatchSize({ ...settings, lanesPerBatch: 10_000 }).next;
  expect({ lanes, messages }).toEqual({ lanes: 125, messages: 16 });
});

test("the first claim is small: everybody may have a backlog", () => {
  expect(new BatchSize(settings).next.messages * 64).toBeLessThanOrEqual(2_000);
});
