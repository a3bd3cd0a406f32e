/**
 * Every fault Waybill can name. The only list: docs/errors.md, the wire's problem documents and the console's help come from it.
 *
 * `blame` says who can mend it, and so what happens next:
 * - `caller`: whoever asked; repeating unchanged cannot help.
 * - `target`: a database or peer is ill; backoff, no attempt is counted, nothing is judged.
 * - `message`: the message can never pass as it is; it ends dead at once.
 * - `either`: a refusal that may pass later; retried by policy, then dead.
 */
export type Blame = "caller" | "target" | "message" | "either";

// oxfmt-ignore
export const FAULTS = {
  // configuration and command line
  CONFIG_INVALID: { blame: "caller", status: 400, hint: "Correct the settings named above; `waybill config` explains each one." },
  CONFIG_NOT_FOUND: { blame: "caller", status: 400, hint: "Pass --config FILE, or start from the example that `waybill config --example` prints." },
  USAGE: { blame: "caller", status: 400, hint: "`waybill help <command>` shows the words a command takes." },
  NODE_TOO_OLD: { blame: "caller", status: 400, hint: "Run through `npm` or `npx` in this folder: they use the Node that the package pins." },
  ALREADY_RUNNING: { blame: "caller", status: 409, hint: "Another process holds this database; stop it first, or give this one a database of its own." },
  SCHEMA_NEWER: { blame: "caller", status: 409, hint: "A newer Waybill has migrated this database; start that version or newer." },

  // the wire: whoever called must change something
  UNAUTHENTICATED: { blame: "caller", status: 401, hint: "Send `Authorization: Bearer …`: a terminal's key (`waybill enroll`) or an API token (`waybill operator tokens make`); people sign in." },
  FORBIDDEN: { blame: "caller", status: 403, hint: "A revoked terminal is enrolled again; a person or token needs another role: `waybill operator list`." },
  TOKEN_INVALID: { blame: "caller", status: 403, hint: "Enrolment tokens work once and for a limited time; make a new one with `waybill enroll`." },
  SIGN_IN_FAILED: { blame: "caller", status: 401, hint: "Check both; who has lost the password gets a new one from an admin: `waybill operator password`." },
  NAME_TAKEN: { blame: "caller", status: 409, hint: "Choose another name, or remove the one that has it." },
  LAST_ADMIN: { blame: "caller", status: 409, hint: "Make another operator admin first: without one nobody could be let in any more." },
  NOT_FOUND: { blame: "caller", status: 404, hint: "Nothing by that name; /openapi.json lists what there is." },
  METHOD_NOT_ALLOWED: { blame: "caller", status: 405, hint: "/openapi.json lists the method of each path." },
  REQUEST_INVALID: { blame: "caller", status: 400, hint: "Correct the members named above; /openapi.json gives the shape." },
  MEDIA_TYPE: { blame: "caller", status: 415, hint: "Send the content type and encoding that /openapi.json names for this path." },
  LINE_INVALID: { blame: "caller", status: 400, hint: "Correct the line named in `line` at `path`; nothing of the request was stored." },
  TOO_LARGE: { blame: "caller", status: 413, hint: "Send less at once; the manifest gives the limits." },
  SEQUENCE_GAP: { blame: "caller", status: 409, hint: "Resend from the number given in `expected`." },
  CHAIN_BROKEN: { blame: "caller", status: 409, hint: "A number came again with other content: this terminal was restored or copied. It needs a new epoch." },
  EPOCH_CLOSED: { blame: "caller", status: 409, hint: "A newer epoch has begun in `epoch`; only one install of a terminal may send." },
  EPOCH_WAITS: { blame: "caller", status: 409, hint: "Two installs claim this terminal within an hour; an operator must say which is the real one." },
  ID_REUSED: { blame: "caller", status: 409, hint: "This id was used with another body; send the changed document under an id of its own." },
  CURSOR_GONE: { blame: "caller", status: 410, hint: "The update log no longer reaches back that far; an agent begins again behind it by itself, another terminal with `again=true`." },
  STATE_CONFLICT: { blame: "caller", status: 409, hint: "The message has moved on meanwhile; look again with `waybill trace`." },

  // a target is ill: nothing is judged, nothing is lost
  OVERLOADED: { blame: "target", status: 429, hint: "The hub has more waiting than it may hold; repeat after `Retry-After`." },
  UNAVAILABLE: { blame: "target", status: 503, hint: "The hub cannot store now (ledger, disk or shutdown); repeat after `Retry-After`." },
  HUB_UNREACHABLE: { blame: "target", status: 503, hint: "The hub did not answer; changes are kept here and sent when it does." },
  CENTRAL_UNAVAILABLE: { blame: "target", status: 503, hint: "The central database did not answer; nothing is lost, loading goes on when it does." },
  DATABASE_UNAVAILABLE: { blame: "target", status: 503, hint: "The database did not answer; work goes on when it does." },
  DATABASE_BUSY: { blame: "target", status: 503, hint: "Another program held the database's lock for too long; work goes on when it lets go." },
  DISK_FULL: { blame: "target", status: 503, hint: "Free disk space; nothing was half-written, and work goes on by itself." },

  // loading: the database or the config refused the row
  ROW_EXISTS: { blame: "either", status: 409, hint: "Another row has this key; compare both, then edit and requeue, or discard." },
  ROW_MISSING: { blame: "either", status: 409, hint: "The row to change is not there; requeue when it has come, or discard." },
  ROW_REFUSED: { blame: "either", status: 409, hint: "The database refused a row; mend the cause or the payload, then `waybill dead requeue`." },
  UNIQUE_VIOLATED: { blame: "either", status: 409, hint: "Another row holds this unique value; mend one of the two, then requeue." },
  PARENT_MISSING: { blame: "either", status: 409, hint: "The row names a parent that is not there; requeue when it has come." },
  CHILD_EXISTS: { blame: "either", status: 409, hint: "Other rows still name the row to delete; requeue when they are gone." },
  NULL_REFUSED: { blame: "message", status: 409, hint: "A column that must have a value got none; mend the payload, then requeue." },
  TYPE_REFUSED: { blame: "message", status: 409, hint: "The value does not fit the column's type; mend the payload or the column, then requeue." },
  CHECK_VIOLATED: { blame: "message", status: 409, hint: "A check constraint refused the row; mend the payload, then requeue." },
  TIMED_OUT: { blame: "either", status: 504, hint: "Only this message takes too long; look at what the target's triggers do with it." },
  CONFLICT_DETECTED: { blame: "message", status: 409, hint: "The row was changed on both sides; choose a value: edit and requeue, or discard." },
  NOT_OWNER: { blame: "message", status: 409, hint: "The row belongs to another terminal; see `owner` of the table in the config." },
  TABLE_UNKNOWN: { blame: "either", status: 409, hint: "No such table is configured for this direction, or it is not in the target; add it, then requeue." },
  COLUMN_UNKNOWN: { blame: "either", status: 409, hint: "The target has no such column; add it, or map it under `columns`, then requeue." },
  PRIVILEGE_MISSING: { blame: "either", status: 409, hint: "The target does not let Waybill's user write there; grant the right. It is tried again by itself." },
  KEY_INVALID: { blame: "message", status: 409, hint: "The change has no complete key; mend the payload, then requeue." },
  VALUE_TOO_LARGE: { blame: "message", status: 409, hint: "One value is above `limits.valueBytes`; the terminal still has it. Raise the limit, then resync the row." },
  PAYLOAD_UNREADABLE: { blame: "message", status: 409, hint: "The message cannot be read; compare both sides with `waybill version`." },
  PAYLOAD_LOST: { blame: "message", status: 409, hint: "Nobody has this message any more: `waybill reconcile` finds its rows; requeue it with a payload, or discard it." },
  TRANSFORM_FAILED: { blame: "either", status: 409, hint: "The transform of this table threw; mend it, restart the hub, then requeue." },
  WORKER_LOST: { blame: "message", status: 409, hint: "Three workers died while loading this message alone; look at its payload before you requeue it." },
  SETS_CHANGED: { blame: "caller", status: 409, hint: "The edit touches rows that later messages touch; discard those first, or edit without new rows." },

  // alerts
  NOTICE_UNDELIVERED: { blame: "target", status: 503, hint: "Look at the channel's address, its secret and the receiver's log; waiting notices are tried again for a day." },

  // within
  LEASE_LOST: { blame: "target", status: 503, hint: "Another worker took over; this one judged nothing." },
  INTERNAL: { blame: "target", status: 500, hint: "A fault of Waybill itself; the log line with this trace id has the particulars." },
} as const satisfies Record<string, { blame: Blame; status: number; hint: string }>;

export type FaultCode = keyof typeof FAULTS;

/** Members that travel with an error to whoever must act: numbers and names, never secrets. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | null>>;

export class WaybillError extends Error {
  override readonly name = "WaybillError";
  readonly code: FaultCode;
  /** The thing and its value, without the code: "sale_line row 7 of t1/main/19: quantity -3 is below 0". */
  readonly what: string;
  readonly facts: ErrorFacts;

  constructor(code: FaultCode, what: string, options: ErrorOptions & { facts?: ErrorFacts } = {}) {
    super(`${code}: ${what}`, options);
    this.code = code;
    this.what = what;
    this.facts = options.facts ?? {};
  }

  get blame(): Blame {
    return FAULTS[this.code].blame;
  }
  get hint(): string {
    return FAULTS[this.code].hint;
  }
}

export const isFaultCode = (text: string): text is FaultCode => Object.hasOwn(FAULTS, text);

/** What was thrown, as one of ours: an unknown throw is INTERNAL with its cause kept. */
export function asWaybillError(thrown: unknown): WaybillError {
  if (thrown instanceof WaybillError) return thrown;
  return new WaybillError("INTERNAL", thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown });
}

/** For the default case of a switch over a closed union: compiles only while every case is handled. */
export function unreachable(value: never): never {
  throw new WaybillError("INTERNAL", `a case that cannot be: ${JSON.stringify(value)}`);
}
