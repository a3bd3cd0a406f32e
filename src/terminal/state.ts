import type { Folder } from "../base/folder.ts";
import type { CaptureState } from "../database/port.ts";
import type { LoopStatus } from "./loop.ts";
import type { StaleRow } from "./stale.ts";
import type { OpenCounts } from "./submit.ts";

export const LOOPS = ["hub", "capture", "submit", "receive", "answer"] as const;
export type LoopName = (typeof LOOPS)[number];

/** What `waybill terminal status` tells. Times are ISO 8601, numbers those of the lane. */
export type TerminalStatus = {
  readonly terminal: string;
  readonly hub: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  /** The agent writes this at least every 30 s: an older one belongs to an agent that is gone. */
  readonly writtenAt: string;
  /** Hub: enrolment and manifest. A loop in trouble says since when, why, and when it tries again. */
  readonly loops: Readonly<Record<LoopName, LoopStatus>>;
  readonly up: Pick<
    CaptureState,
    "epoch" | "packedThrough" | "receivedThrough" | "loadedThrough" | "outboxRows" | "oldestAt" | "resyncing"
  > & {
    readonly tables: readonly string[];
    /** Of the messages that are received but not loaded: those the centre refused, or that wait for one it refused. */
    readonly open: OpenCounts;
  };
  readonly down: {
    readonly tables: readonly string[];
    readonly appliedThrough: number;
    /** Changes applied of the update after it. */
    readonly inside: number;
    /** Rows that are not what the centre says, because this database refused them. */
    readonly stale: number;
    readonly staleRows: readonly StaleRow[];
  };
  /** The longest a transaction of the agent held the database's write lock since it started, in ms. */
  readonly longestLockMs: number;
};

const FILE = "status.json";

/** It need not survive a power cut. */
export const writeStatus = (folder: Folder, status: TerminalStatus): Promise<void> =>
  folder.write(FILE, `${JSON.stringify(status, null, 2)}\n`, "volatile");

/** What the agent of this state folder wrote last; null when none ever did. */
export async function readStatus(folder: Folder): Promise<TerminalStatus | null> {
  const text = await folder.read(FILE);
  return text === null ? null : (JSON.parse(text) as TerminalStatus);
}
