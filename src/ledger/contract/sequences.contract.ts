import fc from "fast-check";
import { describe, test } from "vitest";
import type { OpenSubject } from "./subject.ts";
import { LEASE_MS } from "./till.ts";
import { RETRY_MS, World, type Step } from "./world.ts";

const small = fc.nat(1_000);
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("append" as const),
        till: small,
        count: fc.integer({ min: 0, max: 6 }),
        again: fc.nat(4),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("claim" as const),
        lanes: fc.integer({ min: 1, max: 3 }),
        messages: fc.integer({ min: 1, max: 5 }),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("settle" as const),
        which: small,
        fates: fc.array(fc.nat(5), { minLength: 1, maxLength: 7 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("release" as const), which: small }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(10, RETRY_MS, LEASE_MS) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("order" as const),
        which: small,
        verb: fc.constantFrom("requeue" as const, "discard" as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  ),
  { minLength: 10, maxLength: 60, size: "max" },
);

/** Whatever happens in whatever order, the ledger is equal to a model with one row a message. */
export function sequencesContract(adapter: string, open: OpenSubject): void {
  describe(`sequences of everything: ${adapter}`, () => {
    test(
      "I1, I7, I8: every message is accounted for, ends only as loaded or discarded, and every change of state has its event",
      { timeout: 180_000 }, // a fresh ledger each run, on machines that do other things too
      async () => {
        await fc.assert(
          fc.asyncProperty(steps, async (given) => {
            await using subject = await open();
            const world = new World(subject);
            for (const step of given) await world.take(step);
            await world.check();
            await world.finish();
            await world.check();
            await world.checkEnd();
          }),
          { numRuns: 40 },
        );
      },
    );
  });
}
