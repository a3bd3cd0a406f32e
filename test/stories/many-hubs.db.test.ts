import { execFileSync } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { TestSchema } from "../../src/ledger/postgres/schema.test-kit.ts";
import { describeWith } from "../kit/needs.ts";
import { retail } from "../kit/retail.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { until } from "../kit/until.ts";
import { ringUp, totalOf } from "./chain.ts";
import { Fleet } from "./fleet.ts";

/**
 * Three hub processes share one PostgreSQL ledger: two do everything, one only loads and publishes. In turn they are killed,
 * paused for longer than their leases, and cut from the ledger. `WAYBILL_DISASTERS=100` is the long form;
 * `WAYBILL_POSTGRES_RESTART` (a command) restarts the server itself in place of cutting connections.
 */
const DISASTERS = Number(process.env["WAYBILL_DISASTERS"] ?? 6);
const RESTART = process.env["WAYBILL_POSTGRES_RESTART"];
const TILLS = 4;

describeWith("postgres", "many hubs over one ledger", (server) => {
  test(
    `I1–I3: every sale arrives exactly once through ${DISASTERS} deaths, pauses and cuts of hub processes`,
    { timeout: 900_000 },
    async (context) => {
      await using dir = tempDir();
      await using schema = new TestSchema(server);
      const { invoices, facts } = retail();
      const fleet = await Fleet.make(dir.path, schema.url, [null, null, "process,publish"], TILLS);
      const told: string[] = [];
      try {
        await fleet.start();
        let hard = true;
        const cashiers = fleet.tills.map(async (till, i) => {
          using db = fleet.till(till);
          for (const sale of invoices.filter((_, n) => n % TILLS === i)) {
            ringUp(db, till, sale);
            if (hard) await pause(20 + Math.random() * 80);
          }
        });
        for (let n = 0; n < DISASTERS; n++) {
          await pause(300 + Math.random() * 500);
          const hub = Math.floor(Math.random() * 3);
          fleet.price(`P${n}`, n);
          if (n % 3 === 0) await fleet.killHub(hub);
          else if (n % 3 === 1) await fleet.pauseHub(hub);
          else await cut(schema);
          told.push(`${["killed", "paused", "cut"][n % 3]} ${hub}`);
        }
        hard = false;
        await Promise.all(cashiers);
        await fleet.loaded(facts.lines, 90_000);

        const lines = fleet.central<{ quantity: number; unit_price: string }>(
          "select quantity, unit_price from sale_line",
        );
        const sales = fleet.central<{ n: number }>("select count(*) as n from sale")[0]?.n;
        expect({ invoices: sales, lines: lines.length, total: totalOf(lines) }).toEqual(facts);
        expect(fleet.central("select * from waybill_passed")).toEqual([]);
        for (const till of fleet.tills) {
          using db = fleet.till(till);
          const sql = (where: string): string =>
            `select l.* from sale_line l join sale s on s.sale_id = l.sale_id ${where} order by l.sale_id, l.line_no`;
          expect(fleet.central(sql(`where s.store_id = '${till}'`))).toEqual(db.prepare(sql("")).all());
          // I11: every price came down once the publisher's seat had found its holder.
          const prices = (): unknown[] => db.prepare("select * from price order by stock_code").all();
          const wanted = fleet.central("select * from price order by stock_code");
          await until(() => JSON.stringify(prices()) === JSON.stringify(wanted), { timeoutMs: 30_000, what: "prices" });
        }
        // I1: the ledger knows the same. Its loaded messages are settled a moment after the centre has them.
        const wanting = `select count(*)::int as n from lane_in i join lane_out o using (lane)
                         where i.received_through <> o.loaded_through or o.leased_by is not null`;
        await until(async () => (await schema.ask<{ n: number }>(wanting))[0]?.n === 0, {
          timeoutMs: 20_000,
          what: "all lanes settled",
        });
        expect(await schema.ask("select lane, seq, state from exception where closed_at is null")).toEqual([]);
        await context.annotate(`${facts.invoices} invoices, ${facts.lines} lines; ${told.join(", ")}`);
      } catch (cause) {
        throw new Error(`${told.join(", ")}\n${fleet.complaints()}`, { cause });
      } finally {
        await fleet.stop();
      }
    },
  );
});

/** All connections to the ledger break at once. */
async function cut(schema: TestSchema): Promise<void> {
  if (RESTART !== undefined) execFileSync("sh", ["-c", RESTART], { stdio: "ignore" });
  else await schema.cut();
}
