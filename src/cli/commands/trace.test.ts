import { expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { actor, seq } from "../../base/ids.ts";
import type { Event } from "../../ledger/trail.ts";
import { eventText } from "./trace.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const discarded: Event = {
  id: 1,
  at: instant(0),
  lane: null,
  from: seq(2),
  through: seq(2),
  kind: "discard ordered",
  actor: actor("operator:anna"),
  detail: "a test sale",
  trace: null,
  requestTrace: TRACE,
};

test("a stamp says by which request somebody acted: its trace, or where that is to be looked at", () => {
  expect(eventText(discarded, null)).toMatch(new RegExp(`operator:anna .*a test sale  request ${TRACE}`));
  expect(eventText(discarded, "https://traces.example/{trace}")).toContain(`request https://traces.example/${TRACE}`);
  expect(eventText({ ...discarded, requestTrace: null }, null)).not.toContain("request");
});
