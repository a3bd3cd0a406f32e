import { seq, type Seq, type By, actorOf, requestTraceOf } from "../../base/ids.ts";
import type { EventKind, NewEvent } from "../events.ts";
import type { Store } from "./store.ts";

/** The power of two that `count` numbers fit in; see the table `event`. */
export const spanOf = (count: number): number => Math.ceil(Math.log2(count));
/** No range of numbers is longer than 2^53. */
export const WIDEST_SPAN = 53;

export function record(store: Store, event: NewEvent): void {
  store.run(
    "insert into event (at, lane, from_seq, through_seq, span, kind, actor, request_trace, detail) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    store.now(),
    event.lane,
    event.from,
    event.through,
    spanOf(event.through - event.from + 1),
    event.kind,
    actorOf(event.by),
    requestTraceOf(event.by),
    event.detail,
  );
}

const NONE = seq(0);

/** An event about no message in particular. */
export function note(
  store: Store,
  kind: EventKind | (string & {}),
  by: By,
  detail: string,
  lane: number | null = null,
): void {
  record(store, { lane, from: NONE, through: NONE, kind, by, detail });
}

/** An event about one message. */
export function recordOne(store: Store, lane: number, at: Seq, kind: EventKind, by: By, detail: string): void {
  record(store, { lane, from: at, through: at, kind, by, detail });
}

export const lastEvent = (store: Store): number =>
  store.get<{ id: number | null }>("select max(id) as id from event")?.id ?? 0;

/** The first event at or after the time; ids grow with time, so it is found by halving, and no index by time is kept. */
export function firstAt(store: Store, at: number): number {
  let low = 1;
  let high = lastEvent(store) + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const event = store.get<{ readonly id: number; readonly at: number }>(
      "select id, at from event where id >= ? order by id limit 1",
      middle,
    );
    if (event && event.at < at) low = event.id + 1;
    else high = middle;
  }
  return low;
}
