import { chainHex, chainNext, CHAIN_START } from "../src/message/chain.ts";
import { saleId } from "./shape.ts";
import type { EngineName } from "./stations.ts";

/**
 * Sales for a centre that demands more than a till knows of: five constraints, and messages that break each of them in a fixed
 * mix. A message is one sale with five lines; six of fifty are a payout too, on the table that has a trigger.
 */
export const ROWS = 6;
const EVERY = 10;
const CAUSES = ["type", "not null", "parent", "unique", "trigger"] as const;
type Cause = (typeof CAUSES)[number];
/** What the centre is expected to say of each. */
const FAULTS: Readonly<Record<Cause, string>> = {
  type: "TYPE_REFUSED",
  "not null": "NULL_REFUSED",
  parent: "PARENT_MISSING",
  unique: "UNIQUE_VIOLATED",
  trigger: "ROW_REFUSED",
};
/** A message of so many changes the sale before it; that one is poison each time, of all causes in turn. */
const FOLLOWS = 7 * EVERY;
const ARTICLES = 900;
const LIMIT = 1_000;

const isRefused = (n: number): boolean => n % EVERY === 0;
const causeOf = (n: number): Cause => CAUSES[(n / EVERY) % CAUSES.length] ?? "type";
/** Refused by the trigger are one of six: a table of which nothing goes through would be paused as a whole. */
const paysOut = (n: number): boolean => n % EVERY === 5 || (isRefused(n) && causeOf(n) === "trigger");
const follows = (n: number): boolean => n % FOLLOWS === 1 && n > 1;

/** @param options what the engine says after a table's columns */
export const stormSchema = (engine: EngineName, options: string): string => `
  create table article (sku text primary key, title text not null) ${options};
  insert into article select 'A-' || n, 'article ' || n from (${numbers(engine)}) as numbers;
  create table sale (
    sale_id text primary key, store_id text not null, receipt_no integer not null, sold_at text not null, total numeric(12, 2) not null,
    note text, unique (store_id, receipt_no)) ${options};
  create table sale_line (
    sale_id text not null references sale (sale_id), line_no integer not null, sku text not null references article (sku),
    qty integer not null, unit_price numeric(12, 2) not null, primary key (sale_id, line_no)) ${options};
  create table payout (payout_id text primary key, sale_id text not null references sale (sale_id), amount integer not null) ${options};
  ${trigger(engine)}`;

const numbers = (engine: EngineName): string =>
  engine === "sqlite"
    ? `with recursive upto (n) as (select 1 union all select n + 1 from upto where n < ${ARTICLES}) select n from upto`
    : `select n from generate_series(1, ${ARTICLES}) as n`;

const trigger = (engine: EngineName): string =>
  engine === "sqlite"
    ? `create trigger payout_limit before insert on payout when new.amount > ${LIMIT}
       begin select raise(abort, 'a payout above the limit'); end;`
    : `create function payout_limit() returns trigger language plpgsql as $$
       begin if new.amount > ${LIMIT} then raise 'a payout above the limit'; end if; return new; end $$;
       create trigger payout_limit before insert on payout for each row execute function payout_limit();`;

export const STORM_TABLES = {
  sale: { direction: "up", owner: { column: "store_id", is: "terminal" } },
  sale_line: { direction: "up" },
  payout: { direction: "up" },
} as const;

/** The n-th message of a terminal, from 1. */
function line(terminal: string, n: number, poisoned: boolean): Buffer {
  const cause = poisoned && isRefused(n) ? causeOf(n) : null;
  const sale_id = saleId(terminal, n);
  const sale = {
    sale_id,
    store_id: terminal,
    receipt_no: cause === "unique" ? n - 1 : n,
    sold_at: cause === "not null" ? null : "2026-11-23T09:14:07.123Z",
    total: cause === "type" ? "a lot" : `${10 + (n % 90)}.50`,
    note: null,
  };
  const lines = Array.from({ length: ROWS - 1 }, (_, i) => ({
    sale_id,
    line_no: i + 1,
    sku: cause === "parent" && i === 2 ? "none such" : `A-${1 + ((n * 7 + i) % ARTICLES)}`,
    qty: 1 + (i % 3),
    unit_price: `${2 + i}.55`,
  }));
  const changes: unknown[] = [
    { table: "sale", op: "insert", key: { sale_id }, row: sale },
    ...lines.map((row) => ({ table: "sale_line", op: "insert", key: { sale_id, line_no: row.line_no }, row })),
  ];
  if (paysOut(n)) {
    const row = { payout_id: sale_id, sale_id, amount: cause === "trigger" ? 2 * LIMIT : 10 };
    changes.push({ table: "payout", op: "insert", key: { payout_id: sale_id }, row });
  }
  if (follows(n)) {
    const key = { sale_id: saleId(terminal, n - 1) };
    changes.push({ table: "sale", op: "update", key, before: { ...key, note: null }, row: { ...key, note: "late" } });
  }
  return Buffer.from(JSON.stringify({ seq: n, at: "2026-11-23T09:14:07.123Z", changes }));
}

/** Request bodies of `perRequest` messages each. */
export function stormBodies(terminal: string, messages: number, perRequest: number, poisoned: boolean): Buffer[] {
  const made: Buffer[] = [];
  let chain: Uint8Array = CHAIN_START;
  for (let after = 0; after < messages; after += perRequest) {
    const head = { epoch: "e1", stream: "main", after, chain: chainHex(chain) };
    const pieces: Uint8Array[] = [Buffer.from(`${JSON.stringify(head)}\n`)];
    for (let n = after + 1; n <= Math.min(messages, after + perRequest); n++) {
      const bytes = line(terminal, n, poisoned);
      chain = chainNext(chain, bytes);
      pieces.push(bytes, Buffer.from("\n"));
    }
    made.push(Buffer.concat(pieces));
  }
  return made;
}

/** What the centre must have passed over of each lane in the end, and nothing else: `10 dead NULL_REFUSED`, `71 held`. */
export const expected = (messages: number): readonly string[] =>
  Array.from({ length: messages }, (_, i) => i + 1).flatMap((n) => {
    if (isRefused(n)) return [`${n} dead ${FAULTS[causeOf(n)]}`];
    return follows(n) ? [`${n} held`] : [];
  });
export const healthy = (messages: number): number => messages - expected(messages).length;

/** The highest message of a lane that nothing keeps from being loaded. */
export function lastHealthy(messages: number): number {
  let n = messages;
  while (isRefused(n) || follows(n)) n--;
  return n;
}
