import { writeSync } from "node:fs";
import { relative } from "node:path";
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from "vitest/node";

type Skipped = { readonly file: string; readonly name: string; readonly reason: string };

/**
 * Ends a run with what was not covered, and why, and then, alone on the last line, `N passed, N failed, N skipped`.
 * A file, suite or hook that failed outside of a test, and an error that nobody caught, each count as one failed.
 * A run in which no test passed or failed is a failed run: a filter that matches nothing must not look like success.
 */
export class CountsReporter implements Reporter {
  #report = "";

  onInit(): void {
    // At the exit nobody writes any more: neither other reporters, nor the run itself about processes that did not end.
    process.once("exit", () => writeSync(1, this.#report));
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    const skipped: Skipped[] = [];
    for (const module of modules) {
      counts.failed += failuresOutsideTests(module);
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === "passed") counts.passed += 1;
        else if (result.state === "skipped") skipped.push(skippedOf(module, test, result.note));
        else counts.failed += 1; // failed, or never finished
      }
    }
    counts.skipped = skipped.length;
    if (counts.passed + counts.failed === 0 || counts.failed > 0) process.exitCode = 1;
    this.#report = `${notCovered(skipped)}${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
  }
}

function failuresOutsideTests(module: TestModule): number {
  const broken = (of: TestModule | TestSuite): number => (of.errors().length > 0 ? 1 : 0);
  let failures = broken(module);
  for (const suite of module.children.allSuites()) failures += broken(suite);
  return failures;
}

const skippedOf = (module: TestModule, test: TestCase, note: string | undefined): Skipped => ({
  file: relative(process.cwd(), module.moduleId),
  name: test.fullName,
  reason: note ?? (test.options.mode === "todo" ? "to be written" : "no reason given (a filter, or skip)"),
});

function notCovered(skipped: readonly Skipped[]): string {
  if (skipped.length === 0) return "";
  const lines = [...Map.groupBy(skipped, ({ reason }) => reason)].flatMap(([reason, tests]) => [
    `  ${reason}`,
    ...[...Map.groupBy(tests, ({ file }) => file)].map(([file, { length, 0: first }]) =>
      length === 1 ? `    ${file}: ${first?.name ?? ""}` : `    ${file}: ${length} tests`,
    ),
  ]);
  return `\nNot covered by this run:\n${lines.join("\n")}\n\n`;
}
