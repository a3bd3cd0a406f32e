import { expect, test } from "vitest";
import { systemRuntime } from "../base/runtime.ts";
import { openDatabase } from "../database/open.ts";
import type { Change } from "../message/change.ts";
import { crashing, crashingNetwork, Fate } from "../../test/kit/crashing.ts";
import { FakeHub } from "../../test/kit/fake-hub.ts";
import { tempDir, type TempDir } from "../../test/kit/temp-dir.ts";
import { startAgent, Till, type TestAgent } from "../../test/kit/till.ts";
import { until } from "../../test/kit/until.ts";

/** Calls to the world from the start of an agent on; beyond the last of them it only polls. */
const CALLS = Number(process.env["WAYBILL_CRASH_CALLS"] ?? 70);

const price = (sku: string, value: string, grade: string | null = null): Change => ({
  table: "price",
  op: "upsert",
  key: { sku },
  row: { sku, price: value, class: grade },
});

/** An agent that dies at its `at`-th call. Null: it died before it had started. */
async function doomedAgent(dir: TempDir, hub: FakeHub, fate: Fate): Promise<TestAgent | null> {
  try {
    return await startAgent(dir, hub, {
      open: async (url) => crashing(await openDatabase(url, { random: systemRuntime.random }), fate),
      runtime: { network: crashingNetwork(hub, fate) },
    });
  } catch (thrown) {
    if (fate.crashed) return null;
    throw thrown;
  }
}

test.each(["before", "after"] as const)(
  "an agent killed %s any one of its calls to database and hub goes on where it was: every sale once, every update once (I3, I11)",
  async (when) => {
    await using dir = tempDir();
    const hub = new FakeHub({ sale: "up", sale_line: "up", price: "down", price_log: "up" });
    using till = new Till(dir.file("till.db"));
    till.db.exec(`create table price_log (id integer primary key autoincrement, sku text, price text);
      create trigger log_price after insert on price begin insert into price_log (sku, price) values (new.sku, new.price); end;
      create trigger log_price_change after update on price begin insert into price_log (sku, price) values (new.sku, new.price); end`);
    let published = 0;
    const log = (): readonly unknown[] =>
      till.db
        .prepare("select price from price_log order by id")
        .all()
        .map((row) => row["price"]);
    for (let at = 1; at <= CALLS; at++) {
      const fate = new Fate(at, when);
      const agent = await doomedAgent(dir, hub, fate);
      till.sell();
      hub.publish([
        price(`sku-${published % 7}`, String(++published)),
        price("clash", String(++published), "only-one"),
        price("other", "0", "only-one"),
      ]);
      await until(() => fate.crashed, { what: `call ${at}` });
      await agent?.stop.end(() => undefined); // what is dead cannot write its last status
    }
    await using _agent = await startAgent(dir, hub);
    await until(() => hub.applied.some(({ through }) => through === hub.updates.at(-1)?.id));
    await until(() => hub.table("price_log").size === published && hub.table("sale").size === till.sold, {
      what: "all rows at the hub",
    });
    expect(hub.table("sale")).toEqual(till.rows("sale", ["id"]));
    expect(hub.table("sale_line")).toEqual(till.rows("sale_line", ["sale_id", "no"]));
    expect(hub.table("price_log")).toEqual(till.rows("price_log", ["id"]));
    // In order and once each: the application's own trigger saw them.
    expect(log()).toEqual(Array.from({ length: published }, (_, i) => String(i + 1)));
    const refused = new Set(hub.applied.flatMap((report) => report.refused.map(({ id }) => String(id))));
    expect(refused).toContain(String(hub.updates.at(-1)?.id));
    // One lane: no crash was mistaken for a restore; its numbers have no gap.
    expect(hub.lanes).toHaveLength(1);
    expect([...new Set(hub.lanes[0]?.lines.map(({ seq }) => seq))]).toEqual(
      Array.from({ length: hub.received }, (_, i) => i + 1),
    );
  },
  60_000,
);
