import fc from "fast-check";
import { expect, test } from "vitest";
import { epoch, laneName, seq, terminalId } from "../base/ids.ts";
import type { KeySets } from "../ledger/key-sets.ts";
import { OpenIndex } from "./open-index.ts";
import { Touched } from "./sets.ts";

const lanes = ["e1", "e2"].map((name) => laneName(terminalId("t1"), epoch(name)));
const texts = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e"), { maxLength: 2 });
const sets = fc
  .record({ writes: texts, adds: texts, creates: texts, deletes: texts, parents: texts })
  .map((found): KeySets => ({ ...found, writes: [...new Set([...found.writes, ...found.creates])] }));
const place = fc.record({ lane: fc.constantFrom(...lanes), seq: fc.integer({ min: 1, max: 6 }).map(seq) });
const opening = fc.record({ place, sets: fc.option(sets, { freq: 9 }) });
const act = fc.oneof(opening, fc.record({ place, sets: fc.constant("closed" as const) }));
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

const put = (index: OpenIndex, acts: readonly Act[]): OpenIndex => {
  for (const { place: at, sets: given } of acts)
    if (given === "closed") index.close(at.lane, at.seq);
    else index.open(at.lane, at.seq, given);
  return index;
};
/** Whom a lane meets first is its own first epoch, whatever is closed again. */
const begun = (): OpenIndex => {
  const index = new OpenIndex();
  for (const lane of lanes) {
    index.open(lane, seq(9), null);
    index.close(lane, seq(9));
  }
  return index;
};

test("what a transaction adds and closes counts as if there were one index, before it is settled and after", () => {
  let blocked = 0;
  fc.assert(
    fc.property(
      fc.array(act, { maxLength: 8 }),
      fc.array(act, { maxLength: 6 }),
      fc.record({ place, sets }),
      (before, within, { place: at, sets: named }) => {
        const flat = put(begun(), [...before, ...within]);
        const under = put(begun(), before);
        const untouched = put(begun(), before);
        const layered = put(new OpenIndex(under), within);
        const message = new Touched();
        message.add(named);
        const answers = (index: OpenIndex): unknown[] => [
          index.size,
          index.blocker(at.lane, at.seq, message),
          index.blocker(at.lane, at.seq, message, new Set([seq(1), seq(2)])),
          index.creator(at.lane, at.seq, message),
          index.maker(at.lane, at.seq, message),
          index.adder(at.lane, at.seq, message),
          index.needs(at.lane, at.seq, message),
          index.follows(at.lane, at.seq, message),
        ];
        expect(answers(layered)).toEqual(answers(flat));
        expect(answers(under)).toEqual(answers(untouched)); // a transaction that fails leaves no trace
        if (flat.follows(at.lane, at.seq, message)) expect(layered.mayMeet(named)).toBe(true);
        if (flat.blocker(at.lane, at.seq, message)) blocked++;
        const settled = layered.settle();
        expect(settled).toBe(under);
        expect(answers(settled)).toEqual(answers(flat));
      },
    ),
    { numRuns: 2_000 },
  );
  expect(blocked).toBeGreaterThan(200);
});

test("one of which more was closed than is left is worn", () => {
  const index = new OpenIndex();
  const one: KeySets = { writes: ["a"], adds: [], creates: ["a"], deletes: [], parents: [] };
  for (let n = 1; n <= 1_000; n++) index.open(lanes[0]!, seq(n), one);
  expect([index.weight, index.isWorn]).toEqual([2_000, false]);
  for (let n = 1; n <= 600; n++) index.close(lanes[0]!, seq(n));
  expect([index.size, index.isWorn]).toEqual([400, true]);
});
