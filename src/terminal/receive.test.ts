import { describe, expect, test } from "vitest";
import type { Change } from "../message/change.ts";
import { FakeHub } from "../../test/kit/fake-hub.ts";
import { tempDir, type TempDir } from "../../test/kit/temp-dir.ts";
import { startAgent, Till } from "../../test/kit/till.ts";
import { until } from "../../test/kit/until.ts";

const price = (sku: string, value: string | null, more: Partial<Change> = {}): Change =>
  value === null
    ? { table: "price", op: "delete", key: { sku }, ...more }
    : { table: "price", op: "upsert", key: { sku }, row: { sku, price: value, class: null }, ...more };

async function scene(): Promise<AsyncDisposable & { dir: TempDir; hub: FakeHub; till: Till }> {
  const dir = tempDir();
  const till = new Till(dir.file("till.db"));
  const close = async (): Promise<void> => {
    till[Symbol.dispose]();
    await dir[Symbol.asyncDispose]();
  };
  return { dir, till, hub: new FakeHub({ sale: "up", price: "both" }), [Symbol.asyncDispose]: close };
}
const priceOf = (till: Till, sku: string): unknown =>
  till.db.prepare("select price from price where sku = ?").get(sku)?.["price"];

describe("the way down", () => {
  test("updates take effect in their order, are acknowledged, and are not captured back", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub);
    await until(async () => {
      const { loops, up } = await agent.terminal.status();
      return loops.capture.state === "running" && up.resyncing.length === 0;
    });
    s.hub.publish([price("A", "1.00"), price("B", "2.00")]);
    const last = s.hub.publish([price("A", "1.10"), price("B", null)]);
    await until(() => s.hub.applied.some(({ through }) => through === last));
    expect(s.till.rows("price", ["sku"])).toEqual(new Map([['{"sku":"A"}', { sku: "A", price: "1.10", class: null }]]));
    s.till.sell();
    await until(() => s.hub.table("sale").size === 1);
    expect(s.hub.table("price").size).toBe(0); // the echo
    expect((await agent.terminal.status()).down).toMatchObject({ appliedThrough: last, stale: 0 });
  });

  test("a change made here is sent, though the same table comes down", async () => {
    await using s = await scene();
    await using _agent = await startAgent(s.dir, s.hub);
    s.hub.publish([price("A", "1.00")]);
    await until(() => priceOf(s.till, "A") === "1.00");
    s.till.db.exec("update price set price = '0.90' where sku = 'A'");
    await until(() => s.hub.table("price").get('{"sku":"A"}')?.["price"] === "0.90");
  });

  test("what the application's own trigger writes while an update is applied is captured", async () => {
    await using s = await scene();
    s.hub.tables = { price: "down", price_log: "up" };
    s.till.db.exec(`create table price_log (id integer primary key, sku text, price text);
      create trigger log_price after insert on price begin insert into price_log (sku, price) values (new.sku, new.price); end`);
    await using _agent = await startAgent(s.dir, s.hub);
    s.hub.publish([price("A", "1.00"), price("B", "2.00")]);
    await until(() => s.hub.table("price_log").size === 2);
    expect([...s.hub.table("price_log").values()].map((row) => row["sku"])).toEqual(["A", "B"]);
  });

  test("a refused row holds nothing up, is reported once, and a later update of it puts it right", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub);
    const clash = (sku: string): Change => ({
      table: "price",
      op: "upsert",
      key: { sku },
      row: { sku, price: "5.00", class: "top" },
    });
    s.hub.publish([clash("A")]);
    const second = s.hub.publish([clash("B"), price("C", "3.00")]);
    const report = await until(() => s.hub.applied.find(({ refused }) => refused.length > 0));
    expect(report.refused).toMatchObject([{ id: String(second), code: "UNIQUE_VIOLATED" }]);
    expect(priceOf(s.till, "C")).toBe("3.00");
    expect(priceOf(s.till, "B")).toBeUndefined();
    await until(async () => (await agent.terminal.status()).down.staleRows[0]?.reported === true);
    const last = s.hub.publish([price("B", "4.00")]);
    await until(() => s.hub.applied.some(({ through }) => through === last));
    expect((await agent.terminal.status()).down.stale).toBe(0);
    expect(s.hub.applied.flatMap(({ refused }) => refused)).toHaveLength(1);
    await agent[Symbol.asyncDispose]();
    await using again = await startAgent(s.dir, s.hub);
    expect((await again.terminal.status()).down.stale).toBe(0);
  });

  test("a row that changes its key moves, comes when it was not here, and gives way to the one it becomes", async () => {
    await using s = await scene();
    await using _agent = await startAgent(s.dir, s.hub);
    const move = (from: string, to: string): Change => ({
      table: "price",
      op: "update",
      key: { sku: from },
      row: { sku: to, price: `was ${from}`, class: null },
    });
    s.hub.publish([price("A", "1.00"), price("C", "3.00"), price("D", "4.00")]);
    const last = s.hub.publish([move("A", "A2"), move("absent", "B2"), move("C", "D")]);
    await until(() => s.hub.applied.some(({ through }) => through === last));
    const rows = [...s.till.rows("price", ["sku"]).values()].map((row) => [row["sku"], row["price"]]);
    expect(rows).toEqual([
      ["A2", "was A"],
      ["B2", "was absent"],
      ["D", "was C"],
    ]);
  });

  test("a table that the terminal's own list does not name is never written, and the hub is told once", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub, { config: { tables: ["sale"] } });
    s.hub.publish([price("A", "1.00"), price("B", "1.00")]);
    const report = await until(() => s.hub.applied.find(({ refused }) => refused.length > 0));
    expect(report.refused).toMatchObject([{ code: "TABLE_UNKNOWN" }]);
    expect(priceOf(s.till, "A")).toBeUndefined();
    expect((await agent.terminal.status()).down.stale).toBe(1);
  });

  test("I9, I11: what comes from a hub of another history is applied, whatever was seen before under the same ids and numbers", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub);
    s.hub.strand = "before";
    s.hub.publish([price("A", "1.00")], "central/E/7");
    s.hub.publish([price("B", "1.00")], "central/E/8");
    const seen = s.hub.publish([price("C", "1.00")], "central/E/9");
    await until(() => s.hub.applied.some(({ through }) => through === seen));
    s.hub.updates.splice(1);
    s.hub.strand = "after";
    s.hub.publish([price("A", "2.00")], "central/E/8");
    await until(async () => (await agent.terminal.status()).down.appliedThrough < seen);
    s.hub.publish([price("A", "3.00")], "central/E/9"); // the id and number that C had
    await until(() => priceOf(s.till, "A") === "3.00");
    expect(priceOf(s.till, "C")).toBe("1.00");
  });

  test("answers without anything for us cause no write", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub, { config: { waitSeconds: 0 } });
    s.hub.publish([]);
    await until(() => s.hub.calls.filter(({ path }) => path === "/v1/updates").length > 20);
    const version = (): unknown => s.till.db.prepare("pragma data_version").get()?.["data_version"];
    const before = version();
    const calls = s.hub.calls.length;
    await until(() => s.hub.calls.length > calls + 50);
    expect(version()).toBe(before);
    expect((await agent.terminal.status()).down.appliedThrough).toBe(0);
  });
});
