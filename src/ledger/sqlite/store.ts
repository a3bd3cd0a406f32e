import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { Clock, Instant } from "../../base/clock.ts";
import { WaybillError, type FaultCode } from "../../base/errors.ts";
import type { Random } from "../../base/runtime.ts";
import { SetBack } from "../set-back.ts";

/** What a ledger needs of the outside world. */
export type LedgerParts = { readonly clock: Clock; readonly random: Random };

/**
 * One SQLite connection and its prepared statements. Each port method runs synchronously in one `write` or in plain reads,
 * so nothing of this process comes between its statements.
 */
export class Store {
  readonly random: Random;
  readonly setBack = new SetBack();
  /** Brings forward what would wait for the clock's old time; within a write. */
  onSetBack: (now: Instant) => void = () => undefined;
  readonly #clock: Clock;
  readonly #connection: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(connection: DatabaseSync, parts: LedgerParts) {
    this.#connection = connection;
    this.#clock = parts.clock;
    this.random = parts.random;
  }

  now(): Instant {
    const now = this.#clock.now();
    const elapsed = this.#clock.elapsed();
    this.setBack.read(now, elapsed, elapsed);
    return now;
  }

  /** The row as the query's columns name it: the caller's type says what the SQL beside it selects. */
  get<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#run(() => this.#prepared(sql).get(...values)) as Row | undefined;
  }
  all<Row>(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#run(() => this.#prepared(sql).all(...values)) as Row[];
  }
  /** Rows one by one, for when the caller stops early. The same statement must not be begun again within. */
  *each<Row>(sql: string, ...values: SQLInputValue[]): Generator<Row, void> {
    const rows = this.#run(() => this.#prepared(sql).iterate(...values));
    try {
      for (;;) {
        const next = this.#run(() => rows.next());
        if (next.done) return;
        yield next.value as Row;
      }
    } finally {
      rows.return?.(); // a statement left half-read would keep its snapshot, and no checkpoint could pass it
    }
  }
  /** Runs a writing statement; gives how many rows it touched. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#run(() => this.#prepared(sql).run(...values)).changes);
  }
  /** Runs an insert; gives the new row's id. */
  insert(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#run(() => this.#prepared(sql).run(...values)).lastInsertRowid);
  }
  /** Statements that are run once: migrations and settings. */
  script(sql: string): void {
    this.#run(() => this.#connection.exec(sql));
  }

  /** One transaction with full durability: when it returns, the commit is on disk; when it throws, nothing happened. */
  write<T>(work: () => T): T {
    this.script("begin immediate");
    try {
      this.#mendDues();
      const result = work();
      this.#mendDues();
      this.script("commit");
      this.setBack.mended();
      return result;
    } catch (thrown) {
      // SQLite has already rolled back by itself after some failures (a full disk).
      if (this.#connection.isTransaction) this.script("rollback");
      throw thrown;
    }
  }

  #mendDues(): void {
    const now = this.now();
    if (this.setBack.pending) this.onSetBack(now);
  }

  close(): void {
    this.#statements.clear();
    if (this.#connection.isOpen) this.#connection.close();
  }

  #prepared(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const made = this.#connection.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }

  #run<T>(work: () => T): T {
    try {
      return work();
    } catch (thrown) {
      throw translated(thrown);
    }
  }
}

/** Primary result codes: https://www.sqlite.org/rescode.html. What is not listed is a fault of ours (a constraint, a misuse). */
const FAULT_OF: Readonly<Record<number, FaultCode>> = {
  5: "DATABASE_BUSY",
  6: "DATABASE_BUSY",
  8: "DATABASE_UNAVAILABLE", // read-only file
  10: "DATABASE_UNAVAILABLE", // input or output error
  11: "DATABASE_UNAVAILABLE", // damaged
  13: "DISK_FULL",
  14: "DATABASE_UNAVAILABLE", // cannot be opened
  26: "DATABASE_UNAVAILABLE", // not a database
};

export function translated(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || !("errcode" in thrown) || typeof thrown.errcode !== "number") return thrown;
  const code = FAULT_OF[thrown.errcode & 0xff] ?? "INTERNAL";
  return new WaybillError(code, `the ledger: ${thrown.message}`, { cause: thrown, facts: { sqlite: thrown.errcode } });
}

/** Opens the file with the settings that every connection of a ledger has. @throws DATABASE_UNAVAILABLE. */
export function connect(path: string, options: { readonly readOnly: boolean }): DatabaseSync {
  try {
    // The timeout matters only for checkpoints and for a reader's first look: there is one writer.
    const connection = new DatabaseSync(path, { readOnly: options.readOnly, timeout: 5_000 });
    if (options.readOnly) return connection;
    connection.exec("pragma journal_mode = wal");
    connection.exec("pragma synchronous = full"); // in WAL mode: the log is flushed at every commit (I2)
    connection.exec("pragma foreign_keys = on");
    connection.exec("pragma temp_store = memory");
    connection.exec("pragma cache_size = -32768"); // KiB
    connection.exec("pragma wal_autocheckpoint = 4000"); // pages; fewer, larger checkpoints write a hot page once
    connection.exec("pragma journal_size_limit = 67108864");
    return connection;
  } catch (thrown) {
    throw translated(thrown);
  }
}
