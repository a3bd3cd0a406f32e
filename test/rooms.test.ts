import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { REPO } from "./kit/repo.ts";
import { cycles, parseSource, readSources, type Source } from "./kit/sources.ts";

/** The floors of the house, lowest first. A room imports only rooms on lower floors, never one beside it. */
const FLOORS = [
  ["base"],
  ["message", "observe"],
  ["database", "ledger", "wire"],
  ["load"],
  ["terminal", "hub"],
  ["console"],
  ["cli"],
];
/** Which rooms may open these doors to the outside; everybody else goes through them. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  "node:sqlite": ["base", "database", "ledger", "cli"], // base: the lock file; cli: the demo's tills are applications of their own
  "node:worker_threads": ["base"],
  "node:child_process": ["cli"],
  fastify: ["hub", "console"],
  "openid-client": ["console"],
  pino: ["observe"],
  "pino-pretty": ["observe"],
  commander: ["cli"],
  picocolors: ["cli", "observe"],
};
/** Settings are read once, at the door: only these files may look at the environment. */
const MAY_READ_ENV = /^src\/(cli\/|[^/]+\/(load-)?config\.ts$)/;
/** A config is read through its default export, as users write theirs. */
const MAY_DEFAULT_EXPORT = /\.config\.ts$/;
const LONG = 400;
const TOO_LONG = 500;

const floorOf = (room: string): number => FLOORS.findIndex((rooms) => rooms.includes(room));
const packageOf = (name: string): string =>
  name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");

/** What is wrong with the file's imports, in words; the rules of DESIGN "where things are". */
function misplacedImports({ path, room, isTest, imports }: Source): string[] {
  const own = floorOf(room);
  return imports.flatMap(({ from, file }) => {
    if (file === null) {
      const rooms = DOORS[from];
      if (rooms && !isTest && room !== "" && !rooms.includes(room))
        return [`${path} imports ${from}: only ${rooms.join(", ")} may`];
      return [];
    }
    if (!file.endsWith(".ts") && !file.endsWith(".json")) return [`${path} imports ${from} without its ending`];
    if (file.startsWith("test/")) return isTest ? [] : [`${path} imports ${file}: only tests may`];
    if (!file.startsWith("src/")) return [`${path} imports ${file}: outside of src/`];
    const [, other = ""] = /^src\/([^/]+)\//.exec(file) ?? [];
    if (room === "" || other === room) return [];
    return floorOf(other) < own ? [] : [`${path} (${room}) imports ${file}: ${other || "src"} is not below it`];
  });
}

const sources = readSources();
const production = sources.filter((source) => !source.isTest);

describe("the rooms of src/", () => {
  test("every room has its floor", () => {
    expect(sources.filter(({ room }) => room !== "" && floorOf(room) < 0).map(({ path }) => path)).toEqual([]);
  });
  test("a room imports only rooms below it", () => {
    expect(sources.flatMap(misplacedImports)).toEqual([]);
  });
  test("every import of a file of ours is there", () => {
    const missing = production.flatMap(({ path, imports }) =>
      imports.filter(({ file }) => file && !existsSync(join(REPO, file))).map(({ from }) => `${path} imports ${from}`),
    );
    expect(missing).toEqual([]);
  });
  test("no files import each other in a ring", () => {
    expect(cycles(sources)).toEqual([]);
  });
  test("production code does not import tests or contract suites", () => {
    const tests = new Set(sources.filter((source) => source.isTest).map(({ path }) => path));
    const upward = production.flatMap(({ path, imports }) =>
      imports.filter(({ file }) => file && tests.has(file)).map(({ from }) => `${path} imports ${from}`),
    );
    expect(upward).toEqual([]);
  });
  test("no default exports and no barrels", () => {
    expect(
      sources
        .filter(({ defaultExport, path }) => defaultExport && !MAY_DEFAULT_EXPORT.test(path))
        .map(({ path }) => path),
    ).toEqual([]);
    const inside = sources.filter(({ room }) => room !== ""); // the package's own front door may gather names
    expect(inside.filter(({ reexports }) => reexports.length > 0).map(({ path }) => path)).toEqual([]);
  });
  test("no file is longer than two ideas", () => {
    for (const { path, lines } of production)
      if (lines > LONG) console.warn(`${path} has ${lines} lines: look for two ideas`);
    expect(production.filter(({ lines }) => lines > TOO_LONG).map(({ path, lines }) => `${path}: ${lines}`)).toEqual(
      [],
    );
  });
});

describe("what only base/ may do", () => {
  test("nobody else makes or reads a Date, or draws by chance", () => {
    const forbidden = [
      "new Date",
      "Date.now",
      "Date.parse",
      "Date.UTC",
      "Math.random",
      "AbortSignal.timeout",
      "process.hrtime",
    ];
    const uses = production
      .filter(({ room }) => room !== "base")
      .flatMap(({ path, uses }) => forbidden.filter((use) => uses.has(use)).map((use) => `${path}: ${use}`));
    expect(uses).toEqual([]);
  });
  test("settings are read from the environment at the door alone", () => {
    expect(
      production
        .filter(({ path, uses }) => uses.has("process.env") && !MAY_READ_ENV.test(path))
        .map(({ path }) => path),
    ).toEqual([]);
  });
});

describe("packages from outside", () => {
  type Versions = Readonly<Record<string, string>>;
  type Manifest = {
    readonly dependencies: Versions;
    readonly devDependencies: Versions;
    readonly optionalDependencies: Versions;
  };
  const manifest = JSON.parse(readFileSync(join(REPO, "package.json"), "utf8")) as Manifest;

  test("production code imports only what is installed with the product", () => {
    const known = new Set(Object.keys(manifest.dependencies));
    const strangers = production.flatMap(({ path, imports }) =>
      imports
        .filter(({ from, file }) => file === null && !from.startsWith("node:") && !known.has(packageOf(from)))
        .map(({ from }) => `${path} imports ${from}`),
    );
    expect(strangers).toEqual([]);
  });
  test("docs/dependencies.md has a line for each, and none for others", () => {
    const page = readFileSync(join(REPO, "docs/dependencies.md"), "utf8");
    const listed = [...page.matchAll(/^\| `([^`]+)`/gm)].map(([, name = ""]) => name);
    const { dependencies, devDependencies, optionalDependencies } = manifest;
    const named = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies });
    expect(listed.toSorted()).toEqual(named.toSorted());
  });
});

describe("this test itself", () => {
  const misplaced = (path: string, text: string): string[] => misplacedImports(parseSource(path, text));

  test("sees every way to import", () => {
    const hub = `from "../hub/hub.ts"`;
    const ways = [
      `import { hub } ${hub}`,
      `import type { Hub } ${hub}`,
      `import "../hub/hub.ts"`,
      `export { hub } ${hub}`,
      `export * ${hub}`,
      `const { hub } = await import("../hub/hub.ts")`,
      `type Hub = import("../hub/hub.ts").Hub`,
      `new Worker(new URL("../hub/hub.ts", import.meta.url))`,
    ];
    for (const way of ways) expect(misplaced("src/load/loader.ts", way), way).toHaveLength(1);
  });
  test("lets a room import lower rooms and itself, and nothing beside or above it", () => {
    expect(
      misplaced("src/load/loader.ts", `import "./verdict.ts"; import "../database/port.ts"; import "../base/ids.ts"`),
    ).toEqual([]);
    expect(misplaced("src/ledger/a.ts", `import "../database/port.ts"`)).toHaveLength(1);
    expect(misplaced("src/base/a.ts", `import "../message/chain.ts"`)).toHaveLength(1);
    expect(misplaced("src/ledger/a.ts", `import "../../test/kit/until.ts"`)).toHaveLength(1);
    expect(misplaced("src/ledger/a.test.ts", `import "../../test/kit/until.ts"`)).toEqual([]);
    expect(misplaced("src/ledger/a.ts", `import "./port"`)).toHaveLength(1);
    expect(misplaced("src/hub/a.ts", `import { DatabaseSync } from "node:sqlite"`)).toHaveLength(1);
  });
  test("finds rings, also longer ones and those of types", () => {
    const a = parseSource("src/base/a.ts", `import "./b.ts"`);
    const b = parseSource("src/base/b.ts", `import type { C } from "./c.ts"`);
    const c = parseSource("src/base/c.ts", `import "./a.ts"`);
    expect(cycles([a, b])).toEqual([]);
    expect(cycles([a, b, c])).toEqual(["src/base/a.ts -> src/base/b.ts -> src/base/c.ts -> src/base/a.ts"]);
  });
  test("sees the forbidden uses", () => {
    const { uses } = parseSource(
      "src/hub/a.ts",
      `new Date(); Date.now(); const x = process.env["HOME"]; [1].map(Math.random)`,
    );
    expect([...uses]).toEqual(expect.arrayContaining(["new Date", "Date.now", "process.env", "Math.random"]));
  });
});
