import { randomBytes } from "node:crypto";
import { Client } from "pg";
import { systemRuntime } from "../../base/runtime.ts";
import type { LaneName } from "../../base/ids.ts";
import type { StateRange, Subject } from "../contract/subject.ts";
import { openPostgresLedger } from "./ledger.ts";

/** A schema of its own on a real server, gone when disposed. */
export class TestSchema implements AsyncDisposable {
  readonly name: string;
  readonly url: string;
  readonly #server: string;

  constructor(server: string) {
    this.name = `t_${randomBytes(6).toString("hex")}`;
    this.#server = server;
    const url = new URL(server);
    url.searchParams.set("schema", this.name);
    this.url = url.href;
  }

  /** One query on a connection of its own, as anyone with SQL would ask. */
  async ask<Row>(sql: string, ...values: unknown[]): Promise<Row[]> {
    const client = new Client({ connectionString: this.#server });
    await client.connect();
    try {
      await client.query(`set search_path = "${this.name}"`);
      return (await client.query(sql, values)).rows as Row[];
    } finally {
      await client.end();
    }
  }

  /** A transaction that has read from the table and stays open until it is disposed. */
  async reading(table: string): Promise<AsyncDisposable> {
    const client = new Client({ connectionString: this.#server });
    await client.connect();
    await client.query(`begin; select from "${this.name}".${table} limit 1`);
    return { [Symbol.asyncDispose]: () => client.end() };
  }

  /** Breaks all connections to this schema's ledger at once, as when the server is restarted. */
  async cut(): Promise<void> {
    const mine = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
    await this.ask(mine, `waybill ${this.name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ask(`drop schema if exists "${this.name}" cascade`);
  }
}

/**
 * The ledger's clock is a function of its schema: here it stands still until it is moved on.
 * @param door the URL by which the ledger reaches the server, when it is another than the test's own
 */
export async function openSubject(
  server: string,
  door: (schema: TestSchema) => string = ({ url }) => url,
): Promise<Subject & { readonly schema: TestSchema }> {
  const schema = new TestSchema(server);
  const start = () => openPostgresLedger(door(schema), { ...systemRuntime, clock: { elapsed: () => elapsed } });
  let elapsed = 0;
  let ledger = await start();
  const admin = new Client({ connectionString: server });
  await admin.connect();
  await admin.query(`set search_path = "${schema.name}"`);
  let now = Date.now();
  const setClock = () =>
    admin.query(
      `create or replace function ledger_now() returns bigint language sql volatile as 'select ${now}::bigint'`,
    );
  await setClock();
  return {
    get ledger() {
      return ledger;
    },
    schema,
    leasesOutliveRestart: true,
    advance: async (ms) => {
      now += ms;
      elapsed += ms;
      await setClock();
    },
    setBack: async (ms) => {
      now -= ms;
      await setClock();
    },
    restart: async () => {
      await ledger[Symbol.asyncDispose]();
      ledger = await start();
    },
    ranges: async (lane: LaneName) => {
      const { rows } = await admin.query(
        `select s.from_seq::float8 as "from", s.through_seq::float8 as through, s.state
         from message_state s join lane l on l.id = s.lane where l.terminal || '/' || l.epoch = $1 order by 1`,
        [lane],
      );
      return rows as StateRange[];
    },
    [Symbol.asyncDispose]: async () => {
      await ledger[Symbol.asyncDispose]();
      await admin.end();
      await schema[Symbol.asyncDispose]();
    },
  };
}
