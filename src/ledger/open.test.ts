import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { seq, workerId } from "../base/ids.ts";
import { systemRuntime } from "../base/runtime.ts";
import { claimAll, loaded, send, Till } from "./contract/till.ts";
import { openLedger, openLedgerBytes } from "./open.ts";

describe("a ledger on a thread of its own", () => {
  let folder = "";
  const url = (): string => `sqlite:${join(folder, "ledger.db")}`;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "waybill-open-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test("serves concurrent terminals and workers: everything is stored, and every message claimed once", async () => {
    await using ledger = await openLedger(url(), systemRuntime);
    const tills = Array.from({ length: 30 }, (_, i) => new Till(`t${i}`).write(20));
    const claimed = new Map<string, number>();
    let sending = tills.length;
    const send20 = tills.map(async (till) => {
      for (let from = 1; from <= 20; from += 2) await send(ledger, till.messages(from, from + 1));
      sending -= 1;
    });
    const work = Array.from({ length: 4 }, async (_, i) => {
      for (;;) {
        const lastLook = sending === 0;
        const claims = await claimAll(ledger, { lanes: 3, messages: 7 }, workerId(`worker-${i}`));
        for (const claim of claims) {
          for (let n = claim.from; n <= claim.through; n = seq(n + 1)) {
            const key = `${claim.lane}/${n}`;
            claimed.set(key, (claimed.get(key) ?? 0) + 1);
          }
        }
        await ledger.work.settle(claims.map((claim) => loaded(claim)));
        if (claims.length === 0 && lastLook) return;
      }
    });
    await Promise.all([...send20, ...work]);
    expect(claimed.size).toBe(600);
    expect(new Set(claimed.values())).toEqual(new Set([1]));
    expect(await ledger.trail.overview()).toMatchObject({ received: 600, loaded: 600, backlog: 0 });
  });

  test("its errors arrive with code and facts, and a refused open leaves no thread behind", async () => {
    const first = await openLedger(url(), systemRuntime);
    await expect(openLedger(url(), systemRuntime)).rejects.toMatchObject({
      code: "ALREADY_RUNNING",
      facts: { path: join(folder, "ledger.db"), pid: process.pid },
    });
    await first[Symbol.asyncDispose]();
    expect(await first.ended).toBeNull();
    await using _ = await openLedger(url(), systemRuntime);
  });

  test("lines are read by a connection of another thread as soon as they are acknowledged", async () => {
    await using ledger = await openLedger(url(), systemRuntime);
    await using bytes = await openLedgerBytes(url());
    const till = new Till("t1").write(4);
    for (let n = 1; n <= 4; n++) {
      await send(ledger, till.messages(n, n));
      const pieces = await bytes.read(till.lane, seq(1), seq(n), 0, 1_000_000);
      expect(pieces.map((piece) => new TextDecoder().decode(piece.bytes)).join("")).toBe(till.text(1, n));
    }
  });

  test("a reader makes no ledger", async () => {
    await expect(openLedgerBytes(url())).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  });

  test("with a clock of its own it works on the caller's thread", async () => {
    const clock = { now: () => instant(5), elapsed: () => 5 };
    await using ledger = await openLedger("sqlite::memory:", { ...systemRuntime, clock });
    await ledger.trail.note("seen", null, "system" as never, "");
    expect((await ledger.trail.recent(1, null))[0]!.at).toBe(5);
  });

  test("another kind of URL is refused", async () => {
    await expect(openLedger("mysql://x/y", systemRuntime)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});
