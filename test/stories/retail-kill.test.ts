import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { retail } from "../kit/retail.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { Chain, ringUp, totalOf } from "./chain.ts";

/**
 * Real sales through real processes over loopback, while hub and agents are killed with SIGKILL again and again.
 * `WAYBILL_KILLS=30` is the long form (8 tills); by default a short one, so that every test run meets it.
 */
const KILLS = Number(process.env["WAYBILL_KILLS"] ?? 6);
const TILLS = KILLS > 10 ? 8 : 3;

test(
  `I1–I3: every sale arrives exactly once though processes are killed ${KILLS} times`,
  { timeout: 600_000 },
  async (context) => {
    await using dir = tempDir();
    const { invoices, facts, source } = retail();
    const chain = await Chain.make(dir.path, TILLS);
    try {
      await chain.startHub();
      await chain.enrollAll();
      for (const till of chain.tills) chain.startAgent(till);

      let killing = true;
      const cashiers = chain.tills.map(async (till, i) => {
        using db = chain.till(till);
        const own = invoices.filter((_, n) => n % TILLS === i);
        for (const sale of own) {
          ringUp(db, till, sale);
          if (killing) await pause(20 + Math.random() * 60);
        }
      });
      const kills: string[] = [];
      for (let n = 0; n < KILLS; n++) {
        await pause(50 + Math.random() * 700);
        const till = chain.tills[Math.floor(Math.random() * TILLS)] ?? "till-1";
        if (Math.random() < 0.5) {
          kills.push("hub");
          await chain.killHub();
        } else {
          kills.push(till);
          await chain.killAgent(till);
        }
      }
      killing = false;
      await Promise.all(cashiers);
      await chain.loaded(facts.lines, 60_000).catch((cause: unknown) => {
        throw new Error(`killed: ${kills.join(" ")}\n${chain.complaints()}`, { cause });
      });

      const lines = chain.central<{ quantity: number; unit_price: string }>(
        "select quantity, unit_price from sale_line",
      );
      expect({
        invoices: chain.central<{ n: number }>("select count(*) as n from sale")[0]?.n,
        lines: lines.length,
        total: totalOf(lines),
      }).toEqual(facts);
      // Rows equal, not only counts: each till's sales stand at the centre as they were rung up.
      for (const till of chain.tills) {
        using db = chain.till(till);
        const sql = (where: string): string =>
          `select l.* from sale_line l join sale s on s.sale_id = l.sale_id ${where} order by l.sale_id, l.line_no`;
        expect(chain.central(sql(`where s.store_id = '${till}'`))).toEqual(db.prepare(sql("")).all());
      }
      expect(chain.central("select * from waybill_passed")).toEqual([]);
      const status = await chain.waybill<{
        overview: { received: number; loaded: number; dead: number; held: number; retrying: number; backlog: number };
      }>("status");
      expect(status.overview).toMatchObject({
        dead: 0,
        held: 0,
        retrying: 0,
        backlog: 0,
        loaded: status.overview.received,
      });
      await context.annotate(
        `${source} data, ${facts.invoices} invoices, ${facts.lines} lines, total ${facts.total}; killed ${kills.length} times: ${kills.join(" ")}`,
      );
    } finally {
      await chain.stop();
    }
  },
);
