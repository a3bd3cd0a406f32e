import { expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { actor, epoch, laneName, seq, terminalId } from "../../base/ids.ts";
import { waitsOf, waitText, type Standstill } from "./waits.ts";

const LANE = laneName(terminalId("t1"), epoch("main"));
const AT = instant(Date.parse("2026-11-23T12:00:00Z"));
const CALM: Standstill = { pauses: [], breaker: { kind: "closed" } };
const row = { fault: null, attempts: 0, dueAt: null, behind: null, route: null };
const texts = (...given: Parameters<typeof waitsOf>): string[] => waitsOf(...given).map(waitText);
const pause = (kind: "everything" | "terminal" | "lane" | "route", name: string) =>
  ({ kind, name, since: AT, by: actor("operator:anna"), reason: "new index", fault: null, probeAt: null }) as const;

test("each reason is data and is told in plain words", () => {
  const behind = { lane: LANE, seq: seq(41), on: "sale S-9" };
  expect(texts(LANE, "held", { ...row, behind }, CALM)).toEqual(["held behind t1/main/41 on sale S-9"]);
  expect(texts(LANE, "retrying", { ...row, fault: "PARENT_MISSING", attempts: 2, dueAt: AT }, CALM)).toEqual([
    "retrying until 2026-11-23T12:00:00.000Z, tried 2 time(s): PARENT_MISSING",
  ]);
  const open = { kind: "open", since: AT, failures: 3, retryAt: AT, fault: "CENTRAL_UNAVAILABLE" } as const;
  expect(texts(LANE, "received", null, { ...CALM, breaker: open })).toEqual([
    "breaker open since 2026-11-23T12:00:00.000Z: the central database gives CENTRAL_UNAVAILABLE",
  ]);
  expect(texts(LANE, "dead", { ...row, fault: "NULL_REFUSED" }, CALM)).toEqual([
    "waits for a person, to requeue or to discard it: NULL_REFUSED",
  ]);
});

test("a pause is a reason for what it stops, and for nothing else", () => {
  const pauses = [
    pause("everything", ""),
    pause("terminal", "t1"),
    pause("terminal", "t2"),
    pause("lane", "t1/old"),
    pause("route", "sale"),
  ];
  const scopes = (state: "received" | "held" | "loaded", route: string | null): string[] =>
    waitsOf(LANE, state, { ...row, route }, { ...CALM, pauses }).map((wait) =>
      wait.kind === "paused" ? wait.scope.kind : "?",
    );
  expect(scopes("received", null)).toEqual(["everything", "terminal"]);
  expect(scopes("held", "sale")).toEqual(["everything", "terminal", "route"]);
  expect(scopes("loaded", null)).toEqual([]);
  expect(texts(LANE, "held", { ...row, route: "sale" }, { ...CALM, pauses: [pause("route", "sale")] })).toEqual([
    "route sale paused by operator:anna since 2026-11-23T12:00:00.000Z: new index",
  ]);
});
