import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import { updateId } from "../base/ids.ts";
import { readUpdates, updatesBody, type Attested, type OutgoingUpdate } from "./updates.ts";

const changes = [{ table: "price", op: "update", key: { sku: "A" }, row: { sku: "A", price: "9.90" } }];
const update = (id: number): OutgoingUpdate => ({
  id: updateId(id),
  tx: "T1",
  at: instant(0),
  audience: "all",
  origin: null,
  trace: null,
  changes: Buffer.from(JSON.stringify(changes)),
});
const batch = (after: number, through: number, ...ids: number[]): Attested<OutgoingUpdate> => ({
  after: updateId(after),
  through: updateId(through),
  more: false,
  strand: "A",
  updates: ids.map(update),
});

test("updates are read as they were written", () => {
  const read = readUpdates(updatesBody(batch(17, 42, 18, 40)));
  expect(read).toMatchObject({ after: 17, through: 42, more: false, strand: "A" });
  expect(read.updates.map(({ id }) => id)).toEqual([18, 40]);
  expect(read.updates[0]).toEqual({
    id: 18,
    tx: "T1",
    at: "1970-01-01T00:00:00.000Z",
    audience: "all",
    origin: null,
    trace: null,
    changes,
  });
});

test("a hub that names no strand, and one whose history is another, are told apart from others", () => {
  const read = (more: Partial<Attested<OutgoingUpdate>>) => readUpdates(updatesBody({ ...batch(17, 17), ...more }));
  expect(read({ strand: null })).toMatchObject({ strand: null });
  expect(read({})).not.toHaveProperty("other");
  expect(read({ other: true })).toMatchObject({ other: true });
});

test("ids above 2^53 / 1000 keep every digit", () => {
  const id = 3_000_000_000_017;
  expect(readUpdates(updatesBody(batch(id - 1, id, id))).updates[0]?.id).toBe(id);
});

describe("a cursor is never moved by", () => {
  test.each<[string, Attested<OutgoingUpdate>, number]>([
    ["an update at or below `after`", batch(17, 42, 17), 2],
    ["an update above `through`", batch(17, 42, 43), 2],
    ["updates out of order", batch(17, 42, 20, 19), 3],
    ["the same update twice", batch(17, 42, 20, 20), 3],
    ["a `through` below `after`", batch(17, 16), 1],
  ])("%s", (_, given, line) => {
    expect(() => readUpdates(updatesBody(given))).toThrow(
      expect.objectContaining({ code: "LINE_INVALID", facts: expect.objectContaining({ line }) }),
    );
  });

  test("an answer that was cut off", () => {
    const body = updatesBody(batch(17, 42, 18));
    expect(() => readUpdates(body.subarray(0, -1))).toThrow(expect.objectContaining({ code: "LINE_INVALID" }));
  });

  test("any other bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => readUpdates(bytes)).toThrow(WaybillError);
      }),
      { numRuns: 500 },
    );
  });
});
