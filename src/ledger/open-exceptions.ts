import type { FaultCode } from "../base/errors.ts";
import { laneName, type Epoch, type LaneName, type Seq, type TerminalId } from "../base/ids.ts";
import type { KeySets } from "./key-sets.ts";

export type OpenExceptions = {
  /** In order of lane and number. */
  readonly exceptions: readonly OpenException[];
  /** Those of the lanes that are older than the one asked for, each with its fence and version: see `Claim.open`. */
  readonly older: string;
};
export type OpenException = {
  readonly lane: LaneName;
  readonly seq: Seq;
  readonly state: "received" | "retrying" | "held" | "dead";
  readonly fault: FaultCode | null;
  readonly attempts: number;
  /** Null when the ledger learned of it from the central database alone: then it conflicts with everything of its lane. */
  readonly sets: KeySets | null;
};

/** A lane that has open exceptions. */
export type OpenLane = { readonly id: number; readonly fence: number; readonly version: number };
/** While it reads the same, the same exceptions of these lanes are open, and touch the same. */
const olderLanes = (lanes: readonly OpenLane[]): string =>
  lanes.map(({ id, fence, version }) => `${id}.${fence}.${version}`).join(" ");

/** See `Claim.open`. @param lanes those of the terminal up to this one that have open exceptions, in order */
export const openMark = (lane: number, lanes: readonly OpenLane[]): string | null =>
  lanes.length === 0 ? null : olderLanes(lanes.filter(({ id }) => id !== lane));

/** As both stores select it. */
export type OpenRow = Omit<OpenException, "lane" | "sets"> & {
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  readonly sets: string | null;
};
export const openOf = ({ terminal, epoch, seq, state, fault, attempts, sets }: OpenRow): OpenException => ({
  lane: laneName(terminal, epoch),
  seq,
  state,
  fault,
  attempts,
  sets: sets === null ? null : (JSON.parse(sets) as KeySets),
});

/** @param rows in order of lane and number, all read by one statement, so that exceptions and fences are of one moment */
export function openExceptionsOf(epoch: Epoch, rows: readonly (OpenRow & OpenLane)[]): OpenExceptions {
  const older = new Map(rows.filter((row) => row.epoch !== epoch).map((row) => [row.id, row]));
  return { exceptions: rows.map(openOf), older: olderLanes([...older.values()]) };
}
