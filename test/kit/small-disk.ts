import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Found } from "./needs.ts";

const run = (program: string, ...words: string[]): boolean => spawnSync(program, words).status === 0;
const mounted = (at: string, mib: number): boolean => {
  mkdirSync(at, { recursive: true });
  return run("mount", "-t", "tmpfs", "-o", `size=${mib}m`, "tmpfs", at);
};

/** Whether this process may make small disks. Linux wants root for it, and many a container forbids it even then. */
export function findSmallDisks(): Found {
  const at = mkdtempSync(join(tmpdir(), "waybill-disk-"));
  const isMounted = mounted(at, 1);
  if (isMounted) run("umount", at);
  rmSync(at, { recursive: true });
  return isMounted ? { at: "tmpfs" } : { missing: "needs the right to mount a RAM disk" };
}

/** A disk of a test's own, of a size that is soon filled: a RAM disk on a folder. */
export class SmallDisk implements Disposable {
  readonly at: string;
  readonly #ballast: string;

  /** @throws Error when this process may not; ask {@link findSmallDisks} first */
  constructor(at: string, mib: number) {
    if (!mounted(at, mib)) throw new Error(`no disk of ${mib} MiB could be mounted on ${at}`);
    this.at = at;
    this.#ballast = join(at, "ballast");
  }

  /** Leaves room for not one byte more. */
  fill(): void {
    const file = openSync(this.#ballast, "a");
    try {
      for (let chunk = 8 << 20; chunk >= 512; chunk >>= 1) {
        const zeros = new Uint8Array(chunk);
        while (wrote(file, zeros));
      }
    } finally {
      closeSync(file);
    }
  }
  /** What {@link fill} took is free again. */
  free(): void {
    rmSync(this.#ballast, { force: true });
  }
  /** Makes it a larger one, with all that is on it. */
  grow(mib: number): void {
    if (!run("mount", "-o", `remount,size=${mib}m`, this.at)) throw new Error(`${this.at} could not be made larger`);
  }
  [Symbol.dispose](): void {
    // Lazily: a process that is just being killed may have a file open still.
    run("umount", "--lazy", this.at);
  }
}

/** Whether all of it found room. */
function wrote(file: number, bytes: Uint8Array): boolean {
  try {
    return writeSync(file, bytes) === bytes.length;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOSPC") return false;
    throw thrown;
  }
}
