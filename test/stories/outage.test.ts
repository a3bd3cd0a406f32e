import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { WaybillError } from "../../src/base/errors.ts";
import { checkHubConfig, hubSettings } from "../../src/hub/load-config.ts";
import { send, Till } from "../../src/ledger/contract/till.ts";
import type { Event } from "../../src/ledger/trail.ts";
import { silentLog } from "../../src/observe/log.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { Dice } from "../simulation/dice.ts";
import { HubProcess, reader } from "../simulation/hub.ts";
import { Life, type CallFaults } from "../simulation/life.ts";
import { Scheduler } from "../simulation/scheduler.ts";

/**
 * The centre is away for ten hours while a fleet sells on: the real hub on simulated time, each second of them played.
 * `WAYBILL_OUTAGE_HOURS` plays more or fewer.
 */
const TERMINALS = 10;
const OUTAGE_MS = Number(process.env["WAYBILL_OUTAGE_HOURS"] ?? 10) * 3_600_000;
/** Each till sends a message so often. */
const EVERY_MS = 900_000;
const BEFORE = 2;
const MESSAGES = BEFORE + OUTAGE_MS / EVERY_MS;
/** Longest wait of the breaker, and some time to drain. */
const RECOVERY_MS = 90_000;
const WELL: CallFaults = { fails: 0, answerLost: 0, slow: 0, slowMs: 0, code: "CENTRAL_UNAVAILABLE" };

test(
  "hours without the centre cost no attempt and no dead letter; all drains afterwards, and the trail tells it",
  { timeout: 120_000 },
  async () => {
    await using dir = tempDir();
    const paths = { ledger: dir.file("ledger.db"), central: dir.file("central.db") };
    using centre = new DatabaseSync(paths.central);
    centre.exec("pragma journal_mode = wal; create table sale (sale_id text primary key, total text not null)");
    const settings = hubSettings(
      checkHubConfig(
        { ledger: `sqlite:${paths.ledger}`, central: `sqlite:${paths.central}`, tables: { sale: { direction: "up" } } },
        "/",
        {},
      ),
    );
    const dice = new Dice("outage");
    const scheduler = new Scheduler(dice.fork("ties"));
    const request = async (): Promise<never> => {
      throw new WaybillError("HUB_UNREACHABLE", "nobody asks the network here");
    };
    const life = new Life("hub", 0, { scheduler, dice, network: { request }, log: silentLog });
    const central = { ...WELL };
    const hub = await HubProcess.boot(paths, settings, life, { ledger: WELL, central }, null);
    using onLedger = reader(paths.ledger);
    const passing = async (ms: number): Promise<void> => {
      for (const end = scheduler.nowMs + ms; scheduler.nowMs < end;) await scheduler.step();
    };
    const one = (db: DatabaseSync, sql: string): number => Number(db.prepare(sql).get()?.["n"]);
    const loaded = (): number => one(centre, "select count(*) as n from sale");

    const tills = Array.from({ length: TERMINALS }, (_, n) => new Till(`t${n + 1}`));
    for (const { terminal, lines } of tills)
      for (let seq = 1; seq <= MESSAGES; seq++) {
        const row = { sale_id: `${terminal}-${seq}`, total: "9.90" };
        const change = { table: "sale", op: "insert", key: { sale_id: row.sale_id }, row };
        lines.push({
          seq,
          part: 0,
          more: false,
          text: JSON.stringify({ seq, at: "2026-06-01T00:00:00Z", changes: [change] }),
        });
      }
    const sell = async (seq: number): Promise<void> => {
      for (const till of tills) await send(hub.ledger, till.messages(seq, seq));
      hub.engine.received();
      await passing(EVERY_MS);
    };

    const started = hub.start();
    await passing(10_000);
    await started;
    for (let seq = 1; seq <= BEFORE; seq++) await sell(seq);
    expect(loaded()).toBe(TERMINALS * BEFORE);
    central.fails = 1;
    for (let seq = BEFORE + 1; seq <= MESSAGES; seq++) await sell(seq);
    expect(loaded()).toBe(TERMINALS * BEFORE);
    expect(hub.engine.processor.breaker.state).toMatchObject({ kind: "open", fault: "CENTRAL_UNAVAILABLE" });
    expect(await hub.ledger.trail.overview()).toMatchObject({
      received: TERMINALS * MESSAGES,
      dead: 0,
      retrying: 0,
      held: 0,
    });

    central.fails = 0;
    await passing(RECOVERY_MS);
    expect(loaded()).toBe(TERMINALS * MESSAGES);
    expect(await hub.ledger.trail.overview()).toMatchObject({ backlog: 0, dead: 0, retrying: 0, held: 0 });
    // Nothing was ever judged: a message that was tried and refused, or died, would have a row.
    expect(one(onLedger, "select count(*) as n from exception")).toBe(0);
    expect(one(centre, "select count(*) as n from waybill_passed")).toBe(0);
    const turns: Event[] = [];
    for (let before: number | null = null; ;) {
      const page: readonly Event[] = await hub.ledger.trail.recent(1_000, before);
      turns.push(...page.filter(({ kind }) => kind.startsWith("breaker ")));
      before = page.at(-1)?.id ?? null;
      if (before === null) break;
    }
    const kinds = turns.map(({ kind }) => kind).toReversed();
    expect([kinds[0], kinds.at(-1)]).toEqual(["breaker opened", "breaker closed"]);
    expect(new Set(kinds.slice(1, -1))).toEqual(new Set(["breaker probed"]));
    // Told at 2, 4, 8 … failures: an outage of any length is a page to read.
    expect(kinds.length).toBeLessThan(16);
    expect((turns[0]?.at ?? 0) - (turns.at(-1)?.at ?? 0)).toBeGreaterThanOrEqual(OUTAGE_MS - 60_000);
    await hub.kill();
  },
);
