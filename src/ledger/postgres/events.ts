import { seq, type Seq, type By } from "../../base/ids.ts";
import type { EventKind, NewEvent } from "../events.ts";
import type { Tx } from "./tx.ts";

/** No range of numbers is longer than 2^53. */
export const WIDEST_SPAN = 53;

export function record(tx: Tx, event: NewEvent): void {
  tx.tell(event);
}

const NONE = seq(0);

/** An event about no message in particular. */
export function note(
  tx: Tx,
  kind: EventKind | (string & {}),
  by: By,
  detail: string,
  lane: number | null = null,
): void {
  tx.tell({ lane, from: NONE, through: NONE, kind, by, detail });
}

/** An event about one message. */
export function recordOne(tx: Tx, lane: number, at: Seq, kind: EventKind, by: By, detail: string): void {
  tx.tell({ lane, from: at, through: at, kind, by, detail });
}
