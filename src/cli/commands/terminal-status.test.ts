import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { instantOf, later, type Instant } from "../../base/clock.ts";
import type { LoopStatus } from "../../terminal/loop.ts";
import type { TerminalStatus } from "../../terminal/state.ts";
import { statusText, verdict } from "./terminal-status.ts";

const NOW = instantOf("2026-11-26T21:00:00Z") as Instant;
const running: LoopStatus = {
  state: "running",
  since: "2026-11-26T08:00:00Z",
  failures: 0,
  lastError: null,
  nextTryAt: null,
};
const failing = (state: "failing" | "blocked"): LoopStatus => ({
  ...running,
  state,
  failures: 4,
  lastError: { code: "HUB_UNREACHABLE", what: "no answer", hint: "Ask somebody.", at: "2026-11-26T20:59:00Z" },
});

type Given = {
  readonly up?: Partial<TerminalStatus["up"]>;
  readonly down?: Partial<TerminalStatus["down"]>;
  readonly submit?: LoopStatus;
};
const status = ({ up, down, submit = running }: Given = {}): TerminalStatus => ({
  terminal: "till-7",
  hub: "https://hub.example",
  version: "0.1.0",
  pid: 1,
  startedAt: "2026-11-26T08:00:00Z",
  writtenAt: "2026-11-26T20:59:50Z",
  loops: { hub: running, capture: running, submit, receive: running, answer: running },
  up: {
    epoch: null,
    packedThrough: 42 as never,
    receivedThrough: 42 as never,
    loadedThrough: 42 as never,
    outboxRows: 0,
    oldestAt: null,
    resyncing: [],
    tables: ["sale"],
    open: { retrying: 0, held: 0, dead: 0 },
    ...up,
  },
  down: { tables: [], appliedThrough: 7, inside: 0, stale: 0, staleRows: [], ...down },
  longestLockMs: 3,
});
const said = (given: Given, now = NOW): string => stripVTControlCharacters(verdict(status(given), now).join(" "));

test("when all is loaded a shop hears so, and nothing else", () => {
  expect(said({})).toBe("Everything sold here until now is in the central database.");
});

test("stored and loaded are told apart", () => {
  expect(said({ up: { loadedThrough: 40 as never } })).toBe(
    "2 messages are stored at the hub and not loaded yet. Everything sold here until now is stored at the hub, durably.",
  );
});

test("what was refused is never counted as arrived, though the watermark passed it", () => {
  const open = { dead: 1, held: 2, retrying: 0 };
  expect(said({ up: { open } })).toBe(
    "1 message was refused by the central database: head office sees them and decides. Nothing is lost. " +
      "2 messages wait at the hub for that, or are tried again by itself. Everything sold here until now is stored at the hub, durably.",
  );
  expect(stripVTControlCharacters(statusText(status({ up: { open } }), NOW))).toMatch(
    /in the central database {2}through message 42, but for 2 held, 1 dead|through message 42, but for 1 dead, 2 held/,
  );
});

test("what has not left the machine is told with its age and the reason", () => {
  const up = { receivedThrough: 30 as never, loadedThrough: 30 as never, oldestAt: "2026-11-26T20:46:00Z" };
  expect(said({ up, submit: failing("failing") })).toBe(
    "Not all has left this machine yet, the oldest for 14 min. Sending fails: HUB_UNREACHABLE: no answer. It is tried again by itself.",
  );
  expect(said({ up, submit: failing("blocked") })).toMatch(/The hub refuses it: .* Ask somebody\.$/);
  expect(said({ up: { outboxRows: 3 } })).toBe("Not all has left this machine yet.");
});

test("an agent that is gone is the first thing to be said; one that is new has seen nothing", () => {
  expect(said({}, later(NOW, 3_600_000))).toMatch(/^The agent is not running: it last said something 60 min ago\./);
  expect(said({}, later(NOW, 3_600_000))).not.toMatch(/Everything/);
  const none = { packedThrough: 0 as never, receivedThrough: 0 as never, loadedThrough: 0 as never };
  expect(said({ up: none })).toBe("Nothing was sold here yet, as far as the agent has seen.");
});

test("rows of updates that this database refused are named with the reason", () => {
  const staleRows = [
    { id: 1, table: "price", code: "CHECK_VIOLATED", detail: "price item=A: below zero", reported: true },
  ];
  const text = stripVTControlCharacters(statusText(status({ down: { stale: 3, staleRows } }), NOW));
  expect(text).toMatch(
    /3 rows here are not what the centre says.*\n.*price {2}CHECK_VIOLATED {2}price item=A: below zero\n {2}and 2 more/,
  );
});
