import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import type { Change, Row } from "../../src/message/change.ts";
import { TestLane } from "../kit/api.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { Chain, type ChainShape } from "./chain.ts";

/**
 * One lane of 1,000 messages over the wire; one of them is refused. Who waits is told by DESIGN §4.6 and worked out here
 * once more, by a model that knows nothing but these four tables.
 */
const MESSAGES = 1_000;
const POISON = 300;
const TILL = "t1";
/** A hub that has just been started expects work of many lanes: 16, 16, 31, 62, 125, 250 and 500 messages of the only one. */
const MOST_CLAIMS = 7;

const TABLES = `
  create table store (store_id text primary key) without rowid;
  create table item (sku text primary key, name text not null) without rowid;
  create table sale (sale_id text primary key, store_id text not null references store (store_id), receipt text not null unique, note text) without rowid;
  create table sale_line (sale_id text not null references sale (sale_id), line_no integer not null, sku text not null references item (sku),
    qty integer not null check (qty <> 0), primary key (sale_id, line_no)) without rowid;
  create table stock (sku text primary key references item (sku), on_hand integer not null) without rowid;`;
const ITEMS = Array.from({ length: 12 }, (_, i) => `A-${i + 1}`);
const SHAPE: ChainShape = {
  till: TABLES,
  central: `${TABLES} insert into store values ('S1');
    ${ITEMS.map((sku) => `insert into item values ('${sku}', 'item'); insert into stock values ('${sku}', 100000);`).join("\n")}`,
  config: {
    tables: {
      item: { direction: "up" },
      sale: { direction: "up" },
      sale_line: { direction: "up" },
      stock: { direction: "up", conflict: { add: ["on_hand"] } },
    },
    processor: { messagesPerLane: MESSAGES, kibPerLane: 8_192, leaseMs: 30_000, pollMs: 100 },
  },
};

// ── what the till sends ────────────────────────────────────────────────────────────────────────────────────────────

const insert = (table: string, key: Row, rest: Row): Change => ({ table, op: "insert", key, row: { ...key, ...rest } });
const sale = (n: number | string, receipt = `R-${n}`): Change =>
  insert("sale", { sale_id: `S-${n}` }, { store_id: "S1", receipt, note: null });
const line = (n: number | string, lineNo: number, sku: string, qty: number): Change =>
  insert("sale_line", { sale_id: `S-${n}`, line_no: lineNo }, { sku, qty });
const note = (n: number | string, before: string | null, text: string): Change => {
  const row = (note: string | null): Row => ({ sale_id: `S-${n}`, store_id: "S1", receipt: `R-${n}`, note });
  return { table: "sale", op: "update", key: { sale_id: `S-${n}` }, before: row(before), row: row(text) };
};
/** The till's own count of the shelf does not matter at the centre: only the difference does. */
const take = (sku: string, qty: number): Change => ({
  table: "stock",
  op: "update",
  key: { sku },
  before: { sku, on_hand: 500 },
  row: { sku, on_hand: 500 - qty },
});
const gone = (table: string, row: Row, key: Row): Change => ({ table, op: "delete", key, before: row });

const skuOf = (n: number): string => ITEMS[n % 10] ?? "A-1"; // A-11 is for what deletes, A-12 stays as it is
const plain = (n: number): Change[] => [sale(n), line(n, 1, skuOf(n), 1 + (n % 3)), take(skuOf(n), 1 + (n % 3))];

/** All that may follow a refused sale, spread over the lane: by these numbers behind it (and as many innocents). */
function changesOf(n: number): Change[] {
  const poison = (qty: number): Change[] => [
    sale(POISON),
    line(POISON, 1, "A-1", qty),
    line(POISON, 2, "A-11", 2),
    take("A-1", 1),
  ];
  if (n === POISON) return poison(0);
  switch (n - POISON) {
    case 5: // changes the row that the poison makes
      return [note(POISON, null, "voided"), take("A-2", 1)];
    case 10: // a child of the row that the poison makes
      return [line(POISON, 3, "A-3", 1)];
    case 20: // behind the one at 5: it puts a sale of its own into the same message as the note
      return [...plain(n), note(POISON, "voided", "voided twice")];
    case 40: // behind the one at 20 only
      return [note(n - 20, null, "gift")];
    case 41: // a child of the sale made at 20
      return [line(n - 21, 9, "A-4", 2)];
    case 60: // takes the poison's receipt number: a unique value
      return [sale(n, `R-${POISON}`)];
    case 80: // deletes an item that the poison's line names
      return [
        gone("stock", { sku: "A-11", on_hand: 500 }, { sku: "A-11" }),
        gone("item", { sku: "A-11", name: "item" }, { sku: "A-11" }),
      ];
    case 81: // behind the one at 80: makes the item anew
      return [insert("item", { sku: "A-11" }, { name: "item, second edition" })];
    case 82: // sums of the poison's stock row: these never wait
      return [take("A-1", 7), take("A-1", 2)];
    case 83: // names the same items and store only
      return [sale(n), line(n, 1, "A-1", 4)];
    case 84: // an item of its own, deleted again by the next
      return [insert("item", { sku: "A-99" }, { name: "brief" })];
    case 85:
      return [gone("item", { sku: "A-99", name: "brief" }, { sku: "A-99" })];
    default:
      return plain(n);
  }
}
/** As it should have been; it also gives up the receipt number and the item that others claimed meanwhile. */
const MENDED = [sale(POISON, "R-mended"), line(POISON, 1, "A-1", 5), line(POISON, 2, "A-2", 2), take("A-1", 5)];
const textOf = (n: number, changes: readonly Change[]): string =>
  JSON.stringify({ seq: n, at: "2026-11-23T09:14:07Z", changes });

// ── the model ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** W, with sums apart; C, D and R of one message, as texts `table:value`. */
type Sets = Readonly<Record<"writes" | "sums" | "creates" | "deletes" | "names", Set<string>>>;
const KEYS: Readonly<Record<string, readonly string[]>> = {
  item: ["sku"],
  sale: ["sale_id"],
  sale_line: ["sale_id", "line_no"],
  stock: ["sku"],
};
const PARENTS: Readonly<Record<string, readonly (readonly [column: string, table: string])[]>> = {
  sale: [["store_id", "store"]],
  sale_line: [
    ["sale_id", "sale"],
    ["sku", "item"],
  ],
  stock: [["sku", "item"]],
};

function setsOf(changes: readonly Change[]): Sets {
  const sets: Sets = { writes: new Set(), sums: new Set(), creates: new Set(), deletes: new Set(), names: new Set() };
  for (const { table, op, key, row, before } of changes) {
    const at = `${table}:${(KEYS[table] ?? []).map((column) => String(key[column])).join("/")}`;
    (table === "stock" && op === "update" ? sets.sums : sets.writes).add(at);
    if (op === "insert") sets.creates.add(at);
    if (op === "delete") sets.deletes.add(at);
    for (const seen of [row, before]) {
      if (!seen) continue;
      if (table === "sale") sets.writes.add(`receipt:${String(seen["receipt"])}`);
      for (const [column, parent] of PARENTS[table] ?? []) sets.names.add(`${parent}:${String(seen[column])}`);
    }
  }
  return sets;
}
const meet = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean => !a.isDisjointFrom(b);

/** Who waits, and behind whom: the poison, or others that wait. */
function waitsByTheRules(messages: readonly (readonly Change[])[]): Map<number, readonly number[]> {
  const open = new Map([[POISON, setsOf(messages[POISON - 1] ?? [])]]);
  const waits = new Map<number, readonly number[]>();
  for (let n = POISON + 1; n <= MESSAGES; n++) {
    const m = setsOf(messages[n - 1] ?? []);
    const behind = [...open].filter(
      ([, x]) =>
        meet(m.writes, x.writes) ||
        meet(m.writes, x.sums) ||
        meet(m.sums, x.writes) ||
        meet(m.deletes, x.names) ||
        meet(m.names, x.creates), // no other message makes these rows, so whoever names them misses its parent
    );
    if (behind.length === 0) continue;
    waits.set(
      n,
      behind.map(([x]) => x),
    );
    open.set(n, m);
  }
  return waits;
}

/** The four tables after these messages, one after the other; sums as differences. */
function tablesAfter(messages: readonly (readonly Change[])[]): Record<string, Row[]> {
  using db = new DatabaseSync(":memory:");
  db.exec(SHAPE.central);
  for (const change of messages.flat()) {
    const { table, op, key, row, before } = change;
    const where = Object.keys(key)
      .map((column) => `${column} = ?`)
      .join(" and ");
    const keys = Object.values(key) as (string | number)[];
    const values = Object.values(row ?? {}) as (string | number | null)[];
    if (op === "delete") db.prepare(`delete from ${table} where ${where}`).run(...keys);
    else if (op === "insert")
      db.prepare(`insert into ${table} values (${values.map(() => "?").join(", ")})`).run(...values);
    else if (table === "stock") {
      const moved = Number(row?.["on_hand"]) - Number(before?.["on_hand"]);
      db.prepare(`update stock set on_hand = on_hand + ? where ${where}`).run(moved, ...keys);
    } else db.prepare(`update sale set note = ? where ${where}`).run(String(row?.["note"]), ...keys);
  }
  return contents((sql) => db.prepare(sql).all() as Row[]);
}
const contents = (all: (sql: string) => Row[]): Record<string, Row[]> =>
  Object.fromEntries(Object.keys(KEYS).map((table) => [table, all(`select * from ${table} order by 1, 2`)]));

// ── the story ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Exception = {
  readonly seq: number;
  readonly state: string;
  readonly fault: string | null;
  readonly holds: number;
};
type Event = { readonly kind: string; readonly at: string; readonly from: number; readonly through: number };
const numbersOf = ({ from, through }: Event): number[] =>
  Array.from({ length: through - from + 1 }, (_, i) => from + i);

test(
  "I6: of 1,000 messages one is refused; exactly those wait that need its rows; mended, all follow in order",
  {
    timeout: 60_000,
  },
  async ({ annotate }) => {
    await using dir = tempDir();
    const messages = Array.from({ length: MESSAGES }, (_, at) => changesOf(at + 1));
    const waits = waitsByTheRules(messages);
    const held = [...waits.keys()];
    expect(held.map((n) => n - POISON)).toEqual([5, 10, 20, 40, 41, 60, 80, 81]);

    const chain = await Chain.make(dir.path, 0, SHAPE);
    try {
      await chain.startHub();
      const key = await chain.enrolRaw(TILL);
      const lane = new TestLane("E1", MESSAGES, (n) => textOf(n, messages[n - 1] ?? []));
      expect(await chain.submit(key, lane.body(1, MESSAGES))).toMatchObject({
        receivedThrough: MESSAGES,
        duplicates: 0,
      });
      await chain.until("all others", async () => (await chain.overview()).backlog === 0);

      const exceptions = async (): Promise<readonly Exception[]> =>
        (await chain.operator<{ rows: readonly Exception[] }>("GET", "/api/exceptions?limit=1000")).rows;
      const open = await exceptions();
      expect(open.filter(({ state }) => state === "dead")).toMatchObject([
        { seq: POISON, fault: "CHECK_VIOLATED", holds: held.length },
      ]);
      expect(open.filter(({ state }) => state === "held").map(({ seq }) => seq)).toEqual(held);
      expect(open).toHaveLength(1 + held.length);
      // One pass: each central transaction that acted on the lane took messages further; none was loaded or judged twice.
      const { events: first } = await chain.operator<{ events: readonly Event[] }>("GET", "/api/events?limit=1000");
      const passes = first.filter(({ kind }) => kind === "loaded").toReversed();
      expect(passes.flatMap(numbersOf).toSorted((a, b) => a - b)).toEqual(
        messages.flatMap((_, at) => (at + 1 === POISON || held.includes(at + 1) ? [] : [at + 1])),
      );
      expect(chain.central("select loaded_through from waybill_lane")).toEqual([{ loaded_through: MESSAGES }]);
      const settled = new Set(passes.map(({ at }) => at)).size;
      expect(settled).toBeLessThanOrEqual(MOST_CLAIMS);
      const others = messages.filter((_, at) => at + 1 !== POISON && !held.includes(at + 1));
      expect(contents((sql) => chain.central(sql))).toEqual(tablesAfter(others));

      const requeued = await chain.operator<{ exception: Exception }>(
        "POST",
        `/api/exceptions/${TILL}/E1/${POISON}/requeue`,
        {
          reason: "the cashier forgot the quantity",
          payload: textOf(POISON, MENDED),
        },
      );
      expect(requeued.exception.state).not.toBe("dead");
      await chain.until("all that waited", () => chain.central("select * from waybill_passed").length === 0);
      await chain.until("an end of all exceptions", async () => (await chain.overview()).held === 0);
      const after = [...others, MENDED, ...held.map((n) => messages[n - 1] ?? [])];
      expect(contents((sql) => chain.central(sql))).toEqual(tablesAfter(after));
      const { events } = await chain.operator<{ events: readonly Event[] }>("GET", "/api/events?limit=1000");
      const late = events.filter(({ kind }) => kind === "loaded late").toReversed();
      const inOrder = late.flatMap(numbersOf);
      expect(inOrder.toSorted((a, b) => a - b)).toEqual([POISON, ...held]);
      for (const [m, behind] of waits)
        for (const x of behind) expect(inOrder.indexOf(m), `${m} after ${x}`).toBeGreaterThan(inOrder.indexOf(x));
      await annotate(
        `${MESSAGES - 1 - held.length} loaded in one pass (${settled} central transactions), ${held.length} held behind message ${POISON}`,
      );
    } finally {
      await chain.stop();
    }
  },
);
