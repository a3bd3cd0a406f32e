import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { spawnWaybill } from "../kit/child.ts";
import { freePort } from "../kit/free-port.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { Chain, ringUp } from "./chain.ts";

/** What the second of two gets to hear: one line that names the fault and its holder, one that says what to do; no stack. */
const REFUSAL = /^ALREADY_RUNNING: .* is held by process \d+ since \S+\n→ .+\n$/;

const invoice = (n: number) => ({
  invoice: `S-${n}`,
  at: "2026-11-23T09:14:07",
  customer: null,
  country: "France",
  lines: [{ invoice: `S-${n}`, line: 1, stockCode: "A-1", description: "tea", quantity: "2", unitPrice: "2.50" }],
});

test(
  "a second agent on one terminal database and a second hub on one ledger are refused; the first go on unharmed",
  {
    timeout: 60_000,
  },
  async () => {
    await using dir = tempDir();
    const chain = await Chain.make(dir.path, 1);
    try {
      await chain.startHub();
      await chain.enrollAll();
      chain.startAgent("till-1");
      using till = chain.till("till-1");
      let sold = 0;
      const sell = async (sales: number): Promise<void> => {
        for (let i = 0; i < sales; i++) ringUp(till, "till-1", invoice(++sold));
        await chain.until(`${sold} sales`, () => chain.central("select * from sale").length === sold);
      };
      await sell(10);

      // The same database under another spelling, with a state folder of its own, as a second service unit would have it.
      symlinkSync(join(dir.path, "till-1.db"), join(dir.path, "linked.db"));
      for (const [file, state] of [
        ["till-1.db", "till-1.agent"],
        ["./till-1.db", "other.agent"],
        ["linked.db", "other.agent"],
      ] as const) {
        const words = ["--hub", chain.address, "--id", "till-1", "--database", `sqlite:${join(dir.path, file)}`];
        await using second = spawnWaybill([
          "terminal",
          "--log",
          "error",
          ...words,
          "--state",
          join(dir.path, state),
          "--token",
          "x",
        ]);
        expect(await second.ended, file).toEqual({ code: 1, signal: null });
        expect(second.stderr, file).toMatch(REFUSAL);
      }
      await sell(10);

      const config = ["--config", join(dir.path, "waybill.config.json")];
      for (const more of [[], ["--port", String(await freePort())]]) {
        await using second = spawnWaybill(["hub", "--log", "error", ...config, ...more]);
        expect(await second.ended).toEqual({ code: 1, signal: null });
        expect(second.stderr).toMatch(REFUSAL);
        expect(second.stdout).toBe("");
      }
      await using json = spawnWaybill(["hub", "--log", "error", "--json", ...config]);
      expect(await json.ended).toEqual({ code: 1, signal: null });
      expect(JSON.parse(json.stderr)).toMatchObject({ code: "ALREADY_RUNNING", pid: chain.hub.pid });
      await sell(10);

      // The lock of a process that was killed holds nobody up.
      await chain.killHub();
      await chain.killAgent("till-1");
      await sell(10);
      expect(await chain.overview()).toMatchObject({ backlog: 0, dead: 0, held: 0, retrying: 0 });
      for (const file of ["till-1.db", "data/ledger.db", "data/central.db"]) {
        const db = new DatabaseSync(join(dir.path, file), { readOnly: true });
        expect(db.prepare("pragma integrity_check").all(), file).toEqual([{ integrity_check: "ok" }]);
        db.close();
      }
    } finally {
      await chain.stop();
    }
  },
);
