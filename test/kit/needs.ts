import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "vitest";
import { REPO } from "./repo.ts";

/**
 * What some suites need and not every machine has. Each is found by its variable, or in `data/services.json`, which
 * `scripts/services up` writes: `{"postgres": "postgres://…"}`.
 */
const NEEDS = {
  postgres: { variable: "WAYBILL_POSTGRES_URL", isA: "a PostgreSQL server" },
  pgbouncer: { variable: "WAYBILL_PGBOUNCER", isA: "the path of a PgBouncer" },
  browser: { variable: "WAYBILL_BROWSER", isA: "the path of a Chromium" },
  zeep: { variable: "WAYBILL_ZEEP_PYTHON", isA: "the path of a Python that has zeep (Debian's python3-zeep)" },
  mono: { variable: "WAYBILL_MONO_MCS", isA: "the path of Mono's C# compiler, with Mono and its WCF beside it" },
  ramdisk: { variable: "WAYBILL_RAMDISK", isA: "the right to mount a RAM disk" },
  promtool: { variable: "WAYBILL_PROMTOOL", isA: "the path of Prometheus' promtool, with prometheus beside it" },
  retail: { variable: "WAYBILL_RETAIL_CSV", isA: "the retail data set online-retail-2010-12.csv" },
} as const;
export type Need = keyof typeof NEEDS;

/** Where the thing is (URL or path), or why it cannot be used. */
export type Found = { readonly at: string } | { readonly missing: string };

export function find(need: Need): Found {
  const { variable, isA } = NEEDS[need];
  const told = process.env[variable] ?? services()[need] ?? (need === "retail" ? RETAIL_BESIDE : undefined);
  if (told === undefined) return { missing: `needs ${isA}: set ${variable}, or run scripts/services up` };
  if (need !== "postgres" && !existsSync(told))
    return { missing: `needs ${isA}: there is no file ${told} (${variable})` };
  return { at: told };
}

/**
 * A suite over something that may not be here. Where it is missing, the suite stands in the run as one skipped test with
 * the reason, or, when WAYBILL_REQUIRE names it (`all`, or names with commas), as one failed test.
 */
export const describeWith = (need: Need, name: string, suite: (at: string) => void): void =>
  describeFound(need, find(need), name, suite);

/** The same for a thing that was looked for elsewhere; `need` is what WAYBILL_REQUIRE calls it. */
export function describeFound(need: Need, found: Found, name: string, suite: (at: string) => void): void {
  if ("at" in found) {
    describe(name, () => {
      suite(found.at);
    });
    return;
  }
  describe(name, () => {
    test(`needs ${need}`, (context) => {
      if (required(need)) throw new Error(`${found.missing} (WAYBILL_REQUIRE asks for it)`);
      context.skip(found.missing);
    });
  });
}

const RETAIL_BESIDE = join(REPO, "../shared/data/online-retail-2010-12.csv");

function required(need: Need): boolean {
  const asked = (process.env["WAYBILL_REQUIRE"] ?? "").split(",").map((word) => word.trim());
  return asked.includes("all") || asked.includes(need);
}

function services(): Readonly<Record<string, string | undefined>> {
  const file = join(REPO, "data/services.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, string>) : {};
}
