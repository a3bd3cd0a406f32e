import type { Writable } from "node:stream";
import { Client, type ClientConfig, type QueryResult } from "pg";
import { WaybillError } from "../../base/errors.ts";
import { isServerError, translated } from "./errors.ts";

/** A value as it goes to the server: as text, or bytes for our own tables. Arrays are one parameter. */
export type SqlParameter = string | number | boolean | null | Uint8Array | readonly SqlParameter[];
/** A row as it comes: each value as the server writes it, null as null. */
export type TextRow = readonly (string | null)[];

export type ConnectionOptions = {
  /** How long a statement waits for another session's lock before DATABASE_BUSY. */
  readonly busyMs?: number;
  /** How long one statement of a load may take in all before DATABASE_BUSY. */
  readonly statementMs?: number;
  /** See `OpenOptions`: here an advisory lock of each session; the text is a part of its application_name. */
  readonly alone?: string;
};

const CONNECT_MS = 10_000;
const BUSY_MS = 5_000;
const STATEMENT_MS = 60_000;

/**
 * One session with one PostgreSQL database. Values are exchanged as text, exactly as the server writes and reads them, under
 * settings that lose nothing. Statements that are sent together travel together (the driver's pipeline) and are carried out
 * in the order they were sent. When the session broke, the next use outside a transaction begins a new one.
 */
export class Connection {
  readonly #config: ClientConfig & { readonly pipeline: boolean };
  readonly #names = new Map<string, string>();
  #named = 0;
  #client: Client | null = null;
  #gathering: Writable | null = null;
  #connecting: Promise<Client> | null = null;
  #inTransaction = false;
  readonly #isAlone: boolean;
  readonly #limits: { readonly busyMs: number; readonly statementMs: number };

  constructor(url: string, options: ConnectionOptions = {}) {
    this.#limits = { busyMs: options.busyMs ?? BUSY_MS, statementMs: options.statementMs ?? STATEMENT_MS };
    this.#isAlone = options.alone !== undefined;
    this.#config = {
      connectionString: url,
      application_name: options.alone === undefined ? "waybill" : `waybill ${options.alone}`,
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      pipeline: true,
      options: settings(this.#limits.busyMs),
      types: { getTypeParser: (() => asItIs) as never },
    };
  }

  /** @throws DATABASE_UNAVAILABLE when the server does not answer; ALREADY_RUNNING when another holds the database `alone` */
  async open(): Promise<void> {
    await this.#session();
  }

  /** A prepared statement, named by its text: parsed once a session. */
  async query(sql: string, ...values: readonly SqlParameter[]): Promise<readonly TextRow[]> {
    return (await this.#told(this.raw(sql, values), sql)).rows;
  }
  /** How many rows it touched. */
  async run(sql: string, ...values: readonly SqlParameter[]): Promise<number> {
    return (await this.#told(this.raw(sql, values), sql)).rowCount ?? 0;
  }
  /** Statements without parameters that are used once: DDL. Several may stand in one text. */
  async script(sql: string): Promise<void> {
    const client = this.#client ?? (await this.#session());
    this.#gather(client);
    await this.#told(client.query(sql), sql);
  }
  /** As `query`, with the server's own error thrown: for whoever judges it. */
  async raw(sql: string, values: readonly SqlParameter[] = []): Promise<QueryResult<string[]>> {
    const client = this.#client ?? (await this.#session()); // no pause where a session is there: what is sent keeps its order
    this.#gather(client);
    try {
      return await client.query<string[]>({
        name: this.#nameOf(sql),
        text: sql,
        values: values.map(toDriver),
        rowMode: "array",
      });
    } catch (thrown) {
      // "cached plan must not change result type": a column was altered. The next time it is parsed under another name.
      if (isServerError(thrown) && thrown.code === "0A000") this.#names.delete(sql);
      throw isServerError(thrown) ? thrown : translated(thrown, "query");
    }
  }

  /** What is sent in one turn of the event loop leaves in one write to the socket: a write costs more than most of the statements. */
  #gather(client: Client): void {
    const { stream } = (client as unknown as { readonly connection: { readonly stream: Writable } }).connection;
    if (this.#gathering === stream) return;
    this.#gathering = stream;
    stream.cork();
    process.nextTick(() => {
      this.#gathering = null;
      stream.uncork();
    });
  }

  /**
   * Runs `work` in one transaction, durable when it resolves and undone when it throws. When the connection breaks at the very
   * commit, it rejects although the commit may stand: marks written within tell.
   * @throws what `work` threw
   */
  async transaction<T>(begin: Begin, work: () => Promise<T>): Promise<T> {
    if (this.#inTransaction) throw new WaybillError("INTERNAL", "a transaction is open on this connection");
    await this.#session();
    this.#inTransaction = true;
    try {
      // Sent without waiting: it travels with the first statement of the work, which fails too if this one does.
      const begun = this.script(begin);
      begun.catch(() => undefined);
      const result = await work();
      await begun;
      await this.script("commit");
      return result;
    } catch (thrown) {
      await this.#rollback();
      throw thrown;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** SQL for the begin of a transaction: its statements' limits, so many times as long as usual. */
  limits(patience: number): string {
    const { busyMs, statementMs } = this.#limits;
    return `set local lock_timeout = ${busyMs * patience}; set local statement_timeout = ${statementMs * patience}`;
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => undefined); // it was broken already
  }

  /** A session that cannot even roll back is given up: the server ends its transaction when the connection is gone. */
  async #rollback(): Promise<void> {
    const client = this.#client;
    if (client === null) return;
    try {
      await client.query("rollback");
    } catch {
      await this.close();
    }
  }

  async #session(): Promise<Client> {
    if (this.#client !== null) return this.#client;
    if (this.#inTransaction) throw new WaybillError("DATABASE_UNAVAILABLE", "the connection broke in a transaction");
    // Statements that are sent together after a loss begin one session, not one each.
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #connect(): Promise<Client> {
    const client = new Client(this.#config);
    const lost = (): void => {
      if (this.#client === client) this.#client = null;
    };
    client.on("error", lost);
    client.on("end", lost);
    try {
      await client.connect();
      // A commit must be on the disk before we say so; a setting that is stricter still is left alone.
      await client.query(
        "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
      );
      if (this.#isAlone) await holdAlone(client);
    } catch (thrown) {
      await client.end().catch(() => undefined); // it never was one
      throw unavailable(thrown);
    }
    this.#client = client;
    return client;
  }

  async #told<T>(answer: Promise<T>, doing: string): Promise<T> {
    try {
      return await answer;
    } catch (thrown) {
      throw translated(thrown, doing.slice(0, 80));
    }
  }

  #nameOf(sql: string): string {
    const known = this.#names.get(sql);
    if (known !== undefined) return known;
    const made = `waybill_${this.#named++}`;
    this.#names.set(sql, made);
    return made;
  }
}

export const LOAD = "begin isolation level read committed";
/** All statements see the database as of the first. */
export const SNAPSHOT = "begin isolation level repeatable read";
export type Begin = typeof LOAD | typeof SNAPSHOT | `${typeof LOAD}; ${string}`;

const asItIs = (text: string): string => text;

/** A Buffer is what the driver takes for bytes. */
function toDriver(value: SqlParameter): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return Array.isArray(value) ? value.map(toDriver) : value;
}

/** "WBAG": whoever serves a terminal's database alone holds this advisory lock of it. */
const ALONE = "1463959879, 0";

/**
 * The lock is the session's: it ends with the process however that ends, and a session begun after a loss takes it anew. It is
 * waited for as long as for any lock, since the server may notice a killed process a moment later than its successor starts.
 */
async function holdAlone(client: Client): Promise<void> {
  try {
    await client.query(`select pg_advisory_lock(${ALONE})`);
  } catch (thrown) {
    if (!isServerError(thrown) || thrown.code !== LOCK_NOT_AVAILABLE) throw thrown;
    const { rows } = await client.query<{ who: string; pid: number; host: string | null; since: Date }>(
      `select a.application_name as who, a.pid, a.client_addr::text as host, a.backend_start as since
       from pg_locks l join pg_stat_activity a on a.pid = l.pid join pg_database d on d.oid = l.database
       where l.locktype = 'advisory' and l.granted and (l.classid::bigint, l.objid::bigint) = (${ALONE})
         and d.datname = current_database()`,
    );
    const [holder] = rows;
    const by = holder
      ? ` by "${holder.who}" (session ${holder.pid} from ${holder.host ?? "this machine"}, since ${String(holder.since)})`
      : "";
    throw new WaybillError("ALREADY_RUNNING", `the terminal database is held${by}`, {
      cause: thrown,
      ...(holder && { facts: { session: holder.pid, holder: holder.who, since: String(holder.since) } }),
    });
  }
}
const LOCK_NOT_AVAILABLE = "55P03";

/** Every failure to connect is the database's: a wrong password too is mended while we wait. */
function unavailable(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown instanceof WaybillError) return thrown;
  return new WaybillError("DATABASE_UNAVAILABLE", `connect: ${thrown.message}`, { cause: thrown });
}

/**
 * What the text form of values depends on, fixed: the same value has the same letters whatever the server's own settings are.
 * `public` alone is searched, so that no name of ours can mean a table of somebody else's.
 */
const settings = (busyMs: number): string =>
  [
    "timezone=UTC",
    "datestyle=ISO",
    "intervalstyle=iso_8601",
    "bytea_output=hex",
    "extra_float_digits=3",
    "client_encoding=UTF8",
    "search_path=public",
    // A machine that lost its power holds locks here until the server misses it: a minute and a half, not two hours.
    "tcp_keepalives_idle=60",
    "tcp_keepalives_interval=10",
    "tcp_keepalives_count=3",
    `lock_timeout=${busyMs}`,
  ]
    .map((setting) => `-c ${setting}`)
    .join(" ");

/** A name as SQL takes it, whatever characters it has. Names come from *describe* and from our config, never from a message. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
/** A text as SQL writes it, for DDL, which takes no parameters. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
