import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorsPage } from "./errors-page.ts";
import { metricsPage, observabilityPage, settingsPage } from "./settings-page.ts";

/** Writes the pages that are made from the code; test/docs.test.ts compares them with it. Run by `npm run docs`. */
export const PAGES: Readonly<Record<string, () => string>> = {
  "docs/configuration.md": settingsPage,
  "docs/errors.md": errorsPage,
  "docs/metrics.md": metricsPage,
  "docs/observability.md": observabilityPage,
};

if (import.meta.main) {
  for (const [path, page] of Object.entries(PAGES)) {
    writeFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), page());
    console.log(path);
  }
}
