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
  return async () => {
    const [{ backlog }, freeDiskBytes] = await Promise.all([ledger.trail.overview(), freeDisk(ledgerUrl)]);
    return { backlogBytes: backlog * meanBytes(), freeDiskBytes };
  };
}

/** Free bytes of the disk that a ledger in a file is on; Infinity for one on a server, whose disk cannot be seen from here. */
export async function freeDisk(ledgerUrl: string): Promise<number> {
  if (!ledgerUrl.startsWith("sqlite:")) return Infinity;
  const { bavail, bsize } = await statfs(dirname(ledgerUrl.slice("sqlite:".length)));
  return bavail * bsize;
}
