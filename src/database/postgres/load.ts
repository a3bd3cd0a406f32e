import { isFaultCode, WaybillError } from "../../base/errors.ts";
import { seq, type LaneName, type Seq } from "../../base/ids.ts";
import type { Row } from "../../message/change.ts";
import type { Applied, Cursor, Effect, LaneMark, LaneMove, Load, LoadTransaction, Passed, Tried } from "../port.ts";
import { Applier } from "./apply.ts";
import { LOAD, type Connection } from "./connection.ts";
import { CURSOR_STRAND, CURSOR_TABLE, hasStrand, writeCursor } from "./cursor.ts";
import { hasOurs, type Catalog } from "./describe.ts";
import { faultOf, isServerError } from "./errors.ts";
import { namesIn } from "./refusals.ts";
import {
  boundValues,
  carried,
  columnwise,
  keyColumns,
  namedColumns,
  rowToWire,
  sameKey,
  sameValues,
  selectList,
  unnested,
} from "./rows.ts";
import { Unfit } from "./values.ts";

/** The loading half of the adapter. Any number of connections may load at once: each lane's row lets one through at a time. */
export function postgresLoad(connection: Connection, catalog: Catalog): Load {
  const applier = new Applier(connection, catalog);
  return {
    install: async () => {
      const present = await Promise.all(TABLES.map(({ name }) => hasOurs(connection, name)));
      if (present.every(Boolean) && (await hasStrand(connection))) return; // writes nothing when there is nothing to make, and needs no right to
      await connection.transaction(LOAD, async () => {
        await connection.script(INSTALLING);
        for (const { sql } of TABLES) await connection.script(sql);
        await connection.script(CURSOR_STRAND);
      });
    },
    marks: async (lanes) => {
      const known = new Map<string, { through: string | null; version: string | null }>();
      if (await hasOurs(connection, "waybill_lane")) {
        const sql = "select lane, loaded_through, version from public.waybill_lane where lane = any($1::text[])";
        for (const [lane, through, version] of await connection.query(sql, lanes))
          known.set(lane ?? "", { through: through ?? null, version: version ?? null });
      }
      return lanes.map((lane): LaneMark => {
        const mark = known.get(lane);
        return { lane, loadedThrough: seq(Number(mark?.through ?? 0)), version: Number(mark?.version ?? 0) };
      });
    },
    passed: async (lane) => {
      if (!(await hasOurs(connection, "waybill_passed"))) return [];
      const sql = "select number, state, fault, attempts from public.waybill_passed where lane = $1 order by number";
      const rows = await connection.query(sql, lane);
      return rows.map(([number, state, fault, attempts]) => ({
        lane,
        seq: seq(Number(number)),
        state: state as Passed["state"], // the table's check says the same
        fault: fault === null || fault === undefined ? null : isFaultCode(fault) ? fault : "INTERNAL",
        attempts: Number(attempts),
      }));
    },
    transaction: async (work, patience = 1) => {
      const tx = new PostgresTransaction(connection, catalog, applier);
      try {
        return await connection.transaction(`${LOAD}; ${connection.limits(patience)}`, async () => {
          const result = await work(tx);
          await tx.settled();
          await checkDeferred(connection);
          return result;
        });
      } finally {
        tx.end();
      }
    },
    rehearse: async (work) => {
      const tx = new PostgresTransaction(connection, catalog, applier);
      type Result = Awaited<ReturnType<typeof work>>;
      const rehearsed: Result[] = [];
      try {
        await connection.transaction(`${LOAD}; ${connection.limits(1)}`, async () => {
          rehearsed.push(await work(tx));
          await tx.settled();
          await checkDeferred(connection);
          throw CURTAIN;
        });
      } catch (thrown) {
        if (thrown !== CURTAIN) throw thrown;
      } finally {
        tx.end();
      }
      return rehearsed[0] as Result;
    },
  };
}

/** Two hubs that start together make the tables one after the other: IF NOT EXISTS alone can meet itself and fail. */
export const INSTALLING = "select pg_advisory_xact_lock(hashtext('waybill'), 1)";

/** Ends a rehearsal: what is thrown within a transaction rolls it back. */
const CURTAIN = new Error("the rehearsal is over");

const TABLES = [
  {
    name: "waybill_lane",
    // Written with every batch: room on the page for the new version, and vacuumed soon.
    sql: `create table if not exists public.waybill_lane (
      lane text not null primary key,
      loaded_through bigint not null check (loaded_through >= 0),
      version bigint not null check (version >= 1) -- moves with every act on the lane; the compare-and-set's word
    ) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500)`,
  },
  {
    name: "waybill_passed",
    sql: `create table if not exists public.waybill_passed (
      lane text not null,
      number bigint not null check (number >= 1),
      state text not null check (state in ('retrying', 'held', 'dead', 'discarded')),
      fault text,
      attempts integer not null check (attempts >= 0),
      primary key (lane, number))`,
  },
  { name: "waybill_cursor", sql: CURSOR_TABLE },
];

/**
 * A deferred constraint would be judged by COMMIT itself; here it is judged while the transaction still stands.
 * @throws the refusal, with what the server says of the row
 */
async function checkDeferred(connection: Connection): Promise<void> {
  try {
    await connection.raw("set constraints all immediate");
  } catch (thrown) {
    if (!isServerError(thrown)) throw thrown;
    throw new WaybillError(faultOf(thrown), `${thrown.table ?? "row"}: ${thrown.detail ?? thrown.message}`, {
      cause: thrown,
      facts: { discreet: `${thrown.table ?? "row"}: ${namesIn(thrown)}` },
    });
  }
}

class PostgresTransaction implements LoadTransaction {
  readonly #connection: Connection;
  readonly #catalog: Catalog;
  readonly #applier: Applier;
  #depth = 0;
  #lastEnd: Promise<void> = Promise.resolve();
  #failed: { readonly thrown: unknown } | null = null;
  #over = false;

  constructor(connection: Connection, catalog: Catalog, applier: Applier) {
    this.#connection = connection;
    this.#catalog = catalog;
    this.#applier = applier;
  }

  /**
   * Three statements that travel together. The rows that are there are locked in their order, and new ones are made in their
   * order after that. Another hub that moves one of the lanes is waited for; then its version decides, as it is after that hub's commit.
   */
  async moveLanes(to: readonly LaneMove[]): Promise<readonly boolean[]> {
    this.#alive();
    if (to.length === 0) return [];
    const columns = [
      to.map(({ lane }) => lane),
      to.map((mark) => mark.loadedThrough),
      to.map(({ version }) => version),
      to.map(({ nextVersion }) => nextVersion),
    ];
    const given = "unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) as v (lane, through, version, next)";
    const [, updated, inserted] = await Promise.all([
      this.#connection.query(
        "select from public.waybill_lane where lane = any($1::text[]) order by lane for update",
        to.map(({ lane }) => lane),
      ),
      this.#connection.query(
        `update public.waybill_lane as t set loaded_through = v.through, version = v.next from ${given}
         where t.lane = v.lane and t.version = v.version returning t.lane`,
        ...columns,
      ),
      this.#connection.query(
        `insert into public.waybill_lane (lane, loaded_through, version)
         select v.lane, v.through, v.next from ${given} where v.version = 0 order by v.lane
         on conflict (lane) do nothing returning lane`,
        ...columns,
      ),
    ]);
    const moved = new Set([...updated, ...inserted].map(([lane]) => lane));
    return to.map(({ lane }) => moved.has(lane));
  }

  async pass(rows: readonly Passed[]): Promise<void> {
    this.#alive();
    if (rows.length === 0) return;
    await this.#connection.run(
      `insert into public.waybill_passed (lane, number, state, fault, attempts)
       select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::int[])
       on conflict (lane, number) do update set state = excluded.state, fault = excluded.fault, attempts = excluded.attempts`,
      rows.map((row) => row.lane),
      rows.map((row) => row.seq),
      rows.map((row) => row.state),
      rows.map((row) => row.fault),
      rows.map((row) => row.attempts),
    );
  }

  async unpass(lane: LaneName, numbers: readonly Seq[]): Promise<void> {
    this.#alive();
    const sql = "delete from public.waybill_passed where lane = $1 and number = any($2::bigint[])";
    if (numbers.length > 0) await this.#connection.run(sql, lane, numbers);
  }

  async apply(effects: readonly Effect[]): Promise<Applied> {
    this.#alive();
    return this.#applier.apply(effects);
  }

  async applyEach(lists: readonly (readonly Effect[])[]): Promise<readonly Tried[]> {
    this.#alive();
    const { tried, end } = await this.#applier.applyEach(lists);
    if (end !== null) this.#send(end, tried[0] === null);
    return tried;
  }

  async current(name: string, keys: readonly Row[]): Promise<readonly (Row | null)[]> {
    this.#alive();
    const table = await this.#catalog.table(name);
    const columns = carried(table);
    const key = keyColumns(table);
    const bound = keys.map((one) => boundValues(key, one));
    const fit = bound.map((values) => (values instanceof Unfit ? key.map(() => null) : values)); // such a key has no row
    const found: (Row | null)[] = keys.map(() => null);
    if (key.length === 0 || keys.length === 0) return found;
    const rows = await this.#connection.query(
      `select v.n, ${selectList(columns)} from ${unnested(key.length)} join ${table.sql} as t on ${sameKey(table)} ` +
        // In the order of the key, so that two loaders who lock the same rows meet at the first and not crosswise.
        `order by ${selectList(key)} for update of t`,
      ...columnwise(fit, key.length),
    );
    for (const [n, ...values] of rows) found[Number(n) - 1] = rowToWire(columns, values);
    return found;
  }

  async present(name: string, names: readonly string[], values: readonly Row[]): Promise<readonly boolean[]> {
    this.#alive();
    const table = await this.#catalog.table(name);
    const columns = namedColumns(table, names);
    const found = values.map(() => false);
    if (values.length === 0 || columns.length === 0) return found;
    const none = columns.map(() => null);
    const bound = values.map((row) => boundValues(columns, row));
    const rows = await this.#connection.query(
      `select v.n from ${unnested(columns.length)} where exists (select from ${table.sql} as t where ${sameValues(columns)})`,
      ...columnwise(
        bound.map((row) => (row instanceof Unfit ? none : row)),
        columns.length,
      ),
    );
    for (const [n] of rows) found[Number(n) - 1] = true;
    return found;
  }

  async attempt<T>(work: () => Promise<{ readonly keep: boolean; readonly result: T }>): Promise<T> {
    this.#alive();
    const name = `waybill_attempt_${++this.#depth}`;
    // Sent without waiting: it travels with the first statement of the work, which fails too if this one does.
    const begun = this.#connection.script(`savepoint ${name}`);
    begun.catch(() => undefined);
    let keep = false;
    try {
      const outcome = await work();
      await begun;
      keep = outcome.keep;
      return outcome.result;
    } finally {
      this.#depth--;
      this.#send(keep ? `release ${name}` : `rollback to ${name}; release ${name}`, keep);
    }
  }

  /**
   * The end of an attempt, sent without waiting: it travels with whatever comes next. After an infrastructure fault the session may
   * be gone, and with it the transaction: the fault is what is told.
   */
  #send(end: string, isKept: boolean): void {
    const sent = this.#connection.script(end);
    this.#lastEnd = isKept ? sent : sent.catch(() => undefined);
    this.#lastEnd.catch((thrown: unknown) => (this.#failed ??= { thrown }));
  }

  /** Every attempt has ended. @throws what kept one from it */
  async settled(): Promise<void> {
    await this.#lastEnd.catch(() => undefined); // what was sent before it is answered before it
    if (this.#failed) throw this.#failed.thrown;
  }

  async moveCursor(from: Cursor, to: Cursor): Promise<boolean> {
    this.#alive();
    return writeCursor(this.#connection, from, to);
  }

  end(): void {
    this.#over = true;
  }

  #alive(): void {
    if (this.#over) throw new WaybillError("INTERNAL", "the load transaction is over");
  }
}
