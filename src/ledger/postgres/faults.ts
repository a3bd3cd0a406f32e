import { DatabaseError } from "pg";
import { WaybillError, type FaultCode } from "../../base/errors.ts";

/**
 * SQLSTATE or class → fault (https://www.postgresql.org/docs/current/errcodes-appendix.html). What is not listed is a fault
 * of ours: a constraint, a misuse.
 */
const FAULT_OF: Readonly<Record<string, FaultCode>> = {
  "08": "DATABASE_UNAVAILABLE", // connection
  "28": "DATABASE_UNAVAILABLE", // authorization: the operator mends it while we wait
  "3D": "DATABASE_UNAVAILABLE", // no such database (yet)
  "40": "DATABASE_BUSY", // serialization, deadlock
  "53": "DATABASE_UNAVAILABLE", // too many connections, out of memory
  "53100": "DISK_FULL",
  "55P03": "DATABASE_BUSY", // lock_timeout
  "57": "DATABASE_UNAVAILABLE", // shutdown, crash of another backend, starting up
  "57014": "DATABASE_BUSY", // statement_timeout
  "58": "DATABASE_UNAVAILABLE", // the server's own input or output
  "25006": "DATABASE_UNAVAILABLE", // a standby, or an operator made it read-only
  "25P03": "DATABASE_UNAVAILABLE", // idle_in_transaction_session_timeout: this process was paused
  XX: "DATABASE_UNAVAILABLE", // damaged
};

/** A statement prepared on one session was asked of another: somebody between us and the server shares sessions out. */
const POOLED: ReadonlySet<string> = new Set(["26000", "42P05"]);

/** Conflicts with another process that end well when the transaction is tried again: deadlock, serialization, one name twice. */
const REPEATABLE: ReadonlySet<string> = new Set(["40001", "40P01", "23505"]);

/** What the driver threw, in our words; kept as the cause. An error without SQLSTATE is the network's or the driver's. */
export function translated(thrown: unknown): unknown {
  if (thrown instanceof WaybillError || !(thrown instanceof Error)) return thrown;
  const state = sqlStateOf(thrown);
  if (state !== null && POOLED.has(state)) {
    const what = "the ledger is behind a transaction pooler: add listen=off to its URL, as in ?listen=off";
    return new WaybillError("CONFIG_INVALID", what, { cause: thrown });
  }
  const code = state === null ? faultOfSocket(thrown) : (FAULT_OF[state] ?? FAULT_OF[state.slice(0, 2)] ?? "INTERNAL");
  if (code === null) return thrown;
  const facts = state === null ? {} : { sqlState: state };
  return new WaybillError(code, `the ledger: ${thrown.message}`, { cause: thrown, facts });
}

export const isRepeatable = (thrown: unknown): boolean => {
  const cause = thrown instanceof WaybillError ? thrown.cause : thrown;
  const state = cause instanceof Error ? sqlStateOf(cause) : null;
  return state !== null && REPEATABLE.has(state);
};

/** Only the server's own errors have one: "EPIPE" has five letters too. */
const sqlStateOf = (thrown: Error): string | null =>
  thrown instanceof DatabaseError && thrown.code !== undefined ? thrown.code : null;

/** The driver's own errors (a closed connection, a timeout) carry no code at all; those of a bug are of other classes. */
const faultOfSocket = (thrown: Error): FaultCode | null =>
  thrown instanceof TypeError || thrown instanceof RangeError || thrown instanceof ReferenceError
    ? null
    : "DATABASE_UNAVAILABLE";
