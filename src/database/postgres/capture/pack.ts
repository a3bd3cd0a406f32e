import type { Random } from "../../../base/runtime.ts";
import type { PackLimits } from "../../port.ts";
import { SNAPSHOT, type Connection, type TextRow } from "../connection.ts";
import { changeOf, keyJson, OUTBOX_COLUMNS, readRow } from "./encode.ts";
import { readLayouts } from "./layout.ts";
import { LineWriter } from "./lines.ts";
import { readPosition, storeLines, writePosition, type Position } from "./store.ts";

/**
 * Turns outbox rows into messages, one for each transaction of the application, in an order that is right for every row.
 *
 * *Nothing is skipped.* A row leaves the outbox only in the transaction that stores its message. What a snapshot shows is
 * what was committed, of each transaction all or nothing; what commits later is found later, however low its ids are. `seen`
 * only keeps us from wading through rows that are dead but not yet vacuumed (an application that holds a snapshot open for
 * hours keeps them all): a row that the last snapshot did not show has a transaction id that was running then or not yet
 * given. Whenever that finds nothing, the outbox is looked at once without it.
 *
 * *Nothing changes places, as far as one row can tell.* Let T1 write a row and T2 write it after. T2's write waited for T1's
 * commit (the row's lock; for a key that was deleted or is born, the unique index's), and T2's trigger drew its id after that
 * write. So that id, and with it T2's highest, is above every id of T1; ids are drawn one at a time from one sequence. And a
 * snapshot that shows T2 shows T1. By the *lowest* id that is not so: T2 may have written elsewhere before T1 began.
 * The same holds for a child and the parent whose commit it had to wait for.
 */
export class Packer {
  readonly #connection: Connection;
  readonly #random: Random;

  constructor(connection: Connection, random: Random) {
    this.#connection = connection;
    this.#random = random;
  }

  /** Crash: all of it happened, or nothing. Memory: a few hundred outbox rows and the lines of a few parts at a time. */
  async run(limits: PackLimits, settle: (position: Position) => Position): Promise<Packed> {
    const nothing: Packed = { messages: 0, changes: 0, more: false };
    const [[waits] = []] = await this.#connection.query(`select ${WAITS}`);
    if (waits !== "t") return nothing; // a look that finds nothing neither writes nor locks
    return this.#connection.transaction(SNAPSHOT, async () => {
      const position = await readPosition(this.#connection, "update");
      if (position.epoch === null) return nothing;
      const [[snapshot, backwards] = []] = await this.#connection.query(
        "select pg_current_snapshot()::text, pg_snapshot_xmax($1::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot())",
        position.seen,
      );
      // Restored into a server that has given fewer transaction ids: `seen` tells nothing of them.
      const seen = backwards === "t" ? null : position.seen;
      const picked = (await this.#pick(seen)) ?? (seen === null ? null : await this.#pick(null));
      if (picked === null) return nothing;
      const writer = new LineWriter(
        { seq: position.packedThrough, chain: position.chain },
        limits.partBytes,
        this.#random,
      );
      const changes = await this.#write(position.epoch, writer, limits.valueBytes);
      await writePosition(
        this.#connection,
        settle({
          ...position,
          packedThrough: writer.seq,
          chain: writer.chain,
          seen: picked.all ? (snapshot ?? null) : position.seen,
        }),
      );
      return { messages: writer.seq - position.packedThrough, changes, more: !picked.all };
    });
  }

  /** Chooses whole transactions, in order, up to about STEP_ROWS rows, and opens the cursor `waybill_pack` over their rows. */
  async #pick(seen: string | null): Promise<{ readonly all: boolean } | null> {
    const fresh =
      seen === null
        ? "$1::text is null"
        : "(xid >= pg_snapshot_xmax($1::pg_snapshot) or xid = any (array(select pg_snapshot_xip($1::pg_snapshot))))";
    const rows = await this.#connection.query(
      `select xid::text, top, before > 0 and before + n > ${STEP_ROWS} from (
         select xid, max(id) as top, count(*) as n, sum(count(*)) over (order by max(id)) - count(*) as before
         from public.waybill_outbox where ${fresh} group by xid
       ) t order by top limit ${STEP_ROWS + 1}`,
      seen,
    );
    if (rows.length === 0) return null;
    const end = rows.findIndex(([, , beyond]) => beyond === "t");
    const chosen = end < 0 ? rows : rows.slice(0, end);
    await this.#connection.run("select set_config('waybill.pack', $1, true)", chosen.map(([xid]) => xid ?? "").join());
    await this.#connection.script(`declare waybill_pack no scroll cursor for
      select o.xid, ${OUTBOX_COLUMNS}
      from unnest(string_to_array(current_setting('waybill.pack'), ',')::xid8[]) with ordinality as t (xid, place)
      join public.waybill_outbox o on o.xid = t.xid order by t.place, o.id`);
    return { all: end < 0 };
  }

  async #write(epoch: NonNullable<Position["epoch"]>, writer: LineWriter, valueBytes: number): Promise<number> {
    const layouts = await readLayouts(this.#connection);
    const refused = await this.#refused(valueBytes);
    let transaction: string | null = null;
    let changes = 0;
    // The server stores and fetches while the rows it gave before are written as lines: what is sent together travels together.
    const fetch = (): Promise<readonly TextRow[]> =>
      underway(this.#connection.query(`fetch ${FETCH_ROWS} from waybill_pack`));
    const store = (rows: readonly TextRow[]): Promise<unknown> => {
      const ids = rows.map(([, id]) => id ?? null);
      const stored = storeLines(this.#connection, epoch, writer.take());
      const sql = "delete from public.waybill_outbox where id = any($1::bigint[])";
      return underway(Promise.all([stored, this.#connection.run(sql, ids)]));
    };
    let stored: Promise<unknown> = Promise.resolve();
    let next = fetch();
    for (;;) {
      const rows = await next;
      if (rows.length === 0) break;
      next = fetch();
      for (const [xid, ...values] of rows) {
        if (xid !== transaction) {
          writer.end();
          transaction = xid ?? null;
          // Before the message of the changes around them, which so wait behind them.
          for (const id of refused.get(transaction ?? "") ?? []) {
            await this.#refuse(writer, id, layouts, valueBytes);
            changes++;
          }
        }
        const [id] = values;
        if (refused.get(transaction ?? "")?.has(id ?? "")) continue;
        const row = readRow(values, layouts);
        if (!row) continue;
        writer.add(changeOf(row), row.at, row.op === "upsert");
        changes++;
      }
      await stored;
      stored = store(rows);
    }
    await stored;
    writer.end();
    await storeLines(this.#connection, epoch, writer.take());
    await this.#connection.script("close waybill_pack");
    return changes;
  }

  /** Ids of rows with a value above the limit, by transaction. Only rows whose stored size allows it are opened. */
  async #refused(valueBytes: number): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
    const rows = await this.#connection.query(
      `select o.xid, o.id from public.waybill_outbox o
       where o.xid = any (string_to_array(current_setting('waybill.pack'), ',')::xid8[])
         and coalesce(pg_column_size(o.old), 0) + coalesce(pg_column_size(o.new), 0) > $1
         and exists (select from unnest(o.old || o.new) as v where octet_length(v) > $2)
       order by o.id`,
      Math.floor(valueBytes / BEST_COMPRESSION),
      valueBytes,
    );
    const byTransaction = Map.groupBy(rows, ([xid]) => xid ?? "");
    return new Map([...byTransaction].map(([xid, of]) => [xid, new Set(of.map(([, id]) => id ?? ""))]));
  }

  async #refuse(
    writer: LineWriter,
    id: string,
    layouts: Parameters<typeof readRow>[1],
    valueBytes: number,
  ): Promise<void> {
    const [values] = await this.#connection.query(
      `select ${OUTBOX_COLUMNS} from public.waybill_outbox o where o.id = $1`,
      id,
    );
    const row = values && readRow(values, layouts);
    if (!row) return;
    const key = keyJson(row);
    // A key of that size cannot be carried either; the message then names the table alone.
    writer.refuse(JSON.stringify(row.layout.table), Buffer.byteLength(key) > valueBytes ? "{}" : key, row.at);
  }
}

/** Its failure is told when it is waited for, however much later. */
function underway<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

export type Packed = { readonly messages: number; readonly changes: number; readonly more: boolean };

/**
 * SQL: does the outbox show a row that is not packed? All such have a transaction id from `seen` on, so that the index leads
 * past the rows that are dead; unless the server counts its transactions anew.
 */
export const WAITS = `exists (select from public.waybill_outbox where xid >= coalesce(
  (select pg_snapshot_xmin(seen) from public.waybill_capture
   where pg_snapshot_xmax(seen) <= pg_snapshot_xmax(pg_current_snapshot())), '0'::xid8))`;

/** One transaction of ours packs so many rows, or one of the application's, whatever its size. */
const STEP_ROWS = 20_000;
const FETCH_ROWS = 500;
/** What the server's compression makes of a value at the very best: one byte of this many. */
const BEST_COMPRESSION = 300;
