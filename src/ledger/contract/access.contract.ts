import { describe, expect, test } from "vitest";
import { actor } from "../../base/ids.ts";
import type { Access, NewSession } from "../access.ts";
import type { OpenSubject } from "./subject.ts";

const ADMIN = actor("operator:root");
const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const session = (n: number, more: Partial<NewSession> = {}): NewSession => ({
  hash: hash(n),
  operator: "anna",
  actor: actor("operator:anna"),
  role: "viewer",
  proof: `proof-${n}`,
  validMs: 3_600_000,
  ...more,
});
const IDLE = 600_000;

export function accessContract(adapter: string, open: OpenSubject): void {
  describe(`access contract: ${adapter}`, () => {
    test("operators are added under a name of their own, listed, and known by their password", async () => {
      await using subject = await open();
      const { access, trail } = subject.ledger;
      await access.addOperator("anna", "operator", "scrypt…a", ADMIN);
      await access.addOperator("Bea", "viewer", "scrypt…b", ADMIN);
      await expect(access.addOperator("anna", "admin", "x", ADMIN)).rejects.toMatchObject({ code: "NAME_TAKEN" });
      expect(await access.operators()).toMatchObject([
        { name: "Bea", role: "viewer", signedInAt: null },
        { name: "anna", role: "operator" },
      ]);
      expect(await access.passwordOf("anna")).toEqual({ password: "scrypt…a", role: "operator" });
      expect(await access.passwordOf("carl")).toBeNull();
      expect(JSON.stringify(await access.operators())).not.toContain("scrypt");
      expect((await trail.recent(1, null))[0]).toMatchObject({ kind: "operator added", actor: ADMIN });
    });

    test("of two who would be the first operator one is", async () => {
      await using subject = await open();
      const { access } = subject.ledger;
      const tries = await Promise.allSettled(
        ["anna", "bea", "carl", "dora"].map((name) => access.addFirstOperator(name, "p", ADMIN)),
      );
      expect(tries.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect(await access.operators()).toMatchObject([{ role: "admin" }]);
    });

    test("the last admin can be neither removed nor made less; the last operator of all can go", async () => {
      await using subject = await open();
      const { access } = subject.ledger;
      await access.addFirstOperator("root", "p", ADMIN);
      await access.addOperator("anna", "viewer", "p", ADMIN);
      const last = { code: "LAST_ADMIN" };
      await expect(access.removeOperator("root", ADMIN)).rejects.toMatchObject(last);
      await expect(access.changeOperator("root", { role: "operator" }, ADMIN)).rejects.toMatchObject(last);
      expect(await access.passwordOf("root")).toMatchObject({ role: "admin" });
      await access.removeOperator("anna", ADMIN);
      await access.removeOperator("root", ADMIN);
      expect(await access.operators()).toEqual([]);
      await expect(access.removeOperator("root", ADMIN)).rejects.toMatchObject({ code: "NOT_FOUND" });
      await expect(access.changeOperator("root", { password: "x" }, ADMIN)).rejects.toMatchObject({
        code: "NOT_FOUND",
      });
    });

    test("where there was no admin, the others can be changed and removed", async () => {
      await using subject = await open();
      const { access } = subject.ledger;
      await access.addOperator("anna", "viewer", "p", ADMIN); // by a program's token
      await access.addOperator("bea", "operator", "p", ADMIN);
      await access.changeOperator("anna", { password: "q" }, ADMIN);
      await access.removeOperator("anna", ADMIN);
      expect(await access.operators()).toMatchObject([{ name: "bea" }]);
    });

    test("of two admins who remove each other at once, one stays", async () => {
      await using subject = await open();
      const { access } = subject.ledger;
      await access.addFirstOperator("a", "p", ADMIN);
      await access.addOperator("b", "admin", "p", ADMIN);
      await access.addOperator("c", "viewer", "p", ADMIN);
      await Promise.allSettled([access.removeOperator("a", ADMIN), access.removeOperator("b", ADMIN)]);
      expect((await access.operators()).filter(({ role }) => role === "admin")).toHaveLength(1);
    });

    test("a token is known by its hash until it expires or is revoked", async () => {
      await using subject = await open();
      const { access } = subject.ledger;
      await access.addToken({ hash: hash(1), name: "grafana", role: "viewer", validMs: 1_000 }, ADMIN);
      await access.addToken({ hash: hash(2), name: "erp", role: "operator", validMs: null }, ADMIN);
      await expect(
        access.addToken({ hash: hash(3), name: "erp", role: "admin", validMs: null }, ADMIN),
      ).rejects.toMatchObject({ code: "NAME_TAKEN" });
      expect(await access.tokenBy(hash(1))).toEqual({ name: "grafana", role: "viewer" });
      expect(await access.tokens()).toMatchObject([
        { name: "erp", role: "operator", madeBy: ADMIN, expiresAt: null },
        { name: "grafana", expiresAt: expect.any(Number) },
      ]);
      await subject.advance(1_000);
      expect(await access.tokenBy(hash(1))).toBeNull();
      await access.revokeToken("erp", ADMIN);
      expect(await access.tokenBy(hash(2))).toBeNull();
      await expect(access.revokeToken("erp", ADMIN)).rejects.toMatchObject({ code: "NOT_FOUND" });
    });

    test("a session outlives a restart, and ends when it is closed, unused or old", async () => {
      await using subject = await open();
      const access = (): Access => subject.ledger.access;
      await access().addOperator("anna", "viewer", "p", ADMIN);
      await access().openSession(session(1));
      await access().openSession(session(2));
      await subject.restart();
      expect(await access().session(hash(1), IDLE)).toEqual({
        actor: "operator:anna",
        role: "viewer",
        proof: "proof-1",
      });
      await access().closeSession(hash(1));
      expect(await access().session(hash(1), IDLE)).toBeNull();
      // Used every few minutes it lives on past the limit for unused ones, but not past its end.
      for (let used = 0; used < 3_600_000 - 300_000; used += 300_000) {
        await subject.advance(300_000);
        expect(await access().session(hash(2), IDLE)).not.toBeNull();
      }
      await subject.advance(300_000);
      expect(await access().session(hash(2), IDLE)).toBeNull();
      await access().openSession(session(3));
      await subject.advance(IDLE);
      expect(await access().session(hash(3), IDLE)).toBeNull();
    });

    test("a session has the role its operator has now, and ends with a change of it", async () => {
      await using subject = await open();
      const { access } = subject.ledger;
      await access.addFirstOperator("root", "p", ADMIN);
      await access.addOperator("anna", "operator", "p", ADMIN);
      await access.openSession(session(1));
      expect(await access.session(hash(1), IDLE)).toMatchObject({ role: "operator" });
      await access.openSession(session(2, { operator: null, actor: actor("operator:local"), role: "admin" }));
      await access.changeOperator("anna", { role: "viewer" }, ADMIN);
      expect(await access.session(hash(1), IDLE)).toBeNull();
      await access.openSession(session(3));
      await access.removeOperator("anna", ADMIN);
      expect(await access.session(hash(3), IDLE)).toBeNull();
      expect(await access.session(hash(2), IDLE)).toMatchObject({ actor: "operator:local", role: "admin" });
    });

    test("who signs in anew by somebody else's word has the new role in every session, and nobody else has", async () => {
      await using subject = await open();
      const { access } = subject.ledger;
      await access.addOperator("anna", "viewer", "p", ADMIN);
      const [bea, cid] = [actor("oidc:bea"), actor("oidc:cid")];
      await access.openSession(session(1, { operator: null, actor: bea, role: "admin" }));
      await access.openSession(session(2, { operator: null, actor: cid, role: "admin" }));
      await access.openSession(session(3));
      await access.openSession(session(4, { operator: null, actor: bea, role: "viewer" }));
      const roles = await Promise.all([1, 2, 3, 4].map(async (n) => (await access.session(hash(n), IDLE))?.role));
      expect(roles).toEqual(["viewer", "admin", "viewer", "viewer"]);
    });

    test("an invitation is good once, and for its time", async () => {
      await using subject = await open();
      const { access } = subject.ledger;
      await access.invite(hash(1), 1_000);
      await access.invite(hash(2), 1_000);
      const stands = (): Promise<readonly boolean[]> => Promise.all([1, 2, 3].map((n) => access.isInvited(hash(n))));
      expect(await stands()).toEqual([true, true, false]);
      const used = await Promise.all([1, 2, 3].map(() => access.useInvitation(hash(1))));
      expect(used.filter(Boolean)).toHaveLength(1);
      expect(await stands()).toEqual([false, true, false]);
      await subject.advance(1_000);
      expect(await stands()).toEqual([false, false, false]);
      expect(await access.useInvitation(hash(2))).toBe(false);
      expect(await access.useInvitation(hash(3))).toBe(false);
    });
  });
}
