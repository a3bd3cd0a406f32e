import type { LaneName, Seq } from "../base/ids.ts";
import type { OpenExceptions } from "./open-exceptions.ts";

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
