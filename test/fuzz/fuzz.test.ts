import { expect, test } from "vitest";
import { fuzzRound } from "./http.ts";
import { fuzzReaders } from "./readers.ts";

/** A bounded share in every test run; `npm run fuzz -- --count 1000000` goes on as long as one likes. */
const COUNT = 2_000;
const seed = Math.floor(Math.random() * 2 ** 31);

test(`${COUNT} mutated requests: every answer is a documented one, none is a fault of ours, and nothing is half-stored`, async (context) => {
  await context.annotate(`seed ${seed}`);
  const seen = await fuzzRound({ count: COUNT, seed });
  // The mutations must not all die at the door: good answers and each common refusal were met.
  for (const status of [200, 400, 401, 404, 405, 409, 415])
    expect(seen.get(String(status)) ?? 0, `answers with ${status}`).toBeGreaterThan(0);
}, 300_000);

test(`${COUNT} mutated lines, envelopes and configs: each reader takes them, or says by its own codes why not`, async (context) => {
  await context.annotate(`seed ${seed}`);
  fuzzReaders({ count: COUNT, seed });
});
