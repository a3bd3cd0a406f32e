import { isFaultCode, WaybillError } from "../../base/errors.ts";
import { seq, type LaneName, type Seq } from "../../base/ids.ts";
import type { Row } from "../../message/change.ts";
import type { Applied, Cursor, Effect, LaneMark, LaneMove, Load, LoadTransaction, Passed, Tried } from "../port.ts";
import { Applier, type Gate } from "./apply.ts";
import type { Connection } from "./connection.ts";
import { createCursor, hasStrand, writeCursor } from "./cursor.ts";
import type { Catalog } from "./describe.ts";
import { faultOf, isSqliteError, translated } from "./errors.ts";
import { boundValues, namedColumns, rowByKey, rowFinder } from "./rows.ts";
import { Unfit } from "./values.ts";

/** The loading half of the adapter. All writes are one connection's, so a transaction holds SQLite's only write lock. */
export function sqliteLoad(connection: Connection, catalog: Catalog, gate: Gate): Load {
  const applier = new Applier(connection, catalog, gate);
  // A savepoint keeps the pages it may have to put back: in a file from 64 KiB on, with a write for each page and each message
  // tried alone. They are let go with the savepoint, and bounded by a batch.
  connection.db.exec("pragma temp_store = memory");
  return {
    install: async () => {
      const made = catalog.has("waybill_lane") && catalog.has("waybill_passed") && catalog.has("waybill_cursor");
      if (made && hasStrand(connection)) return; // never writes when there is nothing to make
      connection.immediate(() => {
        connection.db.exec(TABLES);
        createCursor(connection);
      });
    },
    marks: async (lanes) => connection.snapshot(() => lanes.map((lane) => readMark(connection, catalog, lane))),
    passed: async (lane) => connection.snapshot(() => readPassed(connection, catalog, lane)),
    transaction: async (work) => {
      connection.begin();
      let result;
      const tx = new SqliteTransaction(connection, catalog, applier);
      try {
        applier.begin();
        result = await work(tx);
      } catch (thrown) {
        connection.rollback();
        throw translated(thrown, "load");
      } finally {
        tx.end();
      }
      commit(connection, applier);
      return result;
    },
    rehearse: async (work) => {
      connection.begin();
      const tx = new SqliteTransaction(connection, catalog, applier);
      try {
        applier.begin();
        const result = await work(tx);
        const owed = applier.owed();
        if (owed) throw new WaybillError(owed.code, owed.detail);
        return result;
      } catch (thrown) {
        throw translated(thrown, "rehearse");
      } finally {
        tx.end();
        connection.rollback();
      }
    },
  };
}

// No STRICT: a terminal's own SQLite may be older than it (3.37, 2021) and would then refuse to open the file at all.
const TABLES = `
  create table if not exists waybill_lane (
    lane text not null primary key,
    loaded_through integer not null check (loaded_through >= 0),
    version integer not null check (version >= 1) -- moves with every act on the lane; the compare-and-set's word
  ) without rowid;
  create table if not exists waybill_passed (
    lane text not null,
    number integer not null check (number >= 1),
    state text not null check (state in ('retrying', 'held', 'dead', 'discarded')),
    fault text,
    attempts integer not null check (attempts >= 0),
    primary key (lane, number)
  ) without rowid;`;

function readMark(connection: Connection, catalog: Catalog, lane: LaneName): LaneMark {
  const row = catalog.has("waybill_lane")
    ? connection.statement("select l.loaded_through, l.version from waybill_lane as l where l.lane = ?").get(lane)
    : undefined;
  return { lane, loadedThrough: seq(Number(row?.["loaded_through"] ?? 0)), version: Number(row?.["version"] ?? 0) };
}

function readPassed(connection: Connection, catalog: Catalog, lane: LaneName): Passed[] {
  if (!catalog.has("waybill_passed")) return [];
  const rows = connection
    .statement(
      "select p.number, p.state, p.fault, p.attempts from waybill_passed as p where p.lane = ? order by p.number",
    )
    .all(lane);
  return rows.map((row) => {
    const fault = row["fault"];
    return {
      lane,
      seq: seq(Number(row["number"])),
      state: row["state"] as Passed["state"], // the table's check says the same
      fault: fault === null ? null : isFaultCode(String(fault)) ? (String(fault) as Passed["fault"]) : "INTERNAL",
      attempts: Number(row["attempts"]),
    };
  });
}

/** A deferred foreign key is looked at only here, by COMMIT itself: SQLite then commits nothing and says nothing of the row. */
function commit(connection: Connection, applier: Applier): void {
  try {
    connection.statement("commit").run();
  } catch (thrown) {
    try {
      const deferred = isSqliteError(thrown) && faultOf(thrown) === "PARENT_MISSING" && connection.db.isTransaction;
      const verdict = deferred ? applier.owed() : null;
      if (verdict) throw new WaybillError(verdict.code, verdict.detail, { cause: thrown });
      throw translated(thrown, "commit");
    } finally {
      connection.rollback();
    }
  }
}

class SqliteTransaction implements LoadTransaction {
  readonly #connection: Connection;
  readonly #catalog: Catalog;
  readonly #applier: Applier;
  #depth = 0;
  #over = false;

  constructor(connection: Connection, catalog: Catalog, applier: Applier) {
    this.#connection = connection;
    this.#catalog = catalog;
    this.#applier = applier;
  }

  async moveLanes(to: readonly LaneMove[]): Promise<readonly boolean[]> {
    this.#alive();
    const insert = this.#connection.statement(
      "insert into waybill_lane (lane, loaded_through, version) values (?, ?, ?) on conflict (lane) do nothing",
    );
    const update = this.#connection.statement(
      "update waybill_lane as l set loaded_through = ?, version = ? where l.lane = ? and l.version = ?",
    );
    return to.map(({ lane, loadedThrough, version, nextVersion }) => {
      const [through, next] = [BigInt(loadedThrough), BigInt(nextVersion)];
      const moved = version === 0 ? insert.run(lane, through, next) : update.run(through, next, lane, BigInt(version));
      return moved.changes === 1;
    });
  }

  async pass(rows: readonly Passed[]): Promise<void> {
    this.#alive();
    const statement = this.#connection.statement(
      `insert into waybill_passed (lane, number, state, fault, attempts) values (?, ?, ?, ?, ?)
       on conflict (lane, number) do update set state = excluded.state, fault = excluded.fault, attempts = excluded.attempts`,
    );
    for (const row of rows) statement.run(row.lane, BigInt(row.seq), row.state, row.fault, BigInt(row.attempts));
  }

  async unpass(lane: LaneName, numbers: readonly Seq[]): Promise<void> {
    this.#alive();
    const statement = this.#connection.statement("delete from waybill_passed as p where p.lane = ? and p.number = ?");
    for (const number of numbers) statement.run(lane, BigInt(number));
  }

  async apply(effects: readonly Effect[]): Promise<Applied> {
    this.#alive();
    return this.#applier.apply(effects);
  }

  async applyEach(lists: readonly (readonly Effect[])[]): Promise<readonly Tried[]> {
    const tried: Tried[] = [];
    for (const effects of lists) {
      const refusal = await this.attempt(async () => {
        const [result = null] = this.#applier.apply(effects, true).refused;
        return { keep: result === null, result };
      });
      tried.push(refusal);
      if (refusal !== null) break;
    }
    return tried;
  }

  async current(table: string, keys: readonly Row[]): Promise<readonly (Row | null)[]> {
    this.#alive();
    const shape = this.#catalog.table(table);
    return keys.map((key) => rowByKey(this.#connection, shape, key)); // locked: nobody else can write before our commit
  }

  async present(table: string, names: readonly string[], values: readonly Row[]): Promise<readonly boolean[]> {
    this.#alive();
    const shape = this.#catalog.table(table);
    const columns = namedColumns(shape, names);
    const hasRow = rowFinder(this.#connection, shape, names);
    return values.map((row) => {
      const bound = boundValues(columns, row);
      return !(bound instanceof Unfit) && !bound.includes(null) && hasRow(bound);
    });
  }

  async attempt<T>(work: () => Promise<{ readonly keep: boolean; readonly result: T }>): Promise<T> {
    this.#alive();
    const name = `waybill_attempt_${++this.#depth}`;
    this.#connection.statement(`savepoint ${name}`).run();
    let keep = false;
    try {
      const outcome = await work();
      keep = outcome.keep;
      return outcome.result;
    } finally {
      this.#depth--;
      if (this.#connection.db.isTransaction) {
        if (!keep) this.#connection.statement(`rollback to ${name}`).run();
        this.#connection.statement(`release ${name}`).run();
      }
    }
  }

  async moveCursor(from: Cursor, to: Cursor): Promise<boolean> {
    this.#alive();
    return writeCursor(this.#connection, from, to);
  }

  end(): void {
    this.#over = true;
  }

  /** A trigger may have rolled the transaction back under us: then nothing may be written as if it still stood. */
  #alive(): void {
    if (this.#over || !this.#connection.db.isTransaction) {
      throw new WaybillError(
        "INTERNAL",
        "the load transaction is over: it was committed, or rolled back by the database",
      );
    }
  }
}
