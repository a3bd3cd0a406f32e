import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { instant, type Clock } from "../../src/base/clock.ts";
import { actor, terminalId } from "../../src/base/ids.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import { secretHash } from "../../src/hub/api/secret.ts";
import { openSqliteLedger } from "../../src/ledger/sqlite/ledger.ts";
import { EPOCH_MS } from "./life.ts";
import { CENTRE_SCHEMA, TILL_SCHEMA, TILLS } from "./shape.ts";

/** `memory`: real SQLite files on a file system that lives in memory, so that no commit waits for a disk. */
export type Medium = "memory" | "disk";
const IN_MEMORY = "/dev/shm";
const AT_THE_BEGINNING: Clock = { now: () => instant(EPOCH_MS), elapsed: () => 0 };
const STATIONS = ["till", "central", "ledger"] as const;
export type StationFile = (typeof STATIONS)[number];

/**
 * A folder for many seeds, with one made database of each kind: copying a file costs less than making its tables. The ledger's
 * knows the tokens with which tills enrol.
 */
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
    await using ledger = await openSqliteLedger(files.template("ledger"), {
      ...systemRuntime,
      clock: AT_THE_BEGINNING,
    });
    for (const { id, token, store } of TILLS) {
      const facts = { terminal: terminalId(id), tags: { store }, validMs: 1e12, by: actor("operator:anna") };
      await ledger.terminals.createToken(secretHash(token), facts);
    }
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
