import { describe, expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { actor, terminalId, updateId } from "../../base/ids.ts";
import type { OpenSubject } from "./subject.ts";
import { claimOne, send, Till } from "./till.ts";

const ADMIN = actor("cli:root@hub");
const T1 = terminalId("t1");
const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n);

export function terminalsContract(adapter: string, open: OpenSubject): void {
  describe(`terminals contract: ${adapter}`, () => {
    test("a token enrols one terminal; the same call again answers the same, any other is TOKEN_INVALID", async () => {
      await using subject = await open();
      const { terminals } = subject.ledger;
      await terminals.createToken(hash(1), { terminal: null, tags: { store: "014" }, validMs: 60_000, by: ADMIN });
      const made = await terminals.enroll(hash(1), T1, { lane: "3" }, hash(2));
      expect(made).toMatchObject({ id: "t1", tags: { store: "014", lane: "3" }, state: "enrolled", appliedThrough: 0 });
      expect(await terminals.enroll(hash(1), T1, { lane: "3" }, hash(2))).toEqual(made);
      const invalid = { code: "TOKEN_INVALID" };
      await expect(terminals.enroll(hash(1), T1, {}, hash(3))).rejects.toMatchObject(invalid);
      await expect(terminals.enroll(hash(1), terminalId("t2"), {}, hash(3))).rejects.toMatchObject(invalid);
      await expect(terminals.enroll(hash(9), T1, {}, hash(3))).rejects.toMatchObject(invalid);
    });

    test("a token enrols one terminal though many use it at once", async () => {
      await using subject = await open();
      const { terminals } = subject.ledger;
      await terminals.createToken(hash(1), { terminal: null, tags: {}, validMs: 60_000, by: ADMIN });
      const many = Array.from({ length: 8 }, (_, i) =>
        terminals.enroll(hash(1), terminalId(`x${i}`), {}, hash(10 + i)),
      );
      const answers = await Promise.allSettled(many);
      expect(answers.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect(await terminals.list(10, null)).toHaveLength(1);
    });

    test("a token made for one terminal says all its tags; on another they stand above those the terminal claims", async () => {
      await using subject = await open();
      const { terminals } = subject.ledger;
      await terminals.createToken(hash(1), { terminal: T1, tags: { store: "014" }, validMs: 60_000, by: ADMIN });
      const claimed = { store: "999", region: "north" };
      expect((await terminals.enroll(hash(1), T1, claimed, hash(2))).tags).toEqual({ store: "014" });
      await terminals.createToken(hash(3), { terminal: null, tags: { store: "014" }, validMs: 60_000, by: ADMIN });
      const other = await terminals.enroll(hash(3), terminalId("t2"), claimed, hash(4));
      expect(other.tags).toEqual({ store: "014", region: "north" });
    });

    test("a token is valid for a limited time and for the terminal it names", async () => {
      await using subject = await open();
      const { terminals } = subject.ledger;
      await terminals.createToken(hash(1), { terminal: T1, tags: {}, validMs: 1_000, by: ADMIN });
      await expect(terminals.enroll(hash(1), terminalId("t2"), {}, hash(2))).rejects.toMatchObject({
        code: "TOKEN_INVALID",
      });
      await subject.advance(1_000);
      await expect(terminals.enroll(hash(1), T1, {}, hash(2))).rejects.toMatchObject({ code: "TOKEN_INVALID" });
    });

    test("an enrolled terminal gets a new key only by a token that names it; the old key is then nobody's", async () => {
      await using subject = await open();
      const { terminals } = subject.ledger;
      for (const [n, terminal] of [
        [1, null],
        [2, null],
        [3, T1],
      ] as const) {
        await terminals.createToken(hash(n), { terminal, tags: {}, validMs: 60_000, by: ADMIN });
      }
      await terminals.enroll(hash(1), T1, {}, hash(11));
      await expect(terminals.enroll(hash(2), T1, {}, hash(12))).rejects.toMatchObject({ code: "TOKEN_INVALID" });
      await terminals.enroll(hash(3), T1, {}, hash(13));
      expect(await terminals.byKey(hash(11))).toBeNull();
      expect(await terminals.byKey(hash(13))).toMatchObject({ id: "t1" });
    });

    test("a revoked terminal is still known by its key, as revoked", async () => {
      await using subject = await open();
      const { terminals, trail } = subject.ledger;
      await terminals.createToken(hash(1), { terminal: T1, tags: {}, validMs: 60_000, by: ADMIN });
      await terminals.enroll(hash(1), T1, {}, hash(2));
      await terminals.revoke(T1, ADMIN);
      expect(await terminals.byKey(hash(2))).toMatchObject({ state: "revoked" });
      expect((await trail.recent(1, null))[0]).toMatchObject({ kind: "revoked", actor: ADMIN });
      await expect(terminals.revoke(terminalId("t2"), ADMIN)).rejects.toMatchObject({ code: "NOT_FOUND" });
    });

    test("sightings are remembered, an older one never over a newer", async () => {
      await using subject = await open();
      const { terminals } = subject.ledger;
      await terminals.createToken(hash(1), { terminal: T1, tags: {}, validMs: 60_000, by: ADMIN });
      await terminals.enroll(hash(1), T1, {}, hash(2));
      await terminals.seen([
        { terminal: T1, at: instant(2_000), skewMs: -40, version: "1.2.3", deliveredThrough: updateId(4) },
      ]);
      await terminals.seen([{ terminal: T1, at: instant(1_000), skewMs: null, version: null, deliveredThrough: null }]);
      expect(await terminals.get(T1)).toMatchObject({
        lastSeenAt: 2_000,
        skewMs: -40,
        version: "1.2.3",
        deliveredThrough: 4,
      });
    });

    test("terminals are listed by name, page by page", async () => {
      await using subject = await open();
      const { terminals } = subject.ledger;
      for (let n = 1; n <= 5; n++) {
        await terminals.createToken(hash(n), { terminal: null, tags: {}, validMs: 60_000, by: ADMIN });
        await terminals.enroll(hash(n), terminalId(`t${n}`), {}, hash(n + 100));
      }
      const first = await terminals.list(3, null);
      const rest = await terminals.list(3, first.at(-1)!.id);
      expect([...first, ...rest].map(({ id }) => id)).toEqual(["t1", "t2", "t3", "t4", "t5"]);
    });

    test("a claim carries the terminal's tags", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await ledger.terminals.createToken(hash(1), { terminal: T1, tags: { store: "014" }, validMs: 60_000, by: ADMIN });
      await ledger.terminals.enroll(hash(1), T1, {}, hash(2));
      await send(ledger, new Till("t1").write(1).messages(1, 1));
      expect(await claimOne(ledger)).toMatchObject({ terminal: "t1", tags: { store: "014" } });
    });
  });
}
