import type { Seq } from "../../base/ids.ts";
import type { StateKind } from "../../message/lifecycle.ts";
import type { Store } from "./store.ts";

/** The message's state, from the view `message_state`; null when there is no such message. */
export function stateOf(store: Store, lane: number, seq: Seq): StateKind | null {
  const row = store.get<{ state: StateKind }>(
    "select state from message_state where lane = ?1 and from_seq <= ?2 and through_seq >= ?2",
    lane,
    seq,
  );
  return row?.state ?? null;
}
