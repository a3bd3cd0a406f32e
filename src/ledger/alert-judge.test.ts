import { expect, test } from "vitest";
import { instant, later, type Instant } from "../base/clock.ts";
import { judgeAlerts, MANY, type AlertMove, type OpenAlert } from "./alert-judge.ts";
import type { AlertPolicy, Trouble } from "./alerts.ts";

const POLICY: AlertPolicy = { settleMs: 60_000, againMs: 3_600_000, each: 3, channels: [], lostMs: 1 };
const START = instant(1_000_000_000_000);
const trouble = (subject: string, count: number | null = null): Trouble => ({
  rule: "terminal-silent",
  subject,
  what: `${subject} is silent`,
  count,
  facts: {},
});

/** Open alerts as a ledger would keep them, and what people were told. */
class World {
  readonly told: string[] = [];
  open: OpenAlert[] = [];
  now: Instant = START;
  #ids = 0;

  find(found: readonly Trouble[], afterMs = 15_000, looked = ["terminal-silent"]): readonly AlertMove[] {
    this.now = later(this.now, afterMs);
    const moves = judgeAlerts(this.open, new Set(looked), found, POLICY, this.now);
    for (const move of moves) this.#apply(move);
    return moves;
  }

  #apply(move: AlertMove): void {
    if (move.do === "raise") {
      const { trouble: raised } = move;
      this.told.push(`raised ${raised.subject}`);
      const id = `a${++this.#ids}`;
      const state = { absentSince: null, toldCount: raised.count, toldAt: this.now, isSeen: false };
      this.open.push({ ...raised, id, raisedAt: this.now, ...state });
      return;
    }
    const alert = this.open.find(({ id }) => id === move.id);
    if (!alert) throw new Error(`no alert ${move.id}`);
    if (move.do === "clear") {
      this.told.push(`cleared ${alert.subject}`);
      this.open = this.open.filter((each) => each !== alert);
      return;
    }
    if (move.tell) this.told.push(`${move.tell} ${alert.subject} ${move.trouble.count}`);
    const { what, count, facts } = move.trouble;
    const toldAt = move.tell ? this.now : alert.toldAt;
    Object.assign(alert, { what, count, facts, absentSince: move.absentSince, toldCount: move.toldCount, toldAt });
  }
}

test("a trouble is told once while it lasts, and once when it was gone for as long as it takes to settle", () => {
  const world = new World();
  for (let n = 0; n < 5; n++) world.find([trouble("t1")]);
  world.find([]);
  expect(world.told).toEqual(["raised t1"]);
  world.find([], 60_000);
  world.find([]);
  expect(world.told).toEqual(["raised t1", "cleared t1"]);
});

test("one that comes and goes faster than that is one trouble", () => {
  const world = new World();
  for (let n = 0; n < 20; n++) world.find(n % 2 === 0 ? [trouble("t1")] : []);
  expect(world.told).toEqual(["raised t1"]);
});

test("nothing is changed by a look that finds the same", () => {
  const world = new World();
  world.find([trouble("t1", 3)]);
  expect(world.find([trouble("t1", 3)])).toEqual([]);
});

test("a rule that could not be looked at leaves its alerts as they are", () => {
  const world = new World();
  world.find([trouble("t1")]);
  expect(world.find([], 3_600_000, [])).toEqual([]);
});

test("what is beyond the first few is told together, once, whatever the order in which they come back", () => {
  const world = new World();
  const all = Array.from({ length: 300 }, (_, n) => trouble(`t${n + 1}`));
  world.find(all.slice(0, 2));
  world.find(all);
  expect(world.told).toEqual(["raised t1", "raised t2", "raised t3", `raised ${MANY}`]);
  expect(world.open.find(({ subject }) => subject === MANY)).toMatchObject({ count: 297 });
  // The three come back first: the others do not take their places.
  world.find(all.slice(3));
  world.find(all.slice(3), 60_000);
  expect(world.told.slice(4)).toEqual(["cleared t1", "cleared t2", "cleared t3"]);
  for (let n = 4; n < 300; n++) world.find(all.slice(n));
  world.find([], 60_000);
  world.find([], 60_000);
  expect(world.told.slice(7)).toEqual([`cleared ${MANY}`]);
});

test("a list that was cut says nothing of who is missing from it", () => {
  const world = new World();
  world.find([trouble("t1")]);
  const cut: Trouble = { ...trouble(MANY, 500), what: "" };
  world.find([trouble("t2"), cut], 600_000);
  world.find([trouble("t2"), cut], 600_000);
  expect(world.told).toEqual(["raised t1", "raised t2", `raised ${MANY}`]);
  expect(world.open.find(({ subject }) => subject === MANY)?.count).toBe(500);
});

test("one that grew is told again after a while, and what was mended does not hide what is new", () => {
  const world = new World();
  world.find([trouble("t1", 5)]);
  world.find([trouble("t1", 9)]);
  expect(world.told).toEqual(["raised t1"]);
  world.find([trouble("t1", 9)], 3_600_000);
  expect(world.told).toEqual(["raised t1", "grown t1 9"]);
  world.find([trouble("t1", 2)]);
  world.find([trouble("t1", 3)], 3_600_000);
  expect(world.told).toEqual(["raised t1", "grown t1 9", "grown t1 3"]);
});

test("one that a person has seen grows in silence", () => {
  const world = new World();
  world.find([trouble("t1", 5)]);
  world.open = world.open.map((alert) => ({ ...alert, isSeen: true }));
  world.find([trouble("t1", 900)], 3_600_000);
  expect(world.told).toEqual(["raised t1"]);
});

test("two processes that report the same trouble are one alert", () => {
  const world = new World();
  world.find([trouble("central"), trouble("central")]);
  expect(world.told).toEqual(["raised central"]);
});
