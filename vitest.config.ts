import { defineConfig } from "vitest/config";
import { CountsReporter } from "./test/kit/reporter.ts";

const ALONE = ["test/price-update.test.ts"];

/**
 * `rooms`: tests beside the code, the page's in console/ too, quick. `whole`: tests under test/, most of which run whole processes. Both take two
 * files at a time. `alone`: what looks at durations has the machine to itself, at the end.
 * A test that needs a server (`*.db.test.ts`) or a browser (`*.browser.test.ts`) uses `describeWith` of test/kit/needs.ts.
 */
export default defineConfig({
  test: {
    reporters: [process.env["CI"] ? "dot" : "default", new CountsReporter()],
    // Processes, not threads: a test may change its own signals and open native handles without touching its neighbour.
    pool: "forks",
    unstubEnvs: true,
    projects: [
      {
        extends: true,
        test: {
          name: "rooms",
          include: ["{src,bin,console}/**/*.test.ts"],
          maxWorkers: 2,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "whole",
          include: ["test/**/*.test.ts"],
          exclude: ALONE,
          maxWorkers: 2,
          testTimeout: 180_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "alone",
          include: ALONE,
          maxWorkers: 1,
          testTimeout: 180_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
