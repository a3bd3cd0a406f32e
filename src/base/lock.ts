import { readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isoOf, systemClock } from "./clock.ts";
import { WaybillError } from "./errors.ts";

/** What the holder wrote about itself, for the error of whoever comes second. Only a hint: the lock itself decides. */
type Holder = { readonly pid: number; readonly since: string };

/**
 * Makes this the only holder of `path` on this machine, until disposed or until the process ends in any way: the
 * operating system drops the lock even on kill -9, so there is never a stale one to remove by hand. It is an exclusive
 * transaction on the SQLite file `<path>.lock`, which works alike on every system, between threads and between processes.
 *
 * `path` itself need not exist, its folder must. Different spellings and symbolic links of one path are one lock.
 * The lock file stays behind: deleting it would let a third process lock a new file of the same name.
 * @param what names the thing in the error: "the ledger"
 * @param kind tells apart locks on one path: the lock file is `<path><kind>.lock`. Not a part of `path`, which a link may stand for.
 * @throws ALREADY_RUNNING with `pid` and `since` of the holder where they are known; DATABASE_UNAVAILABLE when the lock file
 *   cannot be made.
 */
export function holdLock(path: string, what: string, kind = ""): Disposable {
  const real = `${canonical(path)}${kind}`;
  const side = `${real}.lock.json`;
  let file: DatabaseSync | null = null;
  try {
    file = new DatabaseSync(`${real}.lock`, { timeout: 0 });
    file.exec("begin exclusive");
  } catch (thrown) {
    file?.close();
    throw refusalOf(thrown, what, real, side);
  }
  const held = file;
  HELD.add(held);
  signBeside(side);
  return {
    [Symbol.dispose]: () => {
      if (!held.isOpen) return;
      rmSync(side, { force: true }); // before the lock is let go, or it could be the next holder's
      held.close();
      HELD.delete(held);
    },
  };
}

/** A connection that nobody refers to is closed when garbage is collected, and the lock would go with it. */
const HELD = new Set<DatabaseSync>();

function signBeside(side: string): void {
  const holder: Holder = { pid: process.pid, since: isoOf(systemClock.now()) };
  try {
    writeFileSync(side, `${JSON.stringify(holder)}\n`);
  } catch {
    // A full disk must not stop a start: the lock holds without the note, and only the error's words are poorer.
  }
}

function canonical(path: string): string {
  const full = resolve(path);
  try {
    return realpathSync(full);
  } catch {
    // The file is not there yet; its folder is, or opening the lock file says so.
  }
  try {
    return join(realpathSync(dirname(full)), basename(full));
  } catch {
    return full;
  }
}

const SQLITE_BUSY = 5;

function refusalOf(thrown: unknown, what: string, path: string, side: string): WaybillError {
  const busy = thrown instanceof Error && "errcode" in thrown && thrown.errcode === SQLITE_BUSY;
  if (!busy)
    return new WaybillError("DATABASE_UNAVAILABLE", `no lock file can be made at ${path}.lock`, { cause: thrown });
  const holder = readHolder(side);
  const by = holder ? ` by process ${holder.pid} since ${holder.since}` : "";
  return new WaybillError("ALREADY_RUNNING", `${what} at ${path} is held${by}`, {
    cause: thrown,
    facts: { path, ...(holder && { pid: holder.pid, since: holder.since }) },
  });
}

function readHolder(side: string): Holder | null {
  try {
    const read: unknown = JSON.parse(readFileSync(side, "utf8"));
    if (typeof read !== "object" || read === null || !("pid" in read) || !("since" in read)) return null;
    return typeof read.pid === "number" && typeof read.since === "string" ? { pid: read.pid, since: read.since } : null;
  } catch {
    return null; // being written, or never was: the refusal stands without it
  }
}
