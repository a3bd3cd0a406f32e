import { globSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { Visitor, parseSync } from "vite";
import { REPO } from "./repo.ts";

/** What the rooms test knows of one source file. Paths are relative to the repository, with slashes. */
export type Source = {
  readonly path: string;
  /** The folder under src/ that the file stands in; empty for a file beside the rooms. */
  readonly room: string;
  /** Tests and contract suites: never part of the published build. */
  readonly isTest: boolean;
  readonly lines: number;
  readonly imports: readonly Import[];
  readonly defaultExport: boolean;
  /** Modules that are exported again from here. */
  readonly reexports: readonly string[];
  /** `object.member` for each member of a global that was asked about, and `new Date`. */
  readonly uses: ReadonlySet<string>;
};
export type Import = {
  /** As written. */
  readonly from: string;
  /** The file it means, when it is one of ours; else null. */
  readonly file: string | null;
  /** Only types: gone when it runs. */
  readonly typeOnly: boolean;
};

export const readSources = (pattern = "src/**/*.ts"): Source[] =>
  globSync(pattern, { cwd: REPO })
    .map((path) => path.replaceAll("\\", "/"))
    .toSorted()
    .map((path) => parseSource(path, readFileSync(join(REPO, path), "utf8")));

/** @throws Error when the text is not TypeScript */
export function parseSource(path: string, text: string): Source {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors.map((error) => error.message).join("; ")}`);
  const imports: Import[] = [];
  const reexports: string[] = [];
  const uses = new Set<string>();
  let defaultExport = false;
  const add = (from: string, typeOnly: boolean): void => {
    const file = from.startsWith(".") ? posix.join(dirname(path), from) : null;
    imports.push({ from, file, typeOnly });
  };
  new Visitor({
    ImportDeclaration: ({ source, importKind }) => add(source.value, importKind === "type"),
    ExportAllDeclaration: ({ source, exportKind }) => {
      add(source.value, exportKind === "type");
      reexports.push(source.value);
    },
    ExportNamedDeclaration: ({ source, exportKind }) => {
      if (!source) return;
      add(source.value, exportKind === "type");
      reexports.push(source.value);
    },
    ExportDefaultDeclaration: () => {
      defaultExport = true;
    },
    ImportExpression: ({ source }) => {
      if (source.type === "Literal" && typeof source.value === "string") add(source.value, false);
    },
    TSImportType: ({ source }) => add(source.value, true),
    NewExpression: ({ callee, arguments: [first] }) => {
      if (callee.type !== "Identifier") return;
      if (callee.name === "Date") uses.add("new Date");
      // How a thread's module or a file beside the code is named: `new URL("./writer.ts", import.meta.url)`.
      if (callee.name !== "URL" || first?.type !== "Literal" || typeof first.value !== "string") return;
      if (first.value.endsWith(".ts")) add(first.value, false);
    },
    MemberExpression: ({ object, property }) => {
      if (object.type === "Identifier" && property.type === "Identifier") uses.add(`${object.name}.${property.name}`);
    },
  }).visit(program);
  const [, room = ""] = /^src\/([^/]+)\//.exec(path) ?? [];
  return {
    path,
    room,
    isTest: /[./](test|test-kit|fixture|contract)\.ts$|\/contract\//.test(path),
    lines: text.trimEnd().split("\n").length,
    imports,
    defaultExport,
    reexports,
    uses,
  };
}

/** Each ring of files that import each other, once, as the path around it. */
export function cycles(sources: readonly Source[]): string[] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const done = new Set<string>();
  const found: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      found.push([...trail.slice(at), path].join(" -> "));
      return;
    }
    if (done.has(path)) return;
    for (const { file } of byPath.get(path)?.imports ?? []) if (file && byPath.has(file)) walk(file, [...trail, path]);
    done.add(path);
  };
  for (const path of byPath.keys()) walk(path, []);
  return found;
}
