import { existsSync } from "node:fs";
import { beforeEach, describe, test, vi } from "vitest";
import { tempDir } from "../kit/temp-dir.ts";
import { Torture, type Station } from "./torture.ts";

/**
 * One of the three stations is set back to a copy taken under load, and both sides become equal, or every difference and
 * every number that nobody has any more is named. A few histories here; `npm run restores` runs as many as you like.
 */
const SEEDS: Readonly<Record<Station, readonly number[]>> = {
  ledger: [4, 14, 17, 28, 33],
  centre: [1, 5, 16],
  till: [1, 6, 7],
};

beforeEach(() => {
  if (existsSync("/dev/shm")) vi.stubEnv("TMPDIR", "/dev/shm");
});

describe.each(Object.entries(SEEDS))("I9: %s set back", (station, seeds) => {
  test.each(seeds)("history %i converges", async (seed) => {
    await using dir = tempDir();
    await Torture.run(dir.path, seed, station as Station);
  });
});
