import type { ClientBase } from "pg";
import type { Instant } from "../../base/clock.ts";
import { actorOf, requestTraceOf, type Seq } from "../../base/ids.ts";
import type { Random } from "../../base/runtime.ts";
import type { NewEvent } from "../events.ts";
import { translated } from "./faults.ts";

/** What may stand for `$1`, `$2` … in a statement. Bytes travel as they are, arrays as PostgreSQL arrays. */
export type SqlValue = string | number | boolean | null | Uint8Array | readonly (string | number | boolean | null)[];

/** The power of two that `count` numbers fit in; see the table `event`. */
const spanOf = (count: number): number => Math.ceil(Math.log2(count));

/**
 * One transaction on one connection. Statements are sent without waiting for each other's answers (the connection is
 * pipelined) and are carried out in the order in which they were sent.
 */
export class Tx {
  readonly random: Random;
  readonly #client: ClientBase;
  readonly #named: boolean;
  readonly #now: Instant;
  readonly #events: NewEvent[] = [];

  constructor(client: ClientBase, parts: { readonly random: Random; readonly named: boolean; readonly now: Instant }) {
    this.#client = client;
    this.random = parts.random;
    this.#named = parts.named;
    this.#now = parts.now;
  }

  /** The server's clock when the transaction began: one time for all that it writes. */
  now(): Instant {
    return this.#now;
  }

  /** The row as the query's columns name it: the caller's type says what the SQL beside it selects. */
  async get<Row>(sql: string, ...values: SqlValue[]): Promise<Row | undefined> {
    return (await this.all<Row>(sql, ...values))[0];
  }
  async all<Row>(sql: string, ...values: SqlValue[]): Promise<Row[]> {
    return (await this.#query(sql, values)).rows as Row[];
  }
  /** Runs a writing statement; gives how many rows it touched. */
  async run(sql: string, ...values: SqlValue[]): Promise<number> {
    return (await this.#query(sql, values)).rowCount ?? 0;
  }

  /** Remembers a line of the audit trail; all lines of a transaction are written together, before it commits. */
  tell(event: NewEvent): void {
    this.#events.push(event);
  }

  /** Writes what `tell` was given, in order. */
  async writeEvents(): Promise<void> {
    const events = this.#events.splice(0);
    if (events.length === 0) return;
    const column = <K extends keyof NewEvent>(name: K): NewEvent[K][] => events.map((event) => event[name]);
    await this.run(
      `insert into event (at, lane, from_seq, through_seq, span, kind, actor, request_trace, detail)
       select $1, e.lane, e.from_seq, e.through_seq, e.span, e.kind, e.actor, e.request_trace, e.detail
       from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[])
         with ordinality as e (lane, from_seq, through_seq, span, kind, actor, request_trace, detail, place)
       order by e.place`,
      this.#now,
      column("lane"),
      column("from"),
      column("through"),
      events.map(({ from, through }: { from: Seq; through: Seq }) => spanOf(through - from + 1)),
      column("kind"),
      events.map(({ by }) => actorOf(by)),
      events.map(({ by }) => requestTraceOf(by)),
      column("detail").map(storable),
    );
  }

  async #query(text: string, values: readonly SqlValue[]): Promise<{ rows: unknown[]; rowCount: number | null }> {
    try {
      return await this.#client.query({ ...(this.#named ? { name: nameOf(text) } : {}), text, values: [...values] });
    } catch (thrown) {
      throw translated(thrown);
    }
  }
}

/** PostgreSQL has no character 0; what a terminal or database said is told all the same. */
export const storable = (text: string): string => text.replaceAll("\0", "\ufffd");

/**
 * For a jsonb column: there the character 0 does not exist either, in no writing. A key that holds one could be written to
 * no PostgreSQL, so two keys that differ in it alone are not met; at worst a message waits for one it need not wait for.
 */
export const json = (value: unknown): string => storableJson(JSON.stringify(value));
export const storableJson = (text: string): string => text.replaceAll("\\u0000", "\ufffd");

const names = new Map<string, string>();
/** Each statement text is prepared once a connection, under a name of its own. */
function nameOf(text: string): string {
  const known = names.get(text);
  if (known !== undefined) return known;
  const name = `waybill_${names.size + 1}`;
  names.set(text, name);
  return name;
}
