import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemRuntime } from "../../src/base/runtime.ts";
import { openSqliteLedger } from "../../src/ledger/sqlite/ledger.ts";
import { CENTRE_SCHEMA, TILL_SCHEMA } from "./shape.ts";

/** `memory`: real SQLite files on a file system that lives in memory, so that no commit waits for a disk. */
export type Medium = "memory" | "disk";
const IN_MEMORY = "/dev/shm";
const STATIONS = ["till", "central", "ledger"] as const;
export type StationFile = (typeof STATIONS)[number];

/** A folder for many seeds, with one made database of each kind: copying a file costs less than making its tables. */
export class Files implements Disposable {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async make(medium: Medium): Promise<Files> {
    const root = medium === "memory" && existsSync(IN_MEMORY) ? IN_MEMORY : tmpdir();
    const files = new Files(mkdtempSync(join(root, "waybill-simulation-")));
    for (const [name, schema] of [
      ["till", TILL_SCHEMA],
      ["central", CENTRE_SCHEMA],
    ] as const) {
      const db = new DatabaseSync(files.template(name));
      db.exec(`pragma journal_mode = wal; ${schema}`);
      db.close();
    }
    await (await openSqliteLedger(files.template("ledger"), systemRuntime))[Symbol.asyncDispose]();
    return files;
  }

  template(name: StationFile): string {
    return join(this.#folder, `${name}.template.db`);
  }

  /** A folder of its own for one run, removed when disposed. */
  world(): Disposable & { readonly file: (name: string, like: StationFile) => string } {
    const folder = join(this.#folder, "world");
    mkdirSync(folder);
    return {
      file: (name, like) => {
        const path = join(folder, `${name}.db`);
        copyFileSync(this.template(like), path);
        return path;
      },
      [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A copy of the database as it is at one moment. */
export function backUp(db: DatabaseSync, to: string): void {
  rmSync(to, { force: true });
  db.exec(`vacuum into '${to}'`);
}
/** Puts the copy in the database's place. Nobody may have it open. */
export function restore(path: string, from: string): void {
  for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
  copyFileSync(from, path);
  const db = new DatabaseSync(path);
  db.exec("pragma journal_mode = wal");
  db.close();
}

/** Every fiftieth seed plays on the disk. */
export const mediumOf = (seed: number): Medium => (seed % 50 === 0 ? "disk" : "memory");
