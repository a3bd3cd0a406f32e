import { DatabaseSync } from "node:sqlite";
import { actor, laneName, epoch, terminalId } from "../../src/base/ids.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import type { Trouble } from "../../src/ledger/alerts.ts";
import type { UpdateEntry } from "../../src/ledger/update-log.ts";
import type { Difference } from "../../src/ledger/reconciles.ts";
import { openSqliteLedger } from "../../src/ledger/sqlite/ledger.ts";
import { nameOf, storeOf } from "./generate.ts";

const BY = actor("operator:bench");
const UPDATES = 1_000;
const ALERTS = 400;
const COMPARISONS = 200;
const DIFFERENCES = 500;

/** What a ledger that has long been in use holds besides messages: updates under way, alerts, comparisons, a pause. */
export async function furnish(path: string, terminals: number): Promise<void> {
  {
    await using ledger = await openSqliteLedger(path, systemRuntime);
    const entry = (n: number): UpdateEntry => ({
      audience: n % 3 === 0 ? "all" : `store:${storeOf((n * 10) % terminals)}`,
      ...{ tx: `tx-${n}`, at: systemRuntime.clock.now(), origin: null, trace: null, count: 1 },
      changes: Buffer.from(
        `[{"table":"price","op":"upsert","key":{"sku":"A-${n}"},"row":{"sku":"A-${n}","price":"1.00"}}]`,
      ),
    });
    for (let n = 0; n < UPDATES; n += 50)
      await ledger.updates.publish(
        Array.from({ length: 50 }, (_, i) => entry(n + i)),
        BY,
      );
    const trouble = (n: number): Trouble => ({
      ...{ rule: "lane-held", subject: laneName(terminalId(nameOf(n + 1)), epoch("e1")), count: null, facts: {} },
      what: `2 messages of ${nameOf(n + 1)}/e1 have been held since 2026-11-26T09:00:00.000Z or later.`,
    });
    const policy = { settleMs: 0, each: ALERTS, againMs: 3_600_000, channels: [], lostMs: 60_000 };
    const all = Array.from({ length: 2 * ALERTS }, (_, n) => trouble(n));
    await ledger.alerts.observe(["lane-held"], all.slice(0, ALERTS), policy);
    await ledger.alerts.observe(["lane-held"], [], policy); // one look finds them gone, the next one ends them
    await ledger.alerts.observe(["lane-held"], [], policy);
    await ledger.alerts.observe(["other"], all.slice(ALERTS), policy);
    for (let n = 1; n <= COMPARISONS; n++) {
      const work = { kind: "compare", tables: null, mend: false } as const;
      await ledger.reconciles.order(`bench-${n}`, terminalId(nameOf(n)), work, BY, "as every week");
      await ledger.reconciles.cancel(`bench-${n}`, BY, "measured");
    }
    await ledger.reconciles.found(
      "bench-7",
      Array.from({ length: DIFFERENCES }, (_, n) => difference(n + 1)),
    );
    await ledger.pauses.pause({ kind: "terminal", name: nameOf(9) }, BY, "the shop is being rebuilt");
  }
  using file = new DatabaseSync(path, { timeout: 10_000 });
  // Terminals stand everywhere in the log, and some have been handed more than they have applied.
  file.exec(
    `update terminal set applied_through = rowid % ${UPDATES}, delivered_through = min(${UPDATES}, rowid % ${UPDATES} + rowid % 7)`,
  );
}

const difference = (n: number): Difference => ({
  ...{ n, table: "sale", key: { sale_id: `S-${n}` }, kind: "different", because: null },
  columns: [{ name: "total", terminal: "12.50", centre: "12.00" }],
  ...{ repair: "up", repaired: null },
});
