import { DatabaseError } from "pg";
import { WaybillError, type FaultCode } from "../../base/errors.ts";

/**
 * PostgreSQL's SQLSTATE, translated once: the code itself, else its class, the first two characters:
 * https://www.postgresql.org/docs/current/errcodes-appendix.html. The server's words are for people only; they may be in
 * any language.
 */
const BY_STATE: Readonly<Record<string, FaultCode>> = {
  "23001": "CHILD_EXISTS", // restrict_violation
  "23502": "NULL_REFUSED",
  "23503": "PARENT_MISSING", // foreign_key_violation, of either end: see `verdictOn`
  "23505": "UNIQUE_VIOLATED",
  "23514": "CHECK_VIOLATED", // also a row that belongs to no partition
  "23P01": "UNIQUE_VIOLATED", // exclusion_violation
  "42501": "PRIVILEGE_MISSING", // insufficient_privilege
  "42703": "COLUMN_UNKNOWN", // undefined_column, perhaps in a trigger
  "42P01": "TABLE_UNKNOWN", // undefined_table, perhaps in a trigger
  "53100": "DISK_FULL",
  "54000": "VALUE_TOO_LARGE", // program_limit_exceeded: an index entry, a row
  "55P03": "DATABASE_BUSY", // lock_not_available
  "57014": "DATABASE_BUSY", // query_canceled: statement_timeout
  "40001": "DATABASE_BUSY", // serialization_failure
  "40P01": "DATABASE_BUSY", // deadlock_detected
};
/** Of these the statement may be the cause, and not the whole database: they came to it while it ran. */
const ONE_STATEMENT: ReadonlySet<string> = new Set(["55P03", "57014", "40001", "40P01"]);
const BY_CLASS: Readonly<Record<string, FaultCode>> = {
  "08": "DATABASE_UNAVAILABLE", // connection
  "0A": "DATABASE_BUSY", // a prepared statement whose table was altered: made anew the next time
  "09": "ROW_REFUSED", // a trigger's action
  "21": "ROW_REFUSED", // cardinality: a trigger's query
  "22": "TYPE_REFUSED", // data exception
  "23": "ROW_REFUSED", // a constraint without a particular above
  "25": "DATABASE_UNAVAILABLE", // transaction state: made read-only, paused for too long
  "27": "ROW_REFUSED", // triggered data change
  "28": "DATABASE_UNAVAILABLE", // authorization
  "38": "ROW_REFUSED", // a function of the application's
  "39": "ROW_REFUSED",
  "3D": "DATABASE_UNAVAILABLE", // no such database
  "40": "DATABASE_BUSY", // transaction rollback
  "42": "ROW_REFUSED", // a trigger's statement does not fit the schema, or lacks a right
  "44": "CHECK_VIOLATED", // WITH CHECK OPTION
  "53": "DATABASE_UNAVAILABLE", // resources: connections, memory
  "54": "ROW_REFUSED", // limits: a trigger that calls itself
  "55": "DATABASE_BUSY", // object in use
  "57": "DATABASE_UNAVAILABLE", // operator: shutdown, starting up
  "58": "DATABASE_UNAVAILABLE", // the server's own input or output
  P0: "ROW_REFUSED", // RAISE in a trigger
  XX: "DATABASE_UNAVAILABLE", // internal, damaged data
};

export type ServerError = DatabaseError & { readonly code: string };

/** Did the server say it, rather than the driver or the network? */
export const isServerError = (thrown: unknown): thrown is ServerError =>
  thrown instanceof DatabaseError && thrown.code !== undefined;

export const faultOf = (error: ServerError): FaultCode =>
  BY_STATE[error.code] ?? BY_CLASS[error.code.slice(0, 2)] ?? "INTERNAL";

/** Is it the row's fault (to be returned), rather than the database's (to be thrown)? */
export function blamesRow(code: FaultCode): boolean {
  return code !== "INTERNAL" && code !== "DATABASE_BUSY" && code !== "DATABASE_UNAVAILABLE" && code !== "DISK_FULL";
}

/** The schema is not as it was when the statement was made: a table or column is gone. */
export const isStaleSchema = (thrown: unknown): boolean =>
  isServerError(thrown) && (thrown.code === "42P01" || thrown.code === "42703" || thrown.code === "42704");

/**
 * What was thrown, as one of ours. An error of the driver without SQLSTATE is the connection's: it broke, or was closed.
 * Bugs (TypeError and its like) go through as they are. `row` is told apart, as a fact: log lines hold no rows.
 */
export function translated(thrown: unknown, doing: string, row: string | null = null): unknown {
  if (thrown instanceof WaybillError || !(thrown instanceof Error)) return thrown;
  if (isServerError(thrown)) {
    return new WaybillError(faultOf(thrown), `${doing}: ${thrown.message}`, {
      cause: thrown,
      facts: {
        sqlState: thrown.code,
        ...(row !== null && { row }),
        ...(ONE_STATEMENT.has(thrown.code) && { oneStatement: true }),
      },
    });
  }
  if (thrown instanceof TypeError || thrown instanceof RangeError || thrown instanceof ReferenceError) return thrown;
  return new WaybillError("DATABASE_UNAVAILABLE", `${doing}: ${thrown.message}`, { cause: thrown });
}
