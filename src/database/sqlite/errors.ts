import { WaybillError, type FaultCode } from "../../base/errors.ts";

/**
 * SQLite's result codes, translated once, by number: https://www.sqlite.org/rescode.html. The low byte is the primary
 * code, the rest of the number tells more; node:sqlite gives the extended number as `errcode`.
 */
const PRIMARY: Readonly<Record<number, FaultCode>> = {
  5: "DATABASE_BUSY", // SQLITE_BUSY: another connection holds the lock
  6: "DATABASE_BUSY", // SQLITE_LOCKED
  7: "DATABASE_UNAVAILABLE", // SQLITE_NOMEM
  8: "DATABASE_UNAVAILABLE", // SQLITE_READONLY
  10: "DATABASE_UNAVAILABLE", // SQLITE_IOERR
  11: "DATABASE_UNAVAILABLE", // SQLITE_CORRUPT
  13: "DISK_FULL", // SQLITE_FULL
  14: "DATABASE_UNAVAILABLE", // SQLITE_CANTOPEN
  15: "DATABASE_BUSY", // SQLITE_PROTOCOL: a race for the write-ahead log's locks
  17: "DATABASE_BUSY", // SQLITE_SCHEMA: the schema changed while a statement was being made, too often
  18: "VALUE_TOO_LARGE", // SQLITE_TOOBIG
  19: "ROW_REFUSED", // SQLITE_CONSTRAINT without a particular below
  20: "TYPE_REFUSED", // SQLITE_MISMATCH: text for an INTEGER PRIMARY KEY
  23: "DATABASE_UNAVAILABLE", // SQLITE_AUTH
  26: "DATABASE_UNAVAILABLE", // SQLITE_NOTADB
};
const EXTENDED: Readonly<Record<number, FaultCode>> = {
  275: "CHECK_VIOLATED", // SQLITE_CONSTRAINT_CHECK
  787: "PARENT_MISSING", // SQLITE_CONSTRAINT_FOREIGNKEY; a delete turns it into CHILD_EXISTS
  1299: "NULL_REFUSED", // SQLITE_CONSTRAINT_NOTNULL
  1555: "UNIQUE_VIOLATED", // SQLITE_CONSTRAINT_PRIMARYKEY; an insert whose key is there turns it into ROW_EXISTS
  1811: "ROW_REFUSED", // SQLITE_CONSTRAINT_TRIGGER: RAISE in a trigger
  2067: "UNIQUE_VIOLATED", // SQLITE_CONSTRAINT_UNIQUE
  2579: "UNIQUE_VIOLATED", // SQLITE_CONSTRAINT_ROWID
  3091: "TYPE_REFUSED", // SQLITE_CONSTRAINT_DATATYPE: a STRICT table
};

/** What node:sqlite throws for a fault of SQLite itself. */
export type SqliteError = Error & { readonly code: "ERR_SQLITE_ERROR"; readonly errcode: number };

export const isSqliteError = (thrown: unknown): thrown is SqliteError =>
  thrown instanceof Error && "code" in thrown && thrown.code === "ERR_SQLITE_ERROR" && "errcode" in thrown;

export function faultOf(error: SqliteError): FaultCode {
  return EXTENDED[error.errcode] ?? PRIMARY[error.errcode & 0xff] ?? "INTERNAL";
}

/** Is it the row's fault (to be returned), rather than the database's (to be thrown)? */
export function blamesRow(code: FaultCode): boolean {
  return code !== "INTERNAL" && code !== "DATABASE_BUSY" && code !== "DATABASE_UNAVAILABLE" && code !== "DISK_FULL";
}

/** What was thrown, as one of ours; anything that is not SQLite's goes through as it is. `row` is told apart, as a fact: log lines hold no rows. */
export function translated(thrown: unknown, doing: string, row: string | null = null): unknown {
  if (!isSqliteError(thrown)) return thrown;
  return new WaybillError(faultOf(thrown), `${doing}: ${thrown.message}`, {
    cause: thrown,
    facts: { sqlite: thrown.errcode, ...(row !== null && { row }) },
  });
}
