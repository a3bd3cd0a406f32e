import type { Instant } from "../base/clock.ts";
import { unreachable, type FaultCode } from "../base/errors.ts";
import type { Actor, LaneName, Seq, WorkerId } from "../base/ids.ts";

/**
 * How a message lives. Most messages never have a row of their own state: they are inside a range of their lane
 * (`received`, `processing`, `loaded`); only the unhappy path is a row. See ARCHITECTURE.md, "The happy path is a range".
 */
export type MessageState =
  | { readonly kind: "received" }
  | { readonly kind: "processing"; readonly by: WorkerId; readonly leaseUntil: Instant }
  | { readonly kind: "retrying"; readonly dueAt: Instant; readonly attempts: number; readonly fault: FaultCode }
  | { readonly kind: "held"; readonly behind: Seq; readonly behindLane: LaneName; readonly on: string }
  | { readonly kind: "dead"; readonly fault: FaultCode }
  | { readonly kind: "loaded" }
  | { readonly kind: "discarded"; readonly by: Actor; readonly reason: string };

export type StateKind = MessageState["kind"];
export const VERBS = ["claim", "load", "retry", "hold", "bury", "release", "requeue", "discard"] as const;
export type Verb = (typeof VERBS)[number];

/** The one total table of moves; `null` is a refused move. SQL constraints, docs and tests are compared with it. */
// oxfmt-ignore
export const LIFE = {
  received:   { claim: "processing", load: null, retry: null, hold: null, bury: null, release: null, requeue: null, discard: null },
  processing: { claim: null, load: "loaded", retry: "retrying", hold: "held", bury: "dead", release: "received", requeue: null, discard: null },
  retrying:   { claim: "processing", load: null, retry: null, hold: null, bury: null, release: null, requeue: "received", discard: "discarded" },
  held:       { claim: "processing", load: null, retry: null, hold: null, bury: null, release: null, requeue: null, discard: "discarded" },
  dead:       { claim: null, load: null, retry: null, hold: null, bury: null, release: null, requeue: "received", discard: "discarded" },
  loaded:     { claim: null, load: null, retry: null, hold: null, bury: null, release: null, requeue: null, discard: null },
  discarded:  { claim: null, load: null, retry: null, hold: null, bury: null, release: null, requeue: null, discard: null },
} as const satisfies Record<StateKind, Record<Verb, StateKind | null>>;

export const STATE_KINDS = Object.keys(LIFE) as StateKind[];
export const FINAL_STATES = STATE_KINDS.filter((state) => VERBS.every((verb) => LIFE[state][verb] === null));

/** The state after the move, or null when the move is refused. */
export const moved = (state: StateKind, verb: Verb): StateKind | null => LIFE[state][verb];

/** One line for people: what the state means for this message. */
export function headline(state: MessageState): string {
  switch (state.kind) {
    case "received":
      return "stored at the hub; waits for its turn";
    case "processing":
      return `being loaded by ${state.by}`;
    case "retrying":
      return `refused ${state.attempts} time(s) with ${state.fault}; is tried again by itself`;
    case "held":
      return `waits behind ${state.behindLane}/${state.behind} on ${state.on}`;
    case "dead":
      return `refused for good with ${state.fault}; waits for a person`;
    case "loaded":
      return "in the central database";
    case "discarded":
      return `given up by ${state.by}: ${state.reason}`;
    default:
      return unreachable(state);
  }
}
