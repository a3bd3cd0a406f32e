import { expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { terminalId, updateId, type TerminalId } from "../base/ids.ts";
import type { TerminalLine, Trail } from "../ledger/port.ts";
import { findTerminals, healthOf, summarise } from "./fleet.ts";

const NOW = instant(1_000_000);
const line = (terminal: string, more: Partial<TerminalLine> = {}): TerminalLine => ({
  terminal: terminalId(terminal),
  lane: null,
  received: 0,
  loaded: 0,
  waiting: 0,
  retrying: 0,
  held: 0,
  dead: 0,
  lagMs: null,
  lastSeenAt: NOW,
  appliedThrough: updateId(0),
  ...more,
});
/** As a ledger answers: in order of names, after the one given. */
const trailOf = (lines: readonly TerminalLine[]): Pick<Trail, "byTerminal"> => ({
  byTerminal: async (limit, after, name = "") =>
    lines.filter(({ terminal }) => (after === null || terminal > after) && terminal.includes(name)).slice(0, limit),
});
const many = Array.from({ length: 2_500 }, (_, i) =>
  line(`t-${String(i).padStart(5, "0")}`, { dead: i === 2_400 ? 1 : 0, lagMs: i }),
);

test("a dead letter weighs more than silence, and silence more than waiting", () => {
  expect(healthOf(line("a", { dead: 1, lastSeenAt: null }), NOW)).toBe("trouble");
  expect(healthOf(line("a", { held: 1, lastSeenAt: instant(NOW - 120_001) }), NOW)).toBe("away");
  expect(healthOf(line("a", { held: 1 }), NOW)).toBe("waiting");
  expect(healthOf(line("a"), NOW)).toBe("well");
});
test("a filter looks beyond the first page of the ledger", async () => {
  const found = await findTerminals(trailOf(many), NOW, { text: "", health: "trouble" }, 10, null);
  expect(found).toMatchObject({ terminals: [{ terminal: "t-02400" }], next: null });
});
test("pages follow each other without gap or repeat", async () => {
  const names: string[] = [];
  let after: TerminalId | null = null;
  do {
    const page = await findTerminals(trailOf(many), NOW, { text: "t-", health: null }, 300, after);
    names.push(...page.terminals.map(({ terminal }) => terminal));
    after = page.next;
  } while (after !== null);
  expect(names).toEqual(many.map(({ terminal }) => terminal));
});
test("the summary counts everybody and names the worst", async () => {
  const summary = await summarise(trailOf(many), NOW);
  expect(summary).toMatchObject({ trouble: 1, away: 0, waiting: 0, well: 2_499, lag: { slowestMs: 2_499 } });
  expect(summary.first.map(({ terminal }) => terminal)).toEqual(["t-02400"]);
});
