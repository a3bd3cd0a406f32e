import { expect, test } from "vitest";
import { epoch, laneName, seq, terminalId, updateId } from "../../base/ids.ts";
import { systemRuntime } from "../../base/runtime.ts";
import type { Row } from "../../message/change.ts";
import { PLAN } from "./plan.test-kit.ts";
import { settle, type SettleParts } from "./settle.ts";

const T1 = terminalId("t1");
const KEY: Row = { id: "S-1" };
/** A terminal and a centre with one row, seen through what settling asks: each look moves the world on by `then`. */
class Sides {
  terminal: Row | null = { id: "S-1", total: "2" };
  centre: Row | null = null;
  loadedThrough = 4;
  forwarded = 7;
  looks = 0;
  /** Called each time the hub looks whether what is under way has arrived. */
  waited: () => void = () => undefined;

  parts(): SettleParts {
    const source = laneName(terminalId("central"), epoch("e1"));
    return {
      line: {
        ask: async () => {
          this.looks++;
          return { rows: [this.terminal], epoch: "e1", packedThrough: 5, applied: "9" };
        },
      } as unknown as SettleParts["line"],
      central: {
        rowsFor: async () => [this.centre],
        packed: async () => ({ source, through: seq(7) }),
      },
      ledger: {
        lanes: {
          of: async () => {
            this.waited();
            return [{ epoch: "e1", current: true, loadedThrough: this.loadedThrough, receivedThrough: 5 }];
          },
        },
        updates: { forwarded: async () => this.forwarded, head: async () => updateId(9) },
      } as unknown as SettleParts["ledger"],
      terminal: { id: T1, tags: {} },
      runtime: { clock: systemRuntime.clock, timers: { ...systemRuntime.timers, sleep: async () => undefined } },
      alive: async () => undefined,
      patienceMs: 60_000,
      stop: new AbortController().signal,
    };
  }
}

test("a row whose message is still to be loaded is no difference, though it stands still meanwhile", async () => {
  const sides = new Sides();
  let turns = 0;
  sides.waited = () => {
    if (++turns < 3) return;
    [sides.loadedThrough, sides.centre] = [5, { id: "S-1", total: "2.00" }];
  };
  expect(await settle(sides.parts(), PLAN, [KEY])).toEqual({ differences: [], underWay: 1, unsettled: 0 });
});

test("a row that is not the same when all has arrived, and moved on neither side, is a difference", async () => {
  const sides = new Sides();
  sides.loadedThrough = 5;
  const { differences } = await settle(sides.parts(), PLAN, [KEY]);
  expect(differences).toMatchObject([{ key: KEY, kind: "missing at centre" }]);
  sides.centre = { id: "S-1", total: "3" };
  const changed = await settle(sides.parts(), PLAN, [KEY]);
  expect(changed.differences).toMatchObject([{ kind: "different", columns: ["total"] }]);
});

test("of a row that changes at each look nothing is said", async () => {
  const sides = new Sides();
  sides.loadedThrough = 5;
  sides.waited = () => {
    sides.terminal = { id: "S-1", total: `${sides.looks + 10}` };
  };
  expect(await settle(sides.parts(), PLAN, [KEY])).toEqual({ differences: [], underWay: 0, unsettled: 1 });
});
