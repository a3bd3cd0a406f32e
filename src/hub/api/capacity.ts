import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Ledger } from "../../ledger/port.ts";
import type { Capacity } from "./parts.ts";

/**
 * What a ledger in a file may still take: free bytes of its disk, and the backlog as messages × the mean size of those that
 * came since the start (an estimate: the bound keeps a disk from filling, it is not an account).
 * @param meanBytes of one message line
 */
export function fileCapacity(ledgerUrl: string, ledger: Ledger, meanBytes: () => number): () => Promise<Capacity> {
  const folder = ledgerUrl.startsWith("sqlite:") ? dirname(ledgerUrl.slice("sqlite:".length)) : null;
  return async () => {
    const [{ backlog }, freeDiskBytes] = await Promise.all([
      ledger.trail.overview(),
      folder === null ? Infinity : freeBytes(folder),
    ]);
    return { backlogBytes: backlog * meanBytes(), freeDiskBytes };
  };
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
