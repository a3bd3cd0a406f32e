import type { Mutation } from "./mutations.ts";

/** What one run found out of a mutation; null: it did not try. */
export type Measured = {
  readonly mutation: Mutation;
  /** The test that failed. */
  readonly by: Caught | "nobody" | null;
  readonly worlds: { readonly broken: number; readonly of: number } | null;
};
export type Caught = { readonly file: string; readonly name: string };

const BEGIN = "<!-- mutations: made by `npm run mutate -- --write` -->";
const END = "<!-- end of mutations -->";
const ROW = /^\| ([a-z-]+) \| .* \| (.*) \| ([^|]*) \|$/;

/** docs/spec.md with the list of all `mutations`, in the place of the one before or at its end. What was not measured stays as it was. */
export function tableOf(
  spec: string,
  mutations: readonly Mutation[],
  measured: readonly Measured[],
  steps: number,
): string {
  const [before = "", rest] = spec.split(BEGIN);
  const [old = "", after = "\n"] = rest?.split(END) ?? [];
  const known = new Map(rowsOf(old).map(({ id, ...row }) => [id, row]));
  const fresh = new Map(measured.map((one) => [one.mutation.id, one]));
  const rows = mutations.map(({ id, what, file }) => {
    const { by = null, worlds = null } = fresh.get(id) ?? {};
    const caught = by === null ? (known.get(id)?.caught ?? "**not tried**") : cellOf(by);
    const broken = worlds === null ? (known.get(id)?.worlds ?? "–") : `${worlds.broken} of ${worlds.of}`;
    return `| ${id} | ${what} (\`${file}\`) | ${caught} | ${broken} |`;
  });
  const list = [
    BEGIN,
    "",
    "## Broken on purpose",
    "",
    `\`npm run mutate\` breaks the core in these ${mutations.length} ways, one at a time, and each must make the named test fail. The last column: in how many simulated worlds of`,
    `${steps} steps something was violated.`,
    "",
    "| mutation | what the broken code does | caught by | worlds |",
    "|---|---|---|---|",
    ...rows,
    "",
    END,
  ].join("\n");
  return `${rest === undefined ? `${before.trimEnd()}\n\n` : before}${list}${after}`;
}

const cellOf = (by: Caught | "nobody"): string =>
  by === "nobody" ? "**nobody**" : `\`${by.file}\`: "${by.name.replaceAll("|", "\\|")}"`;

const rowsOf = (list: string): { id: string; caught: string; worlds: string }[] =>
  list.split("\n").flatMap((line) => {
    const [, id, caught, worlds] = ROW.exec(line) ?? [];
    return id === undefined || caught === undefined || worlds === undefined || id === "mutation"
      ? []
      : [{ id, caught: caught.slice(caught.lastIndexOf(" | ") + 1).trim(), worlds }];
  });

/** The ids that the list in docs/spec.md names. */
export const listedIn = (spec: string): readonly string[] =>
  rowsOf(spec.split(BEGIN)[1]?.split(END)[0] ?? "").map(({ id }) => id);
