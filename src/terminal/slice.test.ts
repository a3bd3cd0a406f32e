import { expect, test } from "vitest";
import { restMs, SliceSize } from "./slice.ts";

test("a slice that held the lock too long is followed by one that would not have", () => {
  const size = new SliceSize(50);
  size.took(200, 400); // 2 ms a row
  expect(size.rows).toBe(12);
  expect(size.longestMs).toBe(400);
});

test("full slices grow towards the time they may take, and settle below it", () => {
  const size = new SliceSize(50);
  for (let i = 0; i < 40; i++) {
    const rows = size.rows;
    size.took(rows, 5 + rows * 0.02);
    expect(5 + size.rows * 0.02).toBeLessThanOrEqual(50);
  }
  expect(size.rows).toBeGreaterThan(1_000);
});

test("a slice that was not full says nothing of a larger one", () => {
  const size = new SliceSize(50);
  size.took(3, 1);
  expect(size.rows).toBe(200);
});

test("the lock is left alone for as long as it was held", () => {
  expect(restMs(40)).toBe(40);
  expect(restMs(0.1)).toBe(5);
});
