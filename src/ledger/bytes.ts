import type { FaultCode } from "../base/errors.ts";
import type { LaneName, Seq } from "../base/ids.ts";
import type { KeySets } from "./key-sets.ts";

/** Reading of stored lines, and of what is open of a lane; a connection of its own, usable while another thread writes. */
export interface LedgerBytes extends AsyncDisposable {
  /** Stored pieces that cover `from`…`through` in order, up to about `limitBytes` (at least one), after part `afterPart` of `from`. */
  read(lane: LaneName, from: Seq, through: Seq, afterPart: number, limitBytes: number): Promise<readonly StoredPiece[]>;
  /** All open exceptions of the terminal's lanes up to this one, as they are now. */
  open(lane: LaneName): Promise<OpenExceptions>;
}
/** Whole lines with newlines. `part` > 0: parts `part`…`throughPart` of the one message `from`. It may begin before or end behind what was asked. */
export type StoredPiece = {
  readonly from: Seq;
  readonly through: Seq;
  readonly part: number;
  readonly throughPart: number;
  readonly bytes: Uint8Array;
};

export type OpenExceptions = {
  /** In order of lane and number. */
  readonly exceptions: readonly OpenException[];
  /** Those of the lanes that are older than the one asked for, each with its fence and version: see `olderLanes`. */
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
export const olderLanes = (lanes: readonly OpenLane[]): string =>
  lanes.map(({ id, fence, version }) => `${id}.${fence}.${version}`).join(" ");
