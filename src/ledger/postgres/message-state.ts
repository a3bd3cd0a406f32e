import type { Seq } from "../../base/ids.ts";
import type { StateKind } from "../../message/lifecycle.ts";
import type { Tx } from "./tx.ts";

/** The message's state, from the view `message_state`; null when there is no such message. */
export async function stateOf(tx: Tx, lane: number, seq: Seq): Promise<StateKind | null> {
  const row = await tx.get<{ state: StateKind }>(
    "select state from message_state where lane = $1 and from_seq <= $2 and through_seq >= $2",
    lane,
    seq,
  );
  return row?.state ?? null;
}
