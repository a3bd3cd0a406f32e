import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { REPO } from "./kit/repo.ts";

const spec = readFileSync(join(REPO, "docs/spec.md"), "utf8");

describe("docs/spec.md", () => {
  test("has all fourteen invariants, each with a test", () => {
    for (let n = 1; n <= 14; n++) {
      const [, section = ""] =
        new RegExp(`\\n\\*\\*I${n}\\. [\\s\\S]*?\\*\\*\\n([\\s\\S]*?)(?=\\n\\*\\*I|\\n## )`).exec(spec) ?? [];
      expect(section, `I${n}`).toContain("- `");
    }
  });

  test("names only tests that exist", () => {
    const named = [...spec.matchAll(/^- `([^`]+)`: "([^"]+)"$/gm)];
    expect(named.length).toBeGreaterThan(20);
    const missing = named.filter(([, file = "", name = ""]) => !readFileSync(join(REPO, file), "utf8").includes(name));
    expect(missing.map(([line]) => line)).toEqual([]);
  });
});
