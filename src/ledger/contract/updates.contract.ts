import { describe, expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { actor, laneName, seq, terminalId, updateId, epoch, workerId, type TerminalId } from "../../base/ids.ts";
import type { Ledger } from "../port.ts";
import type { StoredUpdate, UpdateEntry } from "../update-log.ts";
import type { OpenSubject } from "./subject.ts";

const SOURCE = laneName(terminalId("central"), epoch("C1"));
const [T1, T2] = [terminalId("t1"), terminalId("t2")];
const API = actor("publisher:shop");
const ZERO = updateId(0);

export function updatesContract(adapter: string, open: OpenSubject): void {
  describe(`updates contract: ${adapter}`, () => {
    test("forwarding is by number: a second publisher with the same numbers writes nothing", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      expect(await updates.forwarded(SOURCE)).toBe(0);
      expect(await updates.forward(SOURCE, seq(0), seq(2), [entry("all"), entry("store:014")])).toBe(true);
      expect(await updates.forward(SOURCE, seq(0), seq(2), [entry("all"), entry("store:014")])).toBe(false);
      expect(await updates.forward(SOURCE, seq(1), seq(3), [entry("all")])).toBe(false);
      expect(await updates.forward(SOURCE, seq(2), seq(3), [])).toBe(true);
      expect(await updates.forwarded(SOURCE)).toBe(3);
      expect(await updates.head()).toBe(2);
    });

    test("ids grow in the order of commits", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      const given = await Promise.all(
        Array.from({ length: 20 }, () => updates.publish([entry("all"), entry("t")], API)),
      );
      expect(given.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
      for (const [first = 0, second] of given) expect(second).toBe(first + 1);
    });

    test("a reader gets all entries for its audiences and is told how far that is true", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      await updates.publish(
        [entry("all"), entry("store:014"), entry("store:015"), entry("region:north"), entry("store:015")],
        API,
      );
      const page = await updates.read(["all", "store:014", "all"], T1, ZERO, 1_000_000);
      expect(page).toMatchObject({ through: 5, more: false });
      expect(page.updates.map(({ id, audience }) => [id, audience])).toEqual([
        [1, "all"],
        [2, "store:014"],
      ]);
      expect(await updates.read(["all"], T1, page.through, 1_000_000)).toEqual({
        through: 5,
        more: false,
        updates: [],
        strand: null,
      });
      const [first] = page.updates;
      expect(text(first!)).toBe(text(entry("all")));
    });

    test("an entry is left out for the terminal that it came from", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      await updates.publish([{ ...entry("all"), origin: T1 }, entry("all")], API);
      const ids = async (terminal: TerminalId) =>
        (await updates.read(["all"], terminal, ZERO, 1_000)).updates.map(({ id }) => id);
      expect(await ids(T1)).toEqual([2]);
      expect(await ids(T2)).toEqual([1, 2]);
    });

    test("each entry tells how far it has come among the terminals it is for, and who is furthest behind", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const { updates } = ledger;
      const names = ["a", "b", "c", "d"].map((name) => terminalId(`spread-${name}`));
      const [a, b, c, d] = names as [TerminalId, TerminalId, TerminalId, TerminalId];
      for (const [i, terminal] of names.slice(0, 3).entries())
        await enrolled(ledger, terminal, 40 + i, { store: i === 2 ? "015" : "014" });
      const [all, store, own] = await updates.publish(
        [entry("all"), entry("store:014"), { ...entry("all"), origin: a }, entry("nobody:1")],
        API,
      );
      await enrolled(ledger, d, 50, { store: "014" }); // later: it has them with its first rows
      await updates.acknowledge(b, own!, [{ id: store!, code: "CHECK_VIOLATED", detail: "price < 0" }]);
      await updates.acknowledge(c, all!, []);
      const spread = async (audience: string | null) =>
        (await updates.newest(audience, 10, null)).map(({ id, reach, applied, delivered, refused }) => [
          id,
          reach,
          applied,
          delivered,
          refused,
        ]);
      expect(await spread(null)).toEqual([
        [4, 0, 0, 0, 0],
        [own, 2, 1, 0, 0],
        [store, 2, 0, 0, 1],
        [all, 3, 2, 0, 0],
      ]);
      expect(await spread("store:014")).toEqual([[store, 2, 0, 0, 1]]);
      expect((await updates.newest(null, 1, own!))[0]).toMatchObject({ id: store, audience: "store:014", count: 1 });
      const first = await updates.reach(all!, 2, null);
      expect(first.rows.map(({ terminal, state }) => [terminal, state])).toEqual([
        [a, "pending"],
        [c, "applied"],
      ]);
      const rest = await updates.reach(all!, 2, first.next);
      expect(rest).toMatchObject({ rows: [{ terminal: b, state: "applied" }], next: null });
      expect((await updates.reach(store!, 9, null)).rows).toMatchObject([
        { terminal: a, state: "pending", refused: null },
        { terminal: b, state: "refused", refused: { code: "CHECK_VIOLATED", detail: "price < 0" } },
      ]);
      // Handed to it, and nothing is heard of it yet.
      const { enrolledAt: at } = (await ledger.terminals.get(a))!;
      await ledger.terminals.seen([{ terminal: a, at, skewMs: null, version: null, deliveredThrough: store! }]);
      expect((await updates.reach(store!, 1, null)).rows).toMatchObject([{ terminal: a, state: "delivered" }]);
      expect((await spread("store:014"))[0]).toEqual([store, 2, 0, 1, 1]);
      expect((await spread(null))[3]).toEqual([all, 3, 2, 1, 0]);
      await updates.acknowledge(a, all!, []); // applied so far, and the next one was handed to it all the same
      expect((await spread("store:014"))[0]).toEqual([store, 2, 0, 1, 1]);
      await ledger.terminals.revoke(a, API);
      expect((await spread("store:014"))[0]).toEqual([store, 1, 0, 0, 1]);
    });

    test("pages of about the size asked for, at least one entry, give everything once and in order", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      const audiences = ["all", "store:014", "region:north"];
      for (let i = 0; i < 60; i++)
        await updates.publish([entry(audiences[i % 3]!, { bytes: 100 }), entry("other")], API);
      const seen = await readAll(subject.ledger, audiences, 350);
      expect(seen.updates).toEqual(Array.from({ length: 60 }, (_, i) => i * 2 + 1));
      expect(seen.pages).toBeGreaterThan(15);
      expect((await readAll(subject.ledger, audiences, 1)).updates).toHaveLength(60);
    });

    test("a page ends between two central transactions unless one alone is larger than the page", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      const tx = (name: string, count: number) =>
        Array.from({ length: count }, () => entry("all", { tx: name, bytes: 100 }));
      await updates.publish([...tx("a", 2), ...tx("b", 3), ...tx("c", 9)], API);
      const page = await updates.read(["all"], T1, ZERO, 420);
      expect(page.updates.map((update) => update.tx)).toEqual(["a", "a"]);
      const next = await updates.read(["all"], T1, page.through, 420);
      expect(next.updates.map((update) => update.tx)).toEqual(["b", "b", "b"]);
      const inside = await updates.read(["all"], T1, next.through, 420);
      expect(inside).toMatchObject({ more: true });
      expect(inside.updates).toHaveLength(4);
    });

    test("more entries than are looked at at once are all given", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      await updates.publish(
        Array.from({ length: 2_500 }, (_, i) => entry(i % 5 === 0 ? "rare" : "all")),
        API,
      );
      const seen = await readAll(subject.ledger, ["rare", "all"], 10_000_000);
      expect(seen.updates).toEqual(Array.from({ length: 2_500 }, (_, i) => i + 1));
    });

    test("a cursor above the head is CURSOR_GONE and says where the head is", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      await updates.publish([entry("all")], API);
      await expect(updates.read(["all"], T1, updateId(2), 1_000)).rejects.toMatchObject({
        code: "CURSOR_GONE",
        facts: { head: 1 },
      });
    });

    test("after a restore ids go on above every id that was shown, and older cursors go on from there", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      await updates.publish([entry("all")], API);
      expect(await updates.beginTerm(updateId(1), "nothing was lost")).toBe(1);
      const begun = await updates.beginTerm(updateId(9), "a terminal has taken updates through 9");
      expect(begun).toBeGreaterThan(9);
      expect(await updates.beginTerm(updateId(9), "a second terminal")).toBe(begun);
      const [id] = await updates.publish([entry("all")], API);
      expect(id).toBe(begun + 1);
      const page = await updates.read(["all"], T1, updateId(9), 1_000);
      expect(page.updates.map((update) => update.id)).toEqual([id]);
      expect(page.through).toBe(id);
    });

    test("that the log was compared with the centre counts as long as whoever compared it is there", async () => {
      await using subject = await open();
      const seatOf = async (worker: string) =>
        (await subject.ledger.seats?.take("publisher", workerId(worker), 1_000)) ?? undefined;
      const attested = () => subject.ledger.updates.attested();
      expect(await attested()).toBe(false);
      const first = await seatOf("w1");
      expect(await attested(), "a seat alone says nothing").toBe(false);
      await subject.ledger.updates.attest("A", first);
      expect(await attested()).toBe(true);
      if (first) await subject.advance(2_000);
      else await subject.restart();
      expect(await attested()).toBe(false);
      const second = await seatOf("w2");
      if (first) await subject.ledger.updates.attest("A", first);
      expect(await attested(), "the one before has no say").toBe(false);
      await subject.ledger.updates.attest("B", second);
      expect(await attested()).toBe(true);
    });

    describe("I9: the strand under which ids were given", () => {
      /** Ids from now on are given under this name. */
      const begin = async ({ ledger }: Awaited<ReturnType<OpenSubject>>, name: string): Promise<void> => {
        const seat = await ledger.seats?.take("publisher", workerId("w1"), 60_000);
        await ledger.updates.attest(name, seat ?? undefined);
      };
      const other = { code: "CURSOR_GONE", facts: { other: true } };

      test("is named with what is given, one at a time, and tells a cursor of another history from the log's own", async () => {
        await using subject = await open();
        const { updates } = subject.ledger;
        const give = (count: number) =>
          updates.publish(
            Array.from({ length: count }, () => entry("all")),
            API,
          );
        const read = (after: number, strand?: string) => updates.read(["all"], T1, updateId(after), 1_000_000, strand);
        await give(1);
        await begin(subject, "A");
        await give(2);
        await begin(subject, "A");
        await begin(subject, "not used");
        await begin(subject, "B");
        await give(1);
        expect(await updates.strands()).toEqual([
          { first: 2, name: "A" },
          { first: 4, name: "B" },
        ]);
        expect(await read(0)).toMatchObject({ through: 1, more: true, strand: null });
        expect(await read(1)).toMatchObject({ through: 3, more: true, strand: "A" });
        expect(await read(3, "A")).toMatchObject({ through: 4, more: false, strand: "B" });
        expect(await read(4, "B")).toMatchObject({ through: 4, updates: [], strand: "B" });
        expect(await read(2, "A")).toMatchObject({ through: 3 });
        expect(await read(3, "B"), "nothing lies between").toMatchObject({ through: 4 });
        for (const [after, strand] of [
          [4, "A"],
          [2, "B"],
          [1, "B"],
          [4, "not used"],
          [5, "B"],
          [9 * 10 ** 12, "B"],
        ] as const)
          await expect(read(after, strand), `${after} of ${strand}`).rejects.toMatchObject(other);
      });

      test("of ids that the log lost and nobody was given anew is known by the centre's word, and leads on", async () => {
        await using subject = await open();
        const { updates } = subject.ledger;
        const read = (after: number, strand: string) => updates.read(["all"], T1, updateId(after), 1_000_000, strand);
        await begin(subject, "A");
        await updates.publish([entry("all"), entry("all")], API);
        await begin(subject, "not used");
        const lost = [
          { first: updateId(3), name: "A", through: updateId(4) },
          { first: updateId(5), name: "B", through: updateId(6) },
        ];
        const begun = await updates.beginTerm(updateId(6), "the centre was told of more", lost);
        await begin(subject, "C");
        const [id] = await updates.publish([entry("all")], API);
        expect(await updates.strands()).toEqual([
          { first: 1, name: "A" },
          { first: id, name: "C" },
        ]);
        for (const [after, strand] of [
          [2, "A"],
          [4, "A"],
          [5, "B"],
          [6, "B"],
        ] as const) {
          const gap = await read(after, strand);
          expect(gap, `${after} of ${strand}`).toMatchObject({ through: begun, more: true, updates: [] });
          expect(await read(gap.through, gap.strand!)).toMatchObject({ through: id, strand: "C" });
          await expect(read(4, gap.strand!), "no cursor was left there").resolves.toMatchObject({ updates: [] });
        }
        for (const [after, strand] of [
          [5, "A"],
          [7, "B"],
          [3, "B"],
          [6, "C"],
          [3, "not used"],
        ] as const)
          await expect(read(after, strand), `${after} of ${strand}`).rejects.toMatchObject(other);
      });

      test("of ids that the log lost, told twice by a publisher that was killed in between, leads on", async () => {
        await using subject = await open();
        const { updates } = subject.ledger;
        await begin(subject, "A");
        await updates.publish([entry("all")], API);
        const lost = [{ first: updateId(2), name: "A", through: updateId(4) }];
        const begun = await updates.beginTerm(updateId(4), "the centre was told of more", lost);
        const again = await updates.beginTerm(updateId(begun + 1), "and once more", lost);
        for (let after = updateId(3); after < again;) {
          const answer = await updates.read(["all"], T1, after, 1_000_000, after === 3 ? "A" : undefined);
          expect(answer.through).toBeGreaterThan(after);
          after = answer.through;
        }
      });

      test("of another history: the terminal goes on behind the log's end, is restored, and is owed all rows, each time anew", async () => {
        await using subject = await open();
        const { updates, terminals, trail } = subject.ledger;
        await enrolled(subject.ledger, T1);
        await begin(subject, "A");
        await updates.publish([entry("all")], API);
        expect((await terminals.get(T1))?.rowsOwed).toBeNull();
        expect(await updates.beginElsewhere(T1, updateId(7))).toEqual({ head: 1, strand: "A" });
        const owed = (await terminals.get(T1))?.rowsOwed;
        expect(owed).not.toBeNull();
        await updates.beginElsewhere(T1, updateId(7));
        expect((await terminals.get(T1))?.rowsOwed).not.toBe(owed);
        const told = (await trail.recent(9, null)).filter(({ kind }) => kind === "began elsewhere");
        expect(told).toMatchObject([{ detail: expect.stringContaining("t1 goes on behind 1") }, {}]);
      });
    });

    test("an acknowledgement remembers how far a terminal has applied, and what it refused, once", async () => {
      await using subject = await open();
      const { updates, terminals } = subject.ledger;
      await enrolled(subject.ledger, T1);
      await updates.publish([entry("all"), entry("all")], API);
      const refused = [{ id: updateId(1), code: "CHECK_VIOLATED" as const, detail: "price -1" }];
      await updates.acknowledge(T1, updateId(2), refused);
      await updates.acknowledge(T1, updateId(2), refused);
      expect(await terminals.get(T1)).toMatchObject({ appliedThrough: 2 });
      expect(await updates.refusals(null, 10)).toMatchObject([
        { terminal: T1, id: 1, code: "CHECK_VIOLATED", detail: "price -1" },
      ]);
      expect(await updates.refusals(T2, 10)).toEqual([]);
    });

    test("a refusal of a key is closed by a later update of the key", async () => {
      await using subject = await open();
      const { updates } = subject.ledger;
      await enrolled(subject.ledger, T1);
      const price = (article: number) => entry("all", { key: { article } });
      await updates.publish([price(1), price(2)], API);
      await updates.acknowledge(T1, updateId(2), [
        { id: updateId(1), code: "CHECK_VIOLATED", detail: "price -1" },
        { id: updateId(2), code: "CHECK_VIOLATED", detail: "price -2" },
      ]);
      await updates.publish([price(3), price(1)], API);
      await updates.acknowledge(T1, updateId(4), []);
      expect((await updates.refusals(T1, 10)).map(({ id }) => id)).toEqual([2]);
    });
  });
}

function entry(
  audience: string,
  given: { readonly tx?: string; readonly bytes?: number; readonly key?: Record<string, number> } = {},
): UpdateEntry {
  const changes = JSON.stringify([
    { table: "price", op: "upsert", key: given.key ?? { article: 1 }, row: { text: "" } },
  ]);
  return {
    audience,
    tx: given.tx ?? `tx-${++transactions}`,
    at: instant(1_000),
    origin: null,
    trace: null,
    changes: new TextEncoder().encode(changes.padEnd(given.bytes ?? 0)),
    count: 1,
  };
}
let transactions = 0;

const text = ({ changes }: Pick<StoredUpdate, "changes">): string => new TextDecoder().decode(changes);

async function readAll(
  ledger: Ledger,
  audiences: readonly string[],
  limitBytes: number,
): Promise<{ updates: number[]; pages: number }> {
  const updates: number[] = [];
  let after = ZERO;
  for (let pages = 1; ; pages++) {
    const page = await ledger.updates.read(audiences, T1, after, limitBytes);
    expect(page.updates.every(({ id }) => id > after && id <= page.through)).toBe(true);
    updates.push(...page.updates.map(({ id }) => id));
    after = page.through;
    if (!page.more) return { updates, pages };
  }
}

async function enrolled(
  ledger: Ledger,
  terminal: TerminalId,
  secret: number = terminal.length,
  tags: Readonly<Record<string, string>> = {},
): Promise<void> {
  const hash = new Uint8Array(32).fill(secret);
  await ledger.terminals.createToken(hash, { terminal, tags, validMs: 1_000, by: API });
  await ledger.terminals.enroll(hash, terminal, tags, hash);
}
