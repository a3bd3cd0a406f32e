import { expect, test } from "vitest";
import { describeWith } from "../../../../test/kit/needs.ts";
import { epoch, seq } from "../../../base/ids.ts";
import type { Change, Message, Row } from "../../../message/change.ts";
import { stationOn, type PostgresStation } from "../station.test-kit.ts";
import { SHOP_ROWS, SHOP_TABLES, SHOP_TRIGGERS, TABLES, torture } from "./torture.test-kit.ts";

const LIMITS = { partBytes: 64 * 1024, valueBytes: 1_000_000, lockMs: 100 };
/** Transactions of each writer; more for a long run. */
const EACH = Number(process.env["WAYBILL_TORTURE"] ?? 20);

/** What a receiver has that does exactly what it is told, and everything it was told that cannot be. */
class Replica {
  readonly tables = new Map(TABLES.map((table) => [table, new Map<string, Row>()]));
  readonly wrong: string[] = [];

  apply({ table, op, key, row, before }: Change): void {
    const rows = this.tables.get(table) as Map<string, Row>;
    const id = keyOf(table, key);
    const now = rows.get(id);
    if ((op === "insert") === (now !== undefined) && op !== "upsert") this.wrong.push(`${op} of ${table} ${id}`);
    if (before && JSON.stringify(before) !== JSON.stringify(now)) this.wrong.push(`${op} of ${table} ${id}: before`);
    if (op === "upsert" && now && JSON.stringify(row) !== JSON.stringify(now))
      this.wrong.push(`old page of ${table} ${id}`);
    rows.delete(id);
    if (row) rows.set(keyOf(table, row), row);
  }
  /** A reader between two messages looks here. */
  checkTotals(): void {
    const sums = new Map<unknown, number>();
    for (const line of this.tables.get("line")?.values() ?? [])
      sums.set(line["header_id"], (sums.get(line["header_id"]) ?? 0) + Number(line["qty"]));
    for (const header of this.tables.get("header")?.values() ?? [])
      if (header["total"] !== (sums.get(header["id"]) ?? 0))
        this.wrong.push(`header ${String(header["id"])} is not whole`);
    const audited = [...(this.tables.get("audit")?.values() ?? [])];
    const stamps = [...(this.tables.get("header")?.values() ?? [])].map((header) => Number(header["stamp"]));
    if (audited.length !== stamps.reduce((sum, one) => sum + one, 0)) this.wrong.push("a stamp without its audit");
  }
}
const keyOf = (table: string, row: Row): string =>
  table === "line" ? `${String(row["id"])}/${String(row["bucket"])}` : String(row["id"]);

async function start(open: ReturnType<typeof stationOn>): Promise<{ station: PostgresStation; replica: Replica }> {
  const station = await open(SHOP_TABLES + SHOP_ROWS + SHOP_TRIGGERS);
  const { capture, read } = station.database;
  expect((await capture.install({ role: "terminal", tables: TABLES, quietGapMs: 1_000 })).made).toEqual(TABLES);
  await capture.beginEpoch(epoch("e1"), null);
  const replica = new Replica();
  for (const table of TABLES)
    for (const row of await read.page(table, null, 1_000)) replica.tables.get(table)?.set(keyOf(table, row), row);
  return { station, replica };
}

const sorted = (rows: Iterable<[string, Row]>): [string, Row][] => [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1));

async function expectSame({ database: { read } }: PostgresStation, replica: Replica): Promise<void> {
  for (const table of TABLES) {
    const rows = new Map<string, Row>();
    for (let after: Row | null = null; ;) {
      const page: readonly Row[] = await read.page(table, after, 1_000);
      for (const row of page) rows.set(keyOf(table, row), row);
      const last = page.at(-1);
      if (last === undefined) break;
      after = last;
    }
    expect(sorted(replica.tables.get(table) ?? [])).toEqual(sorted(rows));
  }
}

describeWith("postgres", "capture under fifty writers", (server) => {
  const open = stationOn(server);

  test("every transaction arrives whole, and every row's changes in their order, with pages of a resync between them", async () => {
    const { station, replica } = await start(open);
    await using _ = station;
    const { capture } = station.database;
    let writing = true;
    const writers = torture(station.url, EACH).finally(() => {
      writing = false;
    });
    let read = seq(0);
    let parts: Change[] = [];
    let messages = 0;
    for (let round = 0; ; round++) {
      const last = !writing;
      if (round % 5 === 0) await capture.resync(TABLES[(round / 5) % TABLES.length] ?? "line", null);
      // Behind fifty writers it may wait too long for its rows' locks; then its page comes another time.
      await capture.resyncStep(7).catch((thrown: unknown) => expect(thrown).toMatchObject({ code: "DATABASE_BUSY" }));
      while ((await capture.pack(LIMITS)).more);
      for (let place = { seq: read, part: 0 }; ;) {
        const lines = await capture.lines(place, 1_000_000);
        const end = lines.at(-1);
        if (end === undefined) break;
        for (const line of lines) {
          parts.push(...(JSON.parse(new TextDecoder().decode(line.bytes)) as Message).changes);
          if (line.more) continue;
          for (const change of parts) replica.apply(change);
          replica.checkTotals();
          parts = [];
          messages++;
        }
        place = { seq: end.seq, part: end.part };
        read = end.seq;
      }
      await capture.acknowledge({ epoch: epoch("e1"), receivedThrough: read, loadedThrough: read });
      await capture.flush({ keep: 100, since: null });
      if (last) break;
    }
    const commits = await writers;
    expect(replica.wrong).toEqual([]);
    expect(commits).toBeGreaterThan(EACH * 30);
    expect(messages).toBeGreaterThan(commits / 3);
    await expectSame(station, replica);
  }, 180_000);

  test("the control: by the lowest id of each transaction the order is wrong, by the highest it is right", async () => {
    const { station, replica } = await start(open);
    await using _ = station;
    // What packing would make of the same outbox if it went by the lowest id.
    let wrong: readonly string[] = [];
    for (let round = 0; wrong.length === 0; round++) {
      expect(round, "rounds in which the lowest id did no harm").toBeLessThan(10);
      await torture(station.url, 10);
      const lowest = new Replica();
      for (const [table, rows] of replica.tables) for (const [id, row] of rows) lowest.tables.get(table)?.set(id, row);
      for (const change of await byLowestId(station)) lowest.apply(change);
      wrong = lowest.wrong;
    }
    const { capture } = station.database;
    while ((await capture.pack(LIMITS)).more);
    for (const line of await capture.lines({ seq: seq(0), part: 0 }, Number.MAX_SAFE_INTEGER))
      for (const change of (JSON.parse(new TextDecoder().decode(line.bytes)) as Message).changes) replica.apply(change);
    expect(replica.wrong).toEqual([]);
    await expectSame(station, replica);
  }, 180_000);
});

async function byLowestId(station: PostgresStation): Promise<readonly Change[]> {
  const rows = await station.rows(`
    select l.tbl, o.op, array_to_json(o.old), array_to_json(o.new), l.shape
    from waybill_outbox o join waybill_layout l on l.id = o.layout
    order by min(o.id) over (partition by o.xid), o.id`);
  return rows.map(([table, op, old, now, shape]): Change => {
    const { columns, key } = JSON.parse(shape ?? "") as { columns: [string, string][]; key: string[] };
    const rowOf = (json: string): Row =>
      Object.fromEntries(columns.map(([name], i) => [name, Number((JSON.parse(json) as string[])[i])]));
    const before = old ? rowOf(old) : undefined;
    const row = now ? rowOf(now) : undefined;
    const of = before ?? row ?? {};
    return {
      table: table ?? "",
      op: op as Change["op"],
      key: Object.fromEntries(key.map((name) => [name, of[name] ?? null])),
      ...(before && { before }),
      ...(row && { row }),
    };
  });
}
