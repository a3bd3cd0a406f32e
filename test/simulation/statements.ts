import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";

export type Row = Record<string, unknown>;
const PREPARED = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

/** Prepared once a connection: a seed asks the same few things thousands of times. Integers come as bigint. */
export function prepared(db: DatabaseSync, sql: string): StatementSync {
  const known = PREPARED.get(db) ?? new Map<string, StatementSync>();
  PREPARED.set(db, known);
  const statement = known.get(sql) ?? db.prepare(sql);
  statement.setReadBigInts(true);
  known.set(sql, statement);
  return statement;
}
export const rowsOf = (db: DatabaseSync, sql: string, ...values: SQLInputValue[]): Row[] =>
  prepared(db, sql).all(...values);
