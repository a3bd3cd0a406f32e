import { describe, expect, test } from "vitest";
import { epoch, laneName, seq, terminalId } from "../base/ids.ts";
import type { KeySets } from "../ledger/key-sets.ts";
import { OpenIndex } from "./open-index.ts";
import { joinedSets, NO_SETS, Touched } from "./sets.ts";

const old = laneName(terminalId("t1"), epoch("e1"));
const now = laneName(terminalId("t1"), epoch("e2"));
const message = (sets: Partial<KeySets>): Touched => {
  const touched = new Touched();
  touched.add({ ...NO_SETS, ...sets });
  return touched;
};
const index = (...exceptions: [lane: typeof old, number: number, sets: Partial<KeySets> | null][]): OpenIndex => {
  const open = new OpenIndex();
  for (const [lane, number, sets] of exceptions) open.open(lane, seq(number), sets && { ...NO_SETS, ...sets });
  return open;
};
const behind = (open: OpenIndex, number: number, sets: Partial<KeySets>, lane = now): string | null => {
  const blocker = open.blocker(lane, seq(number), message(sets));
  return blocker && `${blocker.lane}/${blocker.seq} on ${blocker.on}`;
};

describe("who waits", () => {
  test("rows that both write, and sums only behind what is no sum", () => {
    expect(behind(index([now, 1, { writes: ["a"] }]), 2, { writes: ["b", "a"] })).toBe("t1/e2/1 on a");
    expect(behind(index([now, 1, { adds: ["a"] }]), 2, { adds: ["a"] })).toBeNull();
    expect(behind(index([now, 1, { adds: ["a"] }]), 2, { writes: ["a"] })).toBe("t1/e2/1 on a");
    expect(behind(index([now, 1, { writes: ["a"] }]), 2, { adds: ["a"] })).toBe("t1/e2/1 on a");
  });

  test("a deleted row that the other names, either way; never two that only name the same", () => {
    expect(behind(index([now, 1, { parents: ["p"] }]), 2, { deletes: ["p"] })).toBe("t1/e2/1 on p");
    expect(behind(index([now, 1, { deletes: ["p"] }]), 2, { parents: ["p"] })).toBe("t1/e2/1 on p");
    expect(behind(index([now, 1, { parents: ["p"] }]), 2, { parents: ["p"] })).toBeNull();
  });

  test("a created parent holds up only who was refused for it", () => {
    const open = index([now, 1, { writes: ["p"], creates: ["p"] }], [now, 2, { writes: ["q"] }]);
    expect(behind(open, 3, { parents: ["p"] })).toBeNull();
    expect(open.creator(now, seq(3), message({ parents: ["p"] }))).toEqual({ lane: now, seq: 1, on: "p" });
    expect(open.follows(now, seq(3), message({ parents: ["p"] }))).toBe(true);
    // Who only changes a row does not make it.
    expect(open.creator(now, seq(3), message({ parents: ["q"] }))).toBeNull();
    expect(open.follows(now, seq(3), message({ parents: ["q"] }))).toBe(false);
  });

  test("behind the earliest, of earlier epochs too, and never behind itself or a later one", () => {
    const open = index([old, 9, { writes: ["b"] }], [now, 7, { writes: ["a"] }], [now, 3, { writes: ["a", "b"] }]);
    expect(behind(open, 8, { writes: ["a"] })).toBe("t1/e2/3 on a");
    expect(behind(open, 8, { writes: ["a", "b"] })).toBe("t1/e1/9 on b");
    expect(behind(open, 3, { writes: ["a"] })).toBeNull();
    expect(behind(open, 2, { writes: ["b"] })).toBe("t1/e1/9 on b");
    expect(behind(open, 8, { writes: ["b"] }, old)).toBeNull();
    open.close(old, seq(9));
    expect(behind(open, 2, { writes: ["b"] })).toBeNull();
    expect(open.size).toBe(2);
  });

  test("behind an exception whose rows nobody knows, whatever it is", () => {
    const open = index([now, 4, null]);
    expect(behind(open, 5, { parents: ["p"] })).toBe("t1/e2/4 on rows that are not known");
    expect(behind(open, 3, { parents: ["p"] })).toBeNull();
    open.open(now, seq(4), { ...NO_SETS, writes: ["a"] }); // now they are known
    expect(behind(open, 5, { writes: ["b"] })).toBeNull();
  });
});

test("sets of an edited message keep what the original touched", () => {
  expect(joinedSets({ ...NO_SETS, writes: ["a"] }, { ...NO_SETS, writes: ["a", "b"] }).writes).toEqual(["a", "b"]);
});
