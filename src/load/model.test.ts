import fc from "fast-check";
import { expect, test } from "vitest";
import type { LaneName } from "../base/ids.ts";
import type { Change, Row, WireValue } from "../message/change.ts";
import { Centre, Desk, lane, rules } from "./load.test-kit.ts";

/**
 * The loader against a reference that knows nothing of batches: tills with databases of their own make random transactions,
 * some of which the centre refuses; the reference takes them one by one, in order, with the words of "Who waits". However the
 * lanes are cut into batches, the centre must hold the same rows and the same messages must be held, dead and loaded.
 */
const DDL = `
  create table store (id text primary key, code text unique, name text not null);
  create table item (sku text primary key, qty integer not null);
  create table sale (id text primary key, store text not null references store (id), note text);
  create table line (id text primary key, sale text not null references sale (id) on delete restrict, sku text not null references item (sku));
  create table trap (id text primary key, check (id = 'never'));
  create table badge (id text primary key, number integer not null unique);
  create table guard (id text primary key);
  create trigger guarded before insert on guard begin select raise(abort, 'not here'); end;
  insert into badge values ('first', 7);
  insert into item values ('a', 0), ('b', 0);`;
const RULES = rules(
  {
    store: {},
    item: { conflict: { policy: "add", columns: ["qty"] } },
    sale: {},
    line: {},
    trap: {},
    badge: {},
    guard: {},
  },
  { retry: { attempts: 1, firstMs: 1, factor: 1, capMs: 1, jitter: 0, codes: null } },
);

type Table = "store" | "item" | "sale" | "line";
const KEYS: Record<Table, string> = { store: "id", item: "sku", sale: "id", line: "id" };
const PARENTS: Partial<Record<string, [column: string, table: Table][]>> = {
  sale: [["store", "store"]],
  line: [
    ["sale", "sale"],
    ["sku", "item"],
  ],
};
type Tables = Record<Table, Map<string, Record<string, WireValue>>>;
const emptyTables = (): Tables => ({
  store: new Map(),
  item: new Map([
    ["a", { sku: "a", qty: 0 }],
    ["b", { sku: "b", qty: 0 }],
  ]),
  sale: new Map(),
  line: new Map(),
});

/** A till: makes only changes its own database allows, so that whatever goes wrong at the centre goes wrong through poison. */
class Till {
  readonly tables = emptyTables();
  readonly #prefix: string;
  constructor(prefix: string) {
    this.#prefix = prefix;
  }
  /** One small change picked by three numbers; null when the database would not allow it. */
  act(verb: number, which: number, other: number): Change | null {
    const { store, sale, line, item } = this.tables;
    const [key, parent] = [`${this.#prefix}${which % 3}`, `${this.#prefix}${other % 3}`];
    const code = `${this.#prefix}c${other % 4}`;
    const codeTaken = [...store.values()].some((row) => row["code"] === code && row["id"] !== key);
    switch (verb % 11) {
      case 0:
        return store.has(key) || codeTaken ? null : this.#insert("store", { id: key, code, name: "new" });
      case 1:
        return !store.has(key) || codeTaken ? null : this.#update("store", key, { code, name: `name ${other}` });
      case 2:
        return !store.has(key) || [...sale.values()].some((row) => row["store"] === key)
          ? null
          : this.#delete("store", key);
      case 3:
        return sale.has(key) || !store.has(parent)
          ? null
          : this.#insert("sale", { id: key, store: parent, note: null });
      case 4:
        return !sale.has(key) || !store.has(parent)
          ? null
          : this.#update("sale", key, { store: parent, note: `note ${which}` });
      case 5:
        return !sale.has(key) || [...line.values()].some((row) => row["sale"] === key)
          ? null
          : this.#delete("sale", key);
      case 6:
        return line.has(key) || !sale.has(parent) ? null : this.#insert("line", { id: key, sale: parent, sku: "a" });
      case 7: {
        const row = sale.get(key); // as a resync sends it
        return row ? { table: "sale", op: "upsert", key: { id: key }, row } : null;
      }
      case 8:
        return line.has(key) && !line.has(parent) ? this.#move("line", key, parent) : null;
      case 9:
        return line.has(key) ? this.#delete("line", key) : null;
      default: {
        const sku = which % 2 ? "a" : "b";
        return this.#update("item", sku, { qty: Number(item.get(sku)?.["qty"]) - 1 - (other % 5) });
      }
    }
  }
  #insert(table: Table, row: Record<string, WireValue>): Change {
    const key = String(row[KEYS[table]]);
    this.tables[table].set(key, row);
    return { table, op: "insert", key: { [KEYS[table]]: key }, row };
  }
  #update(table: Table, key: string, more: Row): Change {
    const before = this.tables[table].get(key) ?? {};
    const row = { ...before, ...more };
    this.tables[table].set(key, row);
    return { table, op: "update", key: { [KEYS[table]]: key }, before, row };
  }
  #move(table: Table, key: string, to: string): Change {
    const change = this.#update(table, key, { [KEYS[table]]: to });
    this.tables[table].delete(key);
    this.tables[table].set(to, change.row ?? {});
    return change;
  }
  #delete(table: Table, key: string): Change {
    const before = this.tables[table].get(key) ?? {};
    this.tables[table].delete(key);
    return { table, op: "delete", key: { [KEYS[table]]: key }, before };
  }
}

type Sets = Record<"w" | "a" | "c" | "d" | "r" | "named", Set<string>>;
/** W, C, D, R of DESIGN §4.6 in the model's own words; `named`: parents that its new rows name. */
function setsOf(changes: readonly Change[]): Sets {
  const sets: Sets = { w: new Set(), a: new Set(), c: new Set(), d: new Set(), r: new Set(), named: new Set() };
  for (const { table, op, key, row, before } of changes) {
    const name = `${table}:${Object.values(key)[0]}`;
    (table === "item" && op === "update" ? sets.a : sets.w).add(name);
    for (const image of [row, before]) if (table === "store" && image?.["code"]) sets.w.add(`code:${image["code"]}`);
    if (table === "badge") sets.w.add(`number:${row?.["number"]}`);
    const after = `${table}:${row?.[KEYS[table as Table] ?? "id"]}`;
    const moved = op === "update" && after !== name;
    if (moved) sets.w.add(after);
    if (op === "insert" || op === "upsert" || moved) sets.c.add(after);
    if (op === "delete" || moved) sets.d.add(name);
    for (const [column, parent] of PARENTS[table] ?? []) {
      for (const image of [row, before]) if (image) sets.r.add(`${parent}:${image[column]}`);
      if (row) sets.named.add(`${parent}:${row[column]}`);
    }
  }
  return sets;
}
const meet = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean => [...a].some((text) => b.has(text));
const waits = (m: Sets, x: Sets): boolean =>
  meet(m.w, x.w) || meet(m.w, x.a) || meet(m.a, x.w) || meet(m.d, x.r) || meet(m.r, x.d);

/** `broken`: what is wrong with it shows before the database is asked. */
type Sent = { readonly changes: readonly Change[]; readonly poisoned: boolean; readonly broken: boolean };

/** One by one, in order. */
function reference(messages: readonly Sent[], centre: Tables): string[] {
  const open: Sets[] = [];
  return messages.map(({ changes, poisoned, broken }) => {
    const sets = setsOf(changes);
    const missing = [...sets.named].filter((name) => {
      const [table = "", key = ""] = name.split(":");
      return !centre[table as Table].has(key) && !sets.c.has(name);
    });
    const orphan = missing.some((name) => open.some((x) => x.c.has(name)));
    if (open.some((x) => waits(sets, x)) || (orphan && !poisoned)) {
      open.push(sets);
      return "held";
    }
    if (poisoned) {
      open.push(sets);
      return orphan && !broken ? "held" : "dead";
    }
    for (const change of changes) applyTo(centre, change);
    return "loaded";
  });
}
function applyTo(centre: Tables, { table, op, key, row, before }: Change): void {
  const rows = centre[table as Table];
  const name = String(Object.values(key)[0]);
  if (op === "delete") rows.delete(name);
  else if (table === "item")
    rows.set(name, {
      sku: name,
      qty: Number(rows.get(name)?.["qty"]) + Number(row?.["qty"]) - Number(before?.["qty"]),
    });
  else {
    const result = { ...rows.get(name), ...row };
    rows.delete(name);
    rows.set(String(result[KEYS[table as Table]]), result);
  }
}

/** What each kind of constraint of the centre refuses; the till that sends it has none of them. */
const POISON: readonly ((id: string) => Change)[] = [
  (id) => poison("trap", { id }),
  (id) => poison("store", { id, code: null, name: null }),
  (sku) => poison("item", { sku, qty: "many" }),
  (id) => poison("sale", { id, store: "nowhere", note: null }),
  (id) => poison("badge", { id, number: 7 }),
  (id) => poison("guard", { id }),
];
const poison = (table: string, row: Row): Change => ({
  ...{ table, op: "insert", row },
  key: Object.fromEntries(Object.entries(row).slice(0, 1)),
});
const steps = fc.array(fc.tuple(fc.nat(10), fc.nat(5), fc.nat(7)), { minLength: 1, maxLength: 5 });
const history = fc.array(fc.record({ steps, poison: fc.nat(2 * POISON.length) }), {
  minLength: 1,
  maxLength: 40,
});

/** More for a long run. */
const RUNS = Number(process.env["WAYBILL_RUNS"] ?? 60);

type History = { steps: [number, number, number][]; poison: number }[];
/** What once failed. A row that is there and that an exception would make again is no reason to wait for it. */
const FOUND: [History, History, number][] = [
  [
    [
      { steps: [[0, 2, 0]], poison: 6 },
      { steps: [[3, 2, 2]], poison: 6 },
      { steps: [[7, 2, 0]], poison: 0 },
      { steps: [[6, 0, 2]], poison: 3 },
    ],
    [{ steps: [[0, 0, 0]], poison: 0 }],
    1,
  ],
];

const rowsOf = (centre: Centre): unknown => ({
  store: centre.rows("select id, code, name from store order by id"),
  item: centre.rows("select sku, qty from item order by sku"),
  sale: centre.rows("select id, store, note from sale order by id"),
  line: centre.rows("select id, sale, sku from line order by id"),
});
const tablesOf = (...tables: readonly Tables[]): unknown => {
  const columns: Record<Table, string[]> = {
    store: ["id", "code", "name"],
    item: ["sku", "qty"],
    sale: ["id", "store", "note"],
    line: ["id", "sale", "sku"],
  };
  const rows = (name: Table): unknown[][] => {
    const all = tables
      .flatMap((of) => [...of[name].values()])
      .map((row) => columns[name].map((column) => row[column] ?? null));
    return all.toSorted((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
  };
  return { store: rows("store"), item: rows("item"), sale: rows("sale"), line: rows("line") };
};

test(
  "I3, I5, I6: however the lanes are cut into batches, the centre and every state are those of one message at a time",
  async () => {
    await fc.assert(
      fc.asyncProperty(history, history, fc.integer({ min: 1, max: 50 }), async (first, second, batch) => {
        await using centre = await Centre.open(DDL);
        const desk = new Desk(centre.database, RULES);
        const shared = emptyTables();
        const tills: [LaneName, string[], Sent[], Till][] = [];
        for (const [at, made] of [first, second].entries()) {
          const name = lane(`till-${at}`);
          const till = new Till(`${at}-`);
          const messages = made.flatMap(({ steps: acts, poison: kind }, n): Sent[] => {
            const changes = acts.flatMap((act) => till.act(...act) ?? []);
            const bad = POISON[kind]?.(`${at}-poison-${n}`);
            if (changes.length === 0) return [];
            return [
              {
                changes: bad ? [...changes, bad] : changes,
                poisoned: bad !== undefined,
                broken: kind === 1 || kind === 2,
              },
            ];
          });
          desk.receive(name, ...messages.map(({ changes }) => changes));
          tills.push([name, reference(messages, shared), messages, till]);
        }
        await desk.drain(batch);
        for (const [name, expected, messages] of tills) {
          const states = messages.map((_, n) => desk.lane(name).known.get(n + 1)?.state ?? "loaded");
          expect(states).toEqual(expected);
          expect(
            centre.rows("select number, state from waybill_passed where lane = '" + name + "' order by number"),
          ).toEqual(expected.flatMap((state, n) => (state === "loaded" ? [] : [[n + 1, state]])));
          expect(desk.lane(name).loaded).toBe(messages.length);
        }
        expect(rowsOf(centre)).toEqual(tablesOf(shared));

        // Everything dead is mended and requeued: at the end the centre has all that the tills have.
        for (const [name, , messages] of tills) {
          for (const [n, { changes, poisoned }] of messages.entries()) {
            if (!poisoned || !desk.lane(name).known.has(n + 1)) continue;
            await desk.drain(batch);
            expect(
              desk.lane(name).known.get(n + 1)?.state,
              "all before it are loaded, so it waits for nothing",
            ).not.toBe("held");
            desk.requeue(name, n + 1, changes.slice(0, -1));
            await desk.drain(batch);
          }
          expect(desk.exceptions(name)).toEqual([]);
        }
        expect(centre.passed()).toEqual([]);
        const [one, two] = tills.map(([, , , till]) => till.tables);
        if (!one || !two) return;
        for (const [sku, row] of one.item) row["qty"] = Number(row["qty"]) + Number(two.item.get(sku)?.["qty"]);
        two.item.clear();
        expect(rowsOf(centre)).toEqual(tablesOf(one, two));
      }),
      { numRuns: RUNS, examples: FOUND },
    );
  },
  1_000 * RUNS,
);
