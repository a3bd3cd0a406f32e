import { defineConfig } from "vitest/config";
import { CountsReporter } from "./test/kit/reporter.ts";

/**
 * `rooms`: tests beside the code, the page's in console/ too, quick, two files at a time. `whole`: tests under test/ that run whole processes and
 * measure; they come after and one file at a time, so that they have the machine to themselves.
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
          testTimeout: 20_000,
          hookTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "whole",
          include: ["test/**/*.test.ts"],
          maxWorkers: 1,
          testTimeout: 180_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
