import type { Instant } from "../base/clock.ts";
import type { Seq } from "../base/ids.ts";
import type { StateKind } from "../message/lifecycle.ts";
import type { StoredPiece } from "./bytes.ts";

export type ArrivedPiece = StoredPiece & { readonly receivedAt: Instant };
export type ArrivedSpan = { readonly since: Instant | null; readonly until: Instant | null };
export type StateSpan = { readonly from: Seq; readonly through: Seq; readonly state: StateKind };
/** A stretch of a lane, newest first. */
export type Arrivals = {
  readonly pieces: readonly ArrivedPiece[];
  /** Of all messages in `pieces`, in the order of their numbers; disjoint. */
  readonly states: readonly StateSpan[];
  /** Where to go on: what came before this message was not looked at. Null: that was all. */
  readonly next: Seq | null;
};
export const NO_ARRIVALS: Arrivals = { pieces: [], states: [], next: null };

/** Pieces of one page: a lane of a busy terminal has one a request. */
export const ARRIVED_PIECES = 200;

/** The beginning of `found` that makes up about the size asked for, at least one piece. */
export function arrivedPage(found: readonly ArrivedPiece[], limitBytes: number): readonly ArrivedPiece[] {
  let bytes = 0;
  const end = found.findIndex((piece) => (bytes += piece.bytes.byteLength) >= limitBytes);
  return end < 0 ? found : found.slice(0, end + 1);
}
