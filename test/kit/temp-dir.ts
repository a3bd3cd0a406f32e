import { chmodSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type TempDir = AsyncDisposable & {
  readonly path: string;
  /** The path of a file (or folder) by this name inside; it is not made. */
  file(...names: string[]): string;
};

/**
 * A new folder of this test's own, removed with everything in it at the end of the scope: `await using dir = tempDir()`.
 * `others` may pass through it to a folder of theirs inside, such as a server that runs as another user.
 * A process that is killed leaves it behind, under the system's folder for temporary files.
 */
export function tempDir(to: "us" | "others" = "us"): TempDir {
  const path = mkdtempSync(join(tmpdir(), "waybill-"));
  if (to === "others") chmodSync(path, 0o711);
  return {
    path,
    file: (...names) => join(path, ...names),
    // A process that was just killed may still hold a file for a moment on some systems, hence the retries.
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }),
  };
}
