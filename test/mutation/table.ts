import type { Mutation } from "./mutations.ts";

export type Caught = {
  readonly mutation: Mutation;
  readonly by: { readonly file: string; readonly name: string } | null;
  readonly worlds: number;
};

const BEGIN = "<!-- mutations: made by `npm run mutate -- --write` -->";
const END = "<!-- end of mutations -->";

/** docs/spec.md with the list in the place of the one before, or at its end. */
export function tableOf(spec: string, caught: readonly Caught[], seeds: number, steps: number): string {
  const rows = caught.map(
    ({ mutation, by, worlds }) =>
      `| ${mutation.id} | ${mutation.what} (\`${mutation.file}\`) | ${by === null ? "**nobody**" : `\`${by.file}\`: "${by.name.replaceAll("|", "\\|")}"`} | ${worlds} |`,
  );
  const list = [
    BEGIN,
    "",
    "## Broken on purpose",
    "",
    `\`npm run mutate\` breaks the core in these ${caught.length} ways, one at a time, and each must make the named test fail. The last column: in how many of ${seeds} simulated worlds of`,
    `${steps} steps something was violated.`,
    "",
    "| mutation | what the broken code does | caught by | worlds |",
    "|---|---|---|---|",
    ...rows,
    "",
    END,
  ].join("\n");
  const [before = "", rest] = spec.split(BEGIN);
  const after = rest?.split(END)[1] ?? "\n";
  return `${rest === undefined ? `${before.trimEnd()}\n\n` : before}${list}${after}`;
}

/** The ids that the list in docs/spec.md names. */
export const listedIn = (spec: string): readonly string[] =>
  [...(spec.split(BEGIN)[1]?.split(END)[0] ?? "").matchAll(/^\| ([a-z-]+) \| /gm)]
    .map((match) => match[1] ?? "")
    .filter((id) => id !== "mutation");
