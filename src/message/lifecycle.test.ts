import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { actor, epoch, laneName, seq, terminalId, workerId } from "../base/ids.ts";
import {
  FINAL_STATES,
  LIFE,
  STATE_KINDS,
  VERBS,
  headline,
  moved,
  type MessageState,
  type StateKind,
  type Verb,
} from "./lifecycle.ts";

describe("the table of moves", () => {
  test("only `loaded` and `discarded` are final (I7)", () => {
    expect(FINAL_STATES.toSorted()).toEqual(["discarded", "loaded"]);
  });
  test("every state can be reached from `received`, and from each one a final state can be reached", () => {
    expect(reachable("received")).toEqual(new Set(STATE_KINDS));
    for (const state of STATE_KINDS) {
      expect(
        [...reachable(state)].some((end) => FINAL_STATES.includes(end)),
        state,
      ).toBe(true);
    }
  });
  test("a message is loaded only by a claim: out of `processing`, by the verb `load`", () => {
    const into = (end: StateKind): string[] =>
      STATE_KINDS.flatMap((state) =>
        VERBS.filter((verb) => LIFE[state][verb] === end).map((verb) => `${state}/${verb}`),
      );
    expect(into("loaded")).toEqual(["processing/load"]);
    expect(into("processing").toSorted()).toEqual(["held/claim", "received/claim", "retrying/claim"]);
    expect(into("discarded").toSorted()).toEqual(["dead/discard", "held/discard", "retrying/discard"]);
  });
  test("a verb leads to one state from wherever it is allowed", () => {
    for (const verb of VERBS) {
      expect(new Set(STATE_KINDS.map((state) => LIFE[state][verb]).filter((next) => next !== null)).size, verb).toBe(1);
    }
  });
  test("after any sequence of verbs, a message that was final stays as it was", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom<Verb>(...VERBS)), (verbs) => {
        let state: StateKind = "received";
        for (const verb of verbs) {
          const next = moved(state, verb);
          if (FINAL_STATES.includes(state)) expect(next).toBeNull();
          state = next ?? state;
        }
        expect(STATE_KINDS).toContain(state);
      }),
    );
  });
});

describe("a state's headline", () => {
  const t1 = laneName(terminalId("t1"), epoch("01JD"));
  const states: { readonly [K in StateKind]: Extract<MessageState, { kind: K }> } = {
    received: { kind: "received" },
    processing: { kind: "processing", by: workerId("hub-7"), leaseUntil: instant(0) },
    retrying: { kind: "retrying", dueAt: instant(0), attempts: 2, fault: "PARENT_MISSING" },
    held: { kind: "held", behind: seq(41), behindLane: t1, on: "sale S-9" },
    dead: { kind: "dead", fault: "NOT_OWNER" },
    loaded: { kind: "loaded" },
    discarded: { kind: "discarded", by: actor("operator:anna"), reason: "rung up twice" },
  };
  test("is of its own for each state, and names what the state knows", () => {
    expect(new Set(STATE_KINDS.map((kind) => headline(states[kind]))).size).toBe(STATE_KINDS.length);
    expect(headline(states.held)).toBe("waits behind t1/01JD/41 on sale S-9");
    expect(headline(states.retrying)).toContain("PARENT_MISSING");
    expect(headline(states.discarded)).toContain("operator:anna");
  });
});

function reachable(from: StateKind, seen = new Set<StateKind>([from])): Set<StateKind> {
  for (const verb of VERBS) {
    const next = moved(from, verb);
    if (next && !seen.has(next)) reachable(next, seen.add(next));
  }
  return seen;
}
