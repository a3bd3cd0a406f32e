import { seq, type Actor, type Seq } from "../../base/ids.ts";
import type { EventKind, NewEvent } from "../events.ts";
import type { Store } from "./store.ts";

/** The power of two that `count` numbers fit in; see the table `event`. */
export const spanOf = (count: number): number => Math.ceil(Math.log2(count));
/** No range of numbers is longer than 2^53. */
export const WIDEST_SPAN = 53;

export function record(store: Store, event: NewEvent): void {
  store.run(
    "insert into event (at, lane, from_seq, through_seq, span, kind, actor, detail) values (?, ?, ?, ?, ?, ?, ?, ?)",
    store.now(),
    event.lane,
    event.from,
    event.through,
    spanOf(event.through - event.from + 1),
    event.kind,
    event.actor,
    event.detail,
  );
}

const NONE = seq(0);

/** An event about no message in particular. */
export function note(
  store: Store,
  kind: EventKind | (string & {}),
  actor: Actor,
  detail: string,
  lane: number | null = null,
): void {
  record(store, { lane, from: NONE, through: NONE, kind, actor, detail });
}

/** An event about one message. */
export function recordOne(store: Store, lane: number, at: Seq, kind: EventKind, actor: Actor, detail: string): void {
  record(store, { lane, from: at, through: at, kind, actor, detail });
}
