import { Pool, types, type PoolClient, type PoolConfig } from "pg";
import { instant, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import { SetBack } from "../set-back.ts";
import type { LedgerAddress } from "./address.ts";
import { isRepeatable, translated } from "./faults.ts";
import { Tx } from "./tx.ts";

/** What a ledger needs of the outside world. Its time of day is the server's. */
export type LedgerParts = Pick<Runtime, "random" | "timers"> & { readonly clock: Pick<Runtime["clock"], "elapsed"> };

/** A transaction that met another process is tried again so often; each time the other has got on. */
const TRIES = 8;
/** A process that is paused within a transaction keeps its locks no longer than this. */
const PAUSED_MS = 10_000;
const STATEMENT_MS = 60_000;
const CONNECT_MS = 5_000;

/** The ledger's connections. Every use is one transaction: this works behind a transaction pooler too. */
export class Store {
  readonly address: LedgerAddress;
  /** The newest form of the ledger that this process knows; set once the ledger has been migrated. */
  form = Number.MAX_SAFE_INTEGER;
  readonly setBack = new SetBack();
  /** Brings forward what would wait for the clock's old time. */
  onSetBack: (tx: Tx) => Promise<void> = async () => undefined;
  readonly #pool: Pool;
  readonly #parts: LedgerParts;
  readonly #begin: { readonly write: string; readonly read: string };

  constructor(address: LedgerAddress, parts: LedgerParts, connections: number) {
    this.address = address;
    this.#parts = parts;
    this.#pool = new Pool({ ...configOf(address), max: connections });
    // A connection that breaks (the server was restarted) is replaced at its next use; what was under way on it has failed
    // with the same error, and needs no second messenger.
    this.#pool.on("error", () => undefined);
    this.#pool.on("connect", (client) => void client.on("error", () => undefined));
    const settings = settingsOf(address);
    this.#begin = {
      write: `begin isolation level read committed; ${settings}`,
      read: `begin isolation level repeatable read read only; ${settings}`,
    };
  }

  /**
   * One transaction with full durability: when it resolves, the commit is on disk; when it rejects, nothing happened, or, if
   * the connection broke at the commit itself, it may have: every port method can be called again to find out.
   */
  async write<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        // Nothing may be written at a clock's new time before what waits for its old one is brought forward.
        const done = await this.#transaction(this.#begin.write, async (tx) =>
          this.setBack.pending ? null : { result: await work(tx) },
        );
        if (done !== null) return done.result;
        await this.#transaction(this.#begin.write, this.onSetBack);
        this.setBack.mended();
      } catch (thrown) {
        if (tries === TRIES || !isRepeatable(thrown)) throw thrown;
        await this.#parts.timers.sleep(this.#parts.random.next() * 10 * tries);
      }
    }
  }

  /** Reads that belong together: all of them see the ledger as of one moment. */
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#transaction(this.#begin.read, work);
  }

  /** Statements that are run once, outside any form: migrations. */
  async script<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    let broken = true;
    try {
      const result = await work(client);
      broken = false;
      return result;
    } catch (thrown) {
      throw translated(thrown);
    } finally {
      client.release(broken);
    }
  }

  /** The usual way of asking, on a connection that `script` has within a transaction of its own. */
  tx(client: PoolClient, now: Instant): Tx {
    return new Tx(client, { random: this.#parts.random, named: false, now });
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (thrown) {
      throw translated(thrown);
    }
  }

  async #transaction<T>(begin: string, work: (tx: Tx) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    let broken = true;
    const { random, clock } = this.#parts;
    try {
      const asked = clock.elapsed();
      const [, answer] = await Promise.all([client.query(begin), client.query<{ now: number; form: number }>(NOW)]);
      const state = answer.rows[0];
      if (state === undefined) throw new WaybillError("INTERNAL", "the ledger has no clock");
      if (state.form > this.form) throw newerThan(this.form, state.form);
      this.setBack.read(instant(state.now), asked, clock.elapsed());
      const tx = new Tx(client, { random, named: this.address.listens, now: instant(state.now) });
      const result = await work(tx);
      const told = tx.writeEvents();
      told.catch(() => undefined); // the commit below then rolls back, and the error is thrown from here
      const ended = client.query("commit");
      ended.catch(() => undefined);
      await told;
      await ended;
      broken = false;
      return result;
    } catch (thrown) {
      try {
        await client.query("rollback");
        broken = false;
      } catch {
        // The connection is of no use any more: the pool gives it up, and the server rolls back.
      }
      throw translated(thrown);
    } finally {
      client.release(broken);
    }
  }
}

/** The oldest form a process must know rides along with the clock: a hub of yesterday stops at the first write after a migration. */
const NOW = "select ledger_now() as now, (select max(safe_for) from ledger_form) as form";

export const newerThan = (known: number, found: number): WaybillError =>
  new WaybillError("SCHEMA_NEWER", `the ledger needs a Waybill that knows its form ${found}, this one knows ${known}`, {
    facts: { found, known },
  });

const quoted = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`;

/** Set anew in each transaction: behind a pooler the next one may be on another connection. */
const settingsOf = ({ schema }: LedgerAddress): string =>
  [
    `set local search_path = ${quoted(schema)}`,
    "set local jit = off", // compiling a statement takes ten times as long as any of ours runs
    `set local statement_timeout = ${STATEMENT_MS}`,
    `set local idle_in_transaction_session_timeout = ${PAUSED_MS}`,
    // I2: an acknowledgement is worth nothing over a commit that a power cut takes back. A stricter setting stays.
    "select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'",
  ].join("; ");

const INT8 = 20;
const JSON_TYPES: ReadonlySet<number> = new Set([114, 3802]);

export const configOf = ({ connection, schema }: LedgerAddress): PoolConfig & { readonly pipeline: boolean } => ({
  connectionString: connection,
  application_name: `waybill ${schema}`,
  connectionTimeoutMillis: CONNECT_MS,
  query_timeout: STATEMENT_MS + 5_000, // the network is cut: the server's own limit cannot be heard
  keepAlive: true,
  pipeline: true,
  types: {
    // Our own counters and times stay below 2^53; JSON is ours and is read where it is used.
    getTypeParser: (oid: number, format?: "text" | "binary"): unknown => {
      if (oid === INT8) return Number;
      return JSON_TYPES.has(oid) ? String : types.getTypeParser(oid, format);
    },
  },
});
