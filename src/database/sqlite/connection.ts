import { DatabaseSync, type StatementSync } from "node:sqlite";
import { WaybillError } from "../../base/errors.ts";
import { isSqliteError, translated } from "./errors.ts";
import type { SqlValue } from "./values.ts";

export type ConnectionOptions = {
  /** How long a statement waits for another connection's lock before DATABASE_BUSY; the thread stands still meanwhile. */
  readonly busyMs?: number;
  /**
   * Asks for the write lock every fifth of a millisecond. SQLite's own wait grows to 100 ms between two looks, and the lock is never
   * found free by somebody who looks that seldom while an application commits without a pause.
   */
  readonly eager?: boolean;
  /**
   * "wal" turns the file to write-ahead logging, for files that are ours. An application's database keeps the mode its
   * owner chose: the mode is a property of the file and would change under the application.
   */
  readonly journal?: "keep" | "wal";
  readonly readOnly?: boolean;
};

/** A row as `Connection.rows` gives it: the values alone, in the order they were selected. */
export type SqlRow = readonly SqlValue[];

/** Statements kept prepared; beyond this the one unused for longest is closed. */
const STATEMENTS = 512;

const IMMEDIATE = "begin immediate";
const SQLITE_BUSY = 5;
const EAGER_MS = 0.2;
/** Never written: waiting on it is how a thread sleeps. */
const NOTHING = new Int32Array(new SharedArrayBuffer(4));

/**
 * One connection to one SQLite file. A commit returns only when the data is on the disk (synchronous=FULL), foreign keys
 * are enforced, and the file may be in use by the application at the same time, in any journal mode.
 */
export class Connection implements Disposable {
  readonly db: DatabaseSync;
  readonly path: string;
  readonly #busyMs: number;
  readonly #eager: boolean;
  readonly #plain = new Map<string, StatementSync>();
  readonly #exact = new Map<string, StatementSync>();

  /** @throws DATABASE_UNAVAILABLE when the file cannot be opened or is no database. */
  constructor(path: string, options: ConnectionOptions = {}) {
    this.path = path;
    this.#busyMs = options.busyMs ?? 5_000;
    this.#eager = options.eager ?? false;
    try {
      this.db = new DatabaseSync(path, {
        timeout: this.#busyMs,
        enableForeignKeyConstraints: true,
        // An application's triggers may hold "text" in double quotes. A mistyped "column" of ours would then be a text too:
        // our SQL qualifies every column it reads (t."column"), which never is.
        enableDoubleQuotedStringLiterals: true,
        readOnly: options.readOnly ?? false,
      });
    } catch (thrown) {
      throw translated(thrown, `open ${path}`);
    }
    try {
      this.db.exec("pragma synchronous = full");
      if (options.journal === "wal") this.db.exec("pragma journal_mode = wal");
      this.db.prepare("select count(*) from sqlite_schema").get(); // the first read tells whether it is a database at all
    } catch (thrown) {
      this.db.close();
      throw translated(thrown, `open ${path}`);
    }
  }

  /** A prepared statement whose rows are objects with JavaScript numbers: for our own tables. An integer beyond ±2^53 throws. */
  statement(sql: string): StatementSync {
    return kept(this.#plain, sql, () => this.db.prepare(sql));
  }

  /**
   * A prepared statement for the application's values: rows are arrays, INTEGER comes as bigint and REAL as number, so
   * that the storage class of each value is seen as it is.
   */
  exact(sql: string): StatementSync {
    return kept(this.#exact, sql, () => {
      const statement = this.db.prepare(sql);
      statement.setReadBigInts(true);
      statement.setReturnArrays(true);
      return statement;
    });
  }

  /** All rows of an exact statement; node:sqlite's own types know rows as objects only. */
  rows(sql: string, ...values: readonly SqlValue[]): readonly SqlRow[] {
    return this.exact(sql).all(...values) as unknown as readonly SqlRow[];
  }
  /** The first row of an exact statement. */
  row(sql: string, ...values: readonly SqlValue[]): SqlRow | undefined {
    return this.exact(sql).get(...values) as unknown as SqlRow | undefined;
  }

  /**
   * Runs `work` holding the write lock: committed when it returns, rolled back when it throws.
   * @throws what `work` threw, SQLite's faults translated; DATABASE_BUSY when the lock was not to be had.
   */
  immediate<T>(work: () => T): T {
    return this.#within(IMMEDIATE, work);
  }

  /** Runs `work` in one read transaction: all it reads is of one moment. It must not write. */
  snapshot<T>(work: () => T): T {
    return this.#within("begin deferred", work);
  }

  /** The parts of `immediate`, for work that cannot be one synchronous call. */
  begin(): void {
    this.#open(IMMEDIATE);
  }
  /** When it throws, nothing was committed and the transaction is over. @throws PARENT_MISSING for a deferred foreign key. */
  commit(): void {
    try {
      this.statement("commit").run();
    } catch (thrown) {
      this.rollback();
      throw translated(thrown, "commit");
    }
  }
  /** Does nothing when SQLite has rolled back already (disk full, RAISE(ROLLBACK) in a trigger). */
  rollback(): void {
    if (this.db.isTransaction) this.statement("rollback").run();
  }

  close(): void {
    this.#plain.clear();
    this.#exact.clear();
    if (this.db.isOpen) this.db.close();
  }
  [Symbol.dispose](): void {
    this.close();
  }

  #within<T>(begin: string, work: () => T): T {
    this.#open(begin);
    let result: T;
    try {
      result = work();
    } catch (thrown) {
      this.rollback();
      throw translated(thrown, "transaction");
    }
    this.commit();
    return result;
  }

  #open(begin: string): void {
    if (this.db.isTransaction) throw new WaybillError("INTERNAL", `${begin}: a transaction is open on this connection`);
    try {
      if (this.#eager && begin === IMMEDIATE) this.#lockEagerly();
      else this.statement(begin).run();
    } catch (thrown) {
      throw translated(thrown, begin);
    }
  }

  #lockEagerly(): void {
    // Counted in looks: the thread stands still, so no clock of a runtime would go on meanwhile.
    let looks = Math.ceil(this.#busyMs / EAGER_MS);
    this.db.exec("pragma busy_timeout = 0");
    try {
      while (!this.#locked(looks-- <= 0)) Atomics.wait(NOTHING, 0, 0, EAGER_MS);
    } finally {
      this.db.exec(`pragma busy_timeout = ${this.#busyMs}`);
    }
  }

  /** False: somebody else has the lock, and may be asked again. @throws what SQLite says, when this was the last look */
  #locked(last: boolean): boolean {
    try {
      this.statement(IMMEDIATE).run();
      return true;
    } catch (thrown) {
      if (!last && isSqliteError(thrown) && (thrown.errcode & 0xff) === SQLITE_BUSY) return false;
      throw thrown;
    }
  }
}

/** A Map keeps the order of insertion, so putting a used statement last leaves the longest unused first. */
function kept(cache: Map<string, StatementSync>, sql: string, prepare: () => StatementSync): StatementSync {
  const known = cache.get(sql);
  if (known !== undefined) {
    if (cache.size > STATEMENTS / 2) {
      cache.delete(sql);
      cache.set(sql, known);
    }
    return known;
  }
  const made = prepare();
  cache.set(sql, made);
  if (cache.size > STATEMENTS) {
    for (const oldest of cache.keys()) {
      cache.delete(oldest); // the collector closes it: it may still be iterated
      break;
    }
  }
  return made;
}

/** A name as SQL takes it, whatever characters it has. Names come from *describe* and from our config, never from a message. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
