import { describe, expect, test } from "vitest";
import { actor, seq } from "../../base/ids.ts";
import type { Bulk, BulkItem } from "../exceptions.ts";
import type { Ledger } from "../port.ts";
import type { EventFilter } from "../trail.ts";
import type { OpenSubject, Subject } from "./subject.ts";
import { behind, claimOne, drain, loaded, passedOver, send, Till } from "./till.ts";

const ANNA = actor("operator:anna");
const BEN = actor("operator:ben");
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Two tills of two stores with six messages each: 1 and 4 dead, 2 held behind 1, 3 behind 2. */
async function twoTills({ ledger }: Subject): Promise<readonly [Till, Till]> {
  const tills = [new Till("a"), new Till("b")] as const;
  for (const till of tills) {
    till.write(3, { search: ["4711"] }).write(3);
    await send(ledger, till.messages(1, 6));
    await drain(ledger, (n) => {
      if (n === 1) return { state: "dead", fault: "NULL_REFUSED", tables: ["sale"] };
      if (n === 4) return { state: "dead", fault: "CHECK_VIOLATED", tables: ["stock"] };
      return n === 2 || n === 3 ? { state: "held", fault: null, behind: behind(till.lane, n - 1) } : null;
    });
  }
  return tills;
}
const finish = async (ledger: Ledger, stepsOf = 100): Promise<void> => {
  while (await ledger.bulks.step(stepsOf));
};
const told = (items: readonly BulkItem[]) => items.map((item) => `${item.lane}/${item.seq} ${item.outcome}`);

export function deskContract(adapter: string, open: OpenSubject): void {
  describe(`desk contract: ${adapter}`, () => {
    test("exceptions are found by business key and by time, and grouped by what happened", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const [a] = await twoTills(subject);
      const list = async (filter: Parameters<typeof ledger.exceptions.list>[0]) =>
        (await ledger.exceptions.list(filter, 99, null)).rows.map((row) => `${row.lane}/${row.seq}`);
      expect(await list({ key: "4711", states: ["dead"] })).toEqual(["a/E1/1", "b/E1/1"]);
      expect(await list({ key: "4712" })).toEqual([]);
      const { since } = (await ledger.exceptions.get(a.lane, seq(1)))!;
      expect(await list({ since, states: ["dead"] })).toHaveLength(4);
      expect(await list({ until: since })).toEqual([]);
      const groups = await ledger.exceptions.groups({ states: ["dead"] }, 10);
      expect(groups.map(({ fault, tables, messages, terminals }) => ({ fault, tables, messages, terminals }))).toEqual(
        expect.arrayContaining([
          { fault: "NULL_REFUSED", tables: ["sale"], messages: 2, terminals: 2 },
          { fault: "CHECK_VIOLATED", tables: ["stock"], messages: 2, terminals: 2 },
        ]),
      );
    });

    test("what waits behind a message is told: how many, what for, since when", async () => {
      await using subject = await open();
      const [a] = await twoTills(subject);
      const waiting = await subject.ledger.exceptions.waiting(a.lane, seq(1));
      expect(waiting).toMatchObject({ messages: 2, terminals: 1, keys: [{ on: "sale S-1", messages: 2 }] });
      expect(waiting.since).not.toBeNull();
      expect(await subject.ledger.exceptions.waiting(a.lane, seq(4))).toMatchObject({ messages: 0, since: null });
    });

    test("edits are kept side by side with who and why; an edit of another edit than the last is refused", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const [a] = await twoTills(subject);
      await ledger.exceptions.requeue(a.lane, seq(1), ANNA, "typo", bytes("first"), null);
      const claim = await claimOne(ledger);
      await ledger.work.settle([loaded(claim, { closed: [], exceptions: [passedOver(1)] })]);
      const late = ledger.exceptions.requeue(a.lane, seq(1), BEN, "typo", bytes("other"), null);
      await expect(late).rejects.toMatchObject({ code: "STATE_CONFLICT", facts: { revision: 1 } });
      await ledger.exceptions.requeue(a.lane, seq(1), BEN, "another typo", bytes("second"), 1);
      const edits = await ledger.exceptions.revisions(a.lane, seq(1));
      expect(edits.map(({ n, by, reason, line }) => [n, by, reason, Buffer.from(line).toString()])).toEqual([
        [1, ANNA, "typo", "first"],
        [2, BEN, "another typo", "second"],
      ]);
      expect(await ledger.exceptions.get(a.lane, seq(1))).toMatchObject({ revision: 2 });
    });

    test("a bulk act works off the list that was previewed, with its impact, and leaves alone what has moved on", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const [a, b] = await twoTills(subject);
      const bulk = await ledger.bulks.preview("requeue", { fault: "NULL_REFUSED" }, ANNA);
      expect(bulk).toMatchObject({ state: "previewed", messages: 2, terminals: 2, beyond: 0 });
      expect(bulk.waiting).toMatchObject({ messages: 4, terminals: 2 });
      await ledger.exceptions.requeue(b.lane, seq(1), BEN, "mine", null);
      // Dead of the same fault, but later than the preview: not on the list.
      await send(ledger, new Till("c").write(1).messages(1, 1));
      await drain(ledger, () => ({ state: "dead", fault: "NULL_REFUSED", tables: ["sale"] }));
      await expect(ledger.bulks.step(10)).resolves.toBe(false);
      await ledger.bulks.start(bulk.id, BEN, "column made nullable");
      await finish(ledger, 1);
      expect(told(await ledger.bulks.items(bulk.id, 10, 0))).toEqual(["a/E1/1 ordered", "b/E1/1 skipped"]);
      expect((await ledger.bulks.items(bulk.id, 10, 0))[1]).toMatchObject({
        why: "it was dead when this was previewed, and is loaded now",
        now: "loaded",
      });
      expect(await ledger.bulks.get(bulk.id)).toMatchObject({ state: "done", by: BEN, ordered: 1, skipped: 1 });
      const last = (await ledger.trail.of(a.lane, seq(1))).at(-1);
      expect(last).toMatchObject({
        kind: "requeued",
        actor: BEN,
        detail: `column made nullable (bulk ${bulk.id})`,
      });
      expect((await ledger.exceptions.get(new Till("c").lane, seq(1)))?.state).toBe("dead");
    });

    test("an act by a request has its trace in its events, a bulk act in those of each of its messages, and what keeps a name keeps the name", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const [a, b] = await twoTills(subject);
      const by = (digit: string) => ({ actor: ANNA, requestTrace: digit.repeat(32) });
      await ledger.exceptions.requeue(a.lane, seq(1), by("1"), "again", bytes("edited"), null);
      await ledger.exceptions.discard(a.lane, seq(2), by("2"), "a test sale");
      await ledger.pauses.pause({ kind: "terminal", name: "a" }, by("3"), "stocktaking");
      await ledger.pauses.resume({ kind: "terminal", name: "a" }, by("4"), "done");
      await ledger.access.addOperator("cid", "viewer", "scrypt:1", by("5"));
      await ledger.reconciles.order(
        "r1",
        a.terminal,
        { kind: "compare", tables: ["sale"], mend: false },
        by("6"),
        "to be sure",
      );
      const bulk = await ledger.bulks.preview("requeue", { terminal: b.terminal }, by("7"));
      await ledger.bulks.start(bulk.id, by("8"), "mended");
      await finish(ledger, 10);
      await ledger.trail.note("drill", null, ANNA, "by nobody's request");
      const kinds = ["requeued", "discard ordered", "paused", "resumed", "operator added", "reconcile ordered"];
      const told = (await ledger.trail.recent(99, null)).toReversed();
      const traces = told
        .filter(({ actor: who }) => who === ANNA)
        .map((event) => [event.kind, event.requestTrace?.[0]]);
      expect(traces).toEqual([
        ...kinds.map((kind, n) => [kind, String(n + 1)]),
        ["bulk started", "8"],
        ...Array.from({ length: bulk.messages }, () => ["requeued", "8"]),
        ["drill", undefined],
      ]);
      expect(told.filter(({ actor: who }) => who !== ANNA).every((event) => event.requestTrace === null)).toBe(true);
      const [first] = (await ledger.trail.of(a.lane, seq(1))).toReversed();
      expect(first).toMatchObject({ kind: "requeued", requestTrace: "1".repeat(32) });
      expect((await ledger.trail.page({ kind: "paused" }, 0)).events).toMatchObject([{ requestTrace: "3".repeat(32) }]);
      expect((await ledger.exceptions.revisions(a.lane, seq(1)))[0]?.by).toBe(ANNA);
      expect((await ledger.reconciles.get("r1"))?.by).toBe(ANNA);
      expect((await ledger.bulks.get(bulk.id))?.by).toBe(ANNA);
    });

    test("a bulk act goes on after a restart, and ends where it is cancelled", async () => {
      await using subject = await open();
      await twoTills(subject);
      const preview = (): Promise<Bulk> => subject.ledger.bulks.preview("discard", {}, ANNA);
      const first = await preview();
      expect(first.messages).toBe(4);
      await subject.ledger.bulks.start(first.id, ANNA, "training");
      expect(await subject.ledger.bulks.step(1)).toBe(true);
      await subject.restart();
      const { ledger } = subject;
      expect(await ledger.bulks.get(first.id)).toMatchObject({ state: "running", ordered: 1 });
      expect(await ledger.bulks.step(1)).toBe(true);
      await ledger.bulks.cancel(first.id, BEN, "wrong list");
      expect(await ledger.bulks.step(1)).toBe(false);
      expect(await ledger.bulks.get(first.id)).toMatchObject({ state: "cancelled", ordered: 2, skipped: 0 });
      const items = await ledger.bulks.items(first.id, 10, 0);
      expect(items.map(({ outcome }) => outcome)).toEqual(["ordered", "ordered", null, null]);
      await expect(ledger.bulks.cancel(first.id, BEN, "again")).rejects.toMatchObject({ code: "STATE_CONFLICT" });
      await expect(ledger.bulks.start(first.id, BEN, "again")).rejects.toMatchObject({ code: "STATE_CONFLICT" });
      await expect(ledger.bulks.start(99, BEN, "again")).rejects.toMatchObject({ code: "NOT_FOUND" });
      // Those already ordered wait for a worker: no second order is given for them.
      expect((await preview()).messages).toBe(2);
      const kinds = (await ledger.trail.recent(50, null)).map(({ kind }) => kind);
      expect(kinds).toEqual(expect.arrayContaining(["bulk started", "bulk cancelled"]));
    });

    test("messages are found by a value without naming the terminal, and by tag", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await twoTills(subject);
      const places = async (tags: Record<string, string>, at: string | null = null) =>
        (await ledger.trail.findAnywhere("4711", tags, at, 10)).map((found) => `${found.lane}/${found.seq}`);
      expect(await places({})).toEqual(["a/E1/3", "a/E1/2", "a/E1/1", "b/E1/3", "b/E1/2", "b/E1/1"]);
      const hash = (name: string): Uint8Array => new Uint8Array(32).fill(name.charCodeAt(0));
      for (const [name, store] of [
        ["a", "014"],
        ["b", "015"],
      ] as const) {
        const tags = { store, region: "north" };
        await ledger.terminals.createToken(hash(name), { terminal: null, tags, validMs: 1_000, by: ANNA });
        await ledger.terminals.enroll(hash(name), new Till(name).terminal, tags, hash(`${name}k`));
      }
      expect(await places({ store: "015" })).toEqual(["b/E1/3", "b/E1/2", "b/E1/1"]);
      expect(await places({ store: "015", region: "south" })).toEqual([]);
      expect(await places({}, "015")).toEqual(["b/E1/3", "b/E1/2", "b/E1/1"]);
      expect(await places({ store: "014" }, "015")).toEqual([]);
      expect(await places({}, "a")).toEqual(["a/E1/3", "a/E1/2", "a/E1/1"]);
      expect(await places({}, "north")).toHaveLength(6);
      expect(await places({}, "01")).toEqual([]);
    });

    test("the trail is read from its beginning page by page, by what is asked for", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await twoTills(subject);
      await subject.advance(60_000);
      await ledger.trail.note("drill", null, ANNA, "a fire drill");
      const all = async (filter: EventFilter): Promise<string[]> => {
        const kinds: string[] = [];
        for (let after: number | null = 0; after !== null;) {
          const page: Awaited<ReturnType<typeof ledger.trail.page>> = await ledger.trail.page(filter, after);
          kinds.push(...page.events.map(({ kind }) => kind));
          after = page.next;
        }
        return kinds;
      };
      const whole = await all({});
      expect(whole.at(-1)).toBe("drill");
      expect(whole.toReversed()).toEqual((await ledger.trail.recent(999, null)).map(({ kind }) => kind));
      expect(await all({ actor: ANNA })).toEqual(["drill"]);
      expect(await all({ kind: "dead" })).toHaveLength(4);
      expect(await all({ kind: "dead", terminal: new Till("b").terminal })).toHaveLength(2);
      const back = async (filter: EventFilter, limit: number): Promise<number[]> => {
        const ids: number[] = [];
        for (let before: number | null = null, more = true; more; more = before !== null) {
          const page: Awaited<ReturnType<typeof ledger.trail.newest>> = await ledger.trail.newest(
            filter,
            limit,
            before,
          );
          ids.push(...page.events.map(({ id }) => id));
          before = page.next;
        }
        return ids;
      };
      expect(await back({}, 3)).toEqual((await ledger.trail.recent(999, null)).map(({ id }) => id));
      expect(await back({ kind: "dead", terminal: new Till("b").terminal }, 1)).toHaveLength(2);
      expect(await back({ actor: ANNA }, 5)).toHaveLength(1);
      const { at } = (await ledger.trail.recent(1, null))[0]!;
      expect(await all({ since: at })).toEqual(["drill"]);
      expect(await all({ until: at })).toEqual(whole.slice(0, -1));
    });
  });
}
