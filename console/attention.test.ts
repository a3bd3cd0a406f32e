import { describe, expect, test } from "vitest";
import type { Picture } from "./api.ts";
import { sentencesOf } from "./attention.ts";

const AT = 1_000_000_000;
type Given = {
  readonly overview?: object;
  readonly fleet?: object;
  readonly parts?: Picture["health"]["parts"];
  readonly unseen?: number;
};
const told = ({ overview = {}, fleet = {}, parts = {}, unseen = 0 }: Given): readonly string[] =>
  sentencesOf({
    at: AT,
    overview: { dead: 0, held: 0, retrying: 0, oldestReceivedAt: null, ...overview },
    fleet: { trouble: 0, away: 0, waiting: 0, well: 3, ...fleet },
    health: { ready: true, parts },
    alerts: { open: unseen, unseen },
  } as unknown as Picture).map(({ tone, text }) => `${tone}: ${text}`);

describe("what needs attention", () => {
  test("is nothing when all is well", () => {
    expect(told({})).toEqual([]);
  });
  test("names dead letters with what waits behind them, and how to go on", () => {
    expect(told({ overview: { dead: 2, held: 1 } })).toEqual([
      "bad: 2 messages were refused for good; 1 message waits behind",
    ]);
  });
  test("is never nothing beside a terminal that is not well, whichever of the two looks is the older", () => {
    for (const health of ["trouble", "away", "waiting"])
      expect(told({ fleet: { [health]: 1 } }), health).toHaveLength(1);
    for (const state of ["dead", "held", "retrying"]) expect(told({ overview: { [state]: 1 } }), state).toHaveLength(1);
  });
  test("says a thing once: messages that wait stand for the terminals that sent them", () => {
    expect(told({ overview: { held: 1, retrying: 1 }, fleet: { waiting: 2 } })).toHaveLength(2);
    expect(told({ overview: { dead: 1 }, fleet: { trouble: 1 } })).toHaveLength(1);
  });
  test("names alerts as long as nobody has said to have seen them", () => {
    expect(told({ unseen: 1 })).toEqual(["warn: 1 alert is open that nobody has said to have seen"]);
  });
  test("tells of parts of the hub in their own words, the worst first", () => {
    const parts = {
      ledger: { state: "ok", why: null },
      centre: { state: "degraded", why: "the centre does not answer" },
      disk: { state: "down", why: null },
    } as const;
    expect(told({ parts, overview: { oldestReceivedAt: AT - 61_000 } })).toEqual([
      "bad: disk is down",
      "warn: the centre does not answer",
      "warn: What came 1 min 1 s ago is not loaded yet",
    ]);
  });
});
