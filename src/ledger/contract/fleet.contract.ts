import { describe, expect, test } from "vitest";
import { later } from "../../base/clock.ts";
import { actor, epoch, terminalId, type TerminalId } from "../../base/ids.ts";
import { AWAY_MS, SLOT_MS, type FleetFilter } from "../fleet.ts";
import type { Ledger } from "../port.ts";
import type { OpenSubject } from "./subject.ts";
import { behind, drain, send, Till } from "./till.ts";

const ADMIN = actor("operator:anna");

async function enrolled(
  ledger: Ledger,
  name: string,
  n: number,
  tags: Record<string, string> = {},
): Promise<TerminalId> {
  const [id, hash] = [terminalId(name), new Uint8Array(32).fill(n)];
  await ledger.terminals.createToken(hash, { terminal: id, tags, validMs: 60_000, by: ADMIN });
  const { enrolledAt } = await ledger.terminals.enroll(hash, id, tags, hash);
  await ledger.terminals.seen([{ terminal: id, at: enrolledAt, skewMs: 0, version: "1", deliveredThrough: null }]);
  return id;
}

export function fleetContract(adapter: string, open: OpenSubject): void {
  describe(`fleet contract: ${adapter}`, () => {
    test("a terminal's line adds up its lanes and names the current one", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const old = new Till("t1", "E1").write(3);
      await enrolled(ledger, "t1", 1, { store: "014" });
      expect(await ledger.fleet.page({}, 10, null)).toMatchObject([
        { terminal: "t1", lane: null, received: 0, tags: { store: "014" }, health: "well" },
      ]);
      await send(ledger, old.messages(1, 3));
      await drain(ledger, (n) => (n === 3 ? { state: "dead" } : null));
      const { epoch: next } = await ledger.lanes.openEpoch(old.terminal, epoch("E1"), "install-1", "restored");
      const newer = new Till("t1", next).write(2);
      await send(ledger, newer.messages(1, 2));
      expect(await ledger.fleet.page({}, 10, null)).toMatchObject([
        { terminal: "t1", lane: newer.lane, received: 5, loaded: 3, waiting: 2, dead: 1, retrying: 0, held: 0 },
      ]);
      expect(await ledger.fleet.page({}, 10, old.terminal)).toEqual([]);
      expect([await ledger.fleet.of(old.terminal)]).toEqual(await ledger.fleet.page({}, 10, null));
      expect(await ledger.fleet.of(terminalId("t"))).toBeNull();
    });

    test("they are found by text, by tags and by health, together and page by page", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const [a, b, c, d, e] = ["a-1", "a-2", "b-1", "b-2", "B-3"] as const;
      await enrolled(ledger, a, 1, { store: "014", region: "North" });
      await enrolled(ledger, b, 2, { store: "015", region: "North" });
      await enrolled(ledger, c, 3, { store: "014" });
      await enrolled(ledger, d, 4);
      await enrolled(ledger, e, 5);
      await send(ledger, new Till(b).write(1).messages(1, 1));
      await drain(ledger, () => ({ state: "dead" }));
      const two = new Till(c).write(2);
      await send(ledger, two.messages(1, 2));
      await drain(ledger, (n) =>
        n === 1
          ? { state: "retrying", retryInMs: 60_000 }
          : { state: "held", fault: null, behind: behind(two.lane, 1) },
      );
      await ledger.terminals.revoke(terminalId(d), ADMIN);
      const found = async (filter: FleetFilter, limit = 9, after: string | null = null) =>
        (await ledger.fleet.page(filter, limit, after === null ? null : terminalId(after))).map(
          ({ terminal }) => terminal,
        );
      expect(await found({ text: "A-" })).toEqual([a, b]);
      expect(await found({ text: "b-" })).toEqual([e, c, d].toSorted());
      expect(await found({ text: "north" })).toEqual([a, b]); // a tag's value
      expect(await found({ text: "region" })).toEqual([]); // not its name
      expect(await found({ text: "014", tags: { region: "North" } })).toEqual([a]);
      expect(await found({ tags: { store: "014" } })).toEqual([a, c]);
      expect(await found({ tags: { store: "01" } })).toEqual([]);
      expect(await found({ tags: { 'odd"name': "014" } })).toEqual([]);
      expect(await found({ health: "trouble" })).toEqual([b]);
      expect(await found({ health: "waiting" })).toEqual([c]);
      expect(await found({ health: "revoked" })).toEqual([d]);
      expect(await found({ health: "well", text: "a" })).toEqual([a]);
      expect(await found({ tags: { store: "014" } }, 1)).toEqual([a]);
      expect(await found({ tags: { store: "014" } }, 1, a)).toEqual([c]);
      const summary = await ledger.fleet.summary();
      expect(summary).toMatchObject({ trouble: 1, away: 0, waiting: 1, well: 2, revoked: 1 });
      expect(summary.first.map(({ terminal, health }) => [terminal, health])).toEqual([
        [b, "trouble"],
        [c, "waiting"],
      ]);
      await subject.advance(AWAY_MS + 1);
      const at = later((await ledger.terminals.get(terminalId(a)))!.enrolledAt, AWAY_MS + 1);
      await ledger.terminals.seen([{ terminal: terminalId(a), at, skewMs: 0, version: "1", deliveredThrough: null }]);
      // A dead letter weighs more than silence, and silence more than waiting.
      expect(await ledger.fleet.summary()).toMatchObject({ trouble: 1, away: 2, waiting: 0, well: 1, revoked: 1 });
      expect(await found({ health: "away" })).toEqual([e, c].toSorted());
    });

    test("a terminal's day tells what came and what was loaded, by the time at which it did", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const till = new Till("t1").write(9);
      await enrolled(ledger, "t1", 1);
      await send(ledger, till.messages(1, 2)); // a day and more ago: not told
      await drain(ledger, () => null);
      await subject.advance(25 * 3_600_000);
      await send(ledger, till.messages(3, 6));
      await subject.advance(SLOT_MS);
      await drain(ledger, (n) => (n === 6 ? { state: "dead" } : null));
      await send(ledger, new Till("t2").write(5).messages(1, 5)); // another's
      const [first, second, ...more] = await ledger.fleet.day(terminalId("t1"));
      expect(more).toEqual([]);
      expect([first, second]).toMatchObject([
        { received: 4, loaded: 0 },
        { received: 0, loaded: 3 },
      ]);
      expect(second!.at - first!.at).toBe(SLOT_MS);
      expect(first!.at % SLOT_MS).toBe(0);
    });
  });
}
