import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { Capacity } from "./parts.ts";

/** The ledger's own size is asked for seldom: a server looks at each of its files for it. */
const SIZE_EVERY_MS = 10_000;
/** Room within the file is no room for the log beside it: so much of what is needed must be free on the disk itself. */
const OF_THE_DISK = 8;

type Parts = {
  readonly ledgerUrl: string;
  readonly ledger: Pick<Ledger, "trail" | "retention">;
  readonly clock: Pick<Clock, "elapsed">;
  /** Of one message line, in bytes. */
  readonly meanBytes: () => number;
  readonly freeBytes?: (ledgerUrl: string) => Promise<number>;
};

/**
 * What the ledger may still take. Of a file: the free bytes of its disk, and those within the file that retention has freed. Of a server
 * only its size is known, no disk. The backlog is messages × the mean size of those that came since the start (an estimate: the bound keeps
 * a disk from filling, it is no account).
 */
export function ledgerCapacity({
  ledgerUrl,
  ledger,
  clock,
  meanBytes,
  freeBytes = freeDisk,
}: Parts): () => Promise<Capacity> {
  let space = { usedBytes: 0, reusableBytes: 0 };
  let sizedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (isFile(ledgerUrl) || clock.elapsed() - sizedAt >= SIZE_EVERY_MS) {
      sizedAt = clock.elapsed();
      space = await ledger.retention.space();
    }
    const [{ backlog }, free] = await Promise.all([ledger.trail.overview(), freeBytes(ledgerUrl)]);
    return {
      backlogBytes: backlog * meanBytes(),
      freeDiskBytes: Math.min(free + space.reusableBytes, free * OF_THE_DISK),
      ledgerBytes: space.usedBytes,
    };
  };
}

/** Free bytes of the disk that a ledger in a file is on; Infinity for one on a server, whose disk cannot be seen from here. */
export async function freeDisk(ledgerUrl: string): Promise<number> {
  if (!isFile(ledgerUrl)) return Infinity;
  const { bavail, bsize } = await statfs(dirname(ledgerUrl.slice("sqlite:".length)));
  return bavail * bsize;
}

const isFile = (ledgerUrl: string): boolean => ledgerUrl.startsWith("sqlite:");
