import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { epoch, seq, type Seq } from "../../../base/ids.ts";
import { systemRuntime } from "../../../base/runtime.ts";
import { CHAIN_START, chainNext, sameChain } from "../../../message/chain.ts";
import type { Change, Message, Row } from "../../../message/change.ts";
import type { Capture, CapturePlan, PackLimits, PackOutcome } from "../../port.ts";
import { Connection, quoted } from "../connection.ts";
import { Catalog } from "../describe.ts";
import { rowToWire, carried, allRows } from "../rows.ts";
import { sqliteCapture } from "./capture.ts";

/** For tests of capture: a database file, the application's own connection to it, and ours. */
export class Till implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "waybill-capture-"));
  readonly path: string = join(this.folder, "till.db");
  readonly app: DatabaseSync = new DatabaseSync(this.path);
  connection: Connection;
  catalog: Catalog;
  capture: Capture;
  /** The last message that `messages` has given. */
  read: Seq = seq(0);

  constructor(schema: string) {
    this.app.exec(schema);
    [this.connection, this.catalog, this.capture] = this.#open();
  }

  static async with(schema: string, plan: Partial<CapturePlan> & Pick<CapturePlan, "tables">): Promise<Till> {
    const till = new Till(schema);
    await till.start(plan);
    return till;
  }

  async start(plan: Partial<CapturePlan> & Pick<CapturePlan, "tables">): Promise<void> {
    await this.capture.install({ role: "terminal", quietGapMs: 1_000, ...plan });
    await this.capture.beginEpoch(epoch("e1"), null);
  }

  /** As after a kill: whatever was only in memory is gone. */
  reopen(): void {
    this.connection.close();
    [this.connection, this.catalog, this.capture] = this.#open();
  }

  #open(): [Connection, Catalog, Capture] {
    const connection = new Connection(this.path);
    const catalog = new Catalog(connection);
    return [connection, catalog, sqliteCapture(connection, catalog, systemRuntime.random)];
  }

  async pack(limits: Partial<PackLimits> = {}): Promise<PackOutcome> {
    let outcome: PackOutcome;
    const remade: string[] = [];
    do {
      outcome = await this.capture.pack({ ...LIMITS, ...limits });
      remade.push(...outcome.remade);
    } while (outcome.more);
    return { ...outcome, remade };
  }

  async resyncAll(pageRows = 100): Promise<void> {
    while ((await this.capture.resyncStep(pageRows)) === "more");
  }

  /** The messages packed since the last call, put together from their parts; number and chain are checked. */
  async messages(): Promise<readonly SentMessage[]> {
    const { packedThrough } = await this.capture.state();
    const found: SentMessage[] = [];
    let after = { seq: this.read, part: 0 };
    let parts: Change[] = [];
    while (after.seq < packedThrough || parts.length > 0) {
      const lines = await this.capture.lines(after, 100_000);
      for (const line of lines) {
        const message = JSON.parse(Buffer.from(line.bytes).toString()) as SentMessage;
        parts.push(...(message.changes ?? []));
        after = { seq: line.seq, part: line.part };
        if (line.more) continue;
        found.push({ ...message, changes: parts });
        parts = [];
        after = { seq: line.seq, part: 0 };
      }
    }
    this.read = packedThrough;
    return found;
  }

  /** Packs and gives all changes since the last call. */
  async changes(): Promise<readonly Change[]> {
    await this.pack();
    return (await this.messages()).flatMap((message) => message.changes);
  }

  /** The table as its rows would go over the wire, by key. */
  rows(table: string): Map<string, Row> {
    const shape = this.catalog.table(table);
    const columns = carried(shape);
    const list = columns.map((column) => `t.${quoted(column.name)}`).join(", ");
    const rows = allRows(this.connection.exact(`select ${list} from ${quoted(table)} as t`), []).map((row) =>
      rowToWire(columns, row),
    );
    return new Map(rows.map((row) => [keyOf(row, shape.key), row]));
  }

  keyOf(table: string, row: Row): string {
    return keyOf(row, this.catalog.table(table).key);
  }

  [Symbol.dispose](): void {
    this.connection.close();
    if (this.app.isOpen) this.app.close();
    rmSync(this.folder, { recursive: true });
  }
}

export const LIMITS: PackLimits = { partBytes: 256 * 1024, valueBytes: 1024 * 1024, lockMs: 100 };
export type SentMessage = Message & { readonly refused?: string; readonly table?: string; readonly key?: Row };

const keyOf = (row: Row, key: readonly string[]): string => JSON.stringify(key.map((name) => row[name]));

/** What a receiver that does as it is told would have: the changes of one table applied in order, with no forgiveness. */
export class Replica {
  readonly rows: Map<string, Row>;
  readonly #table: string;
  readonly #keyOf: (row: Row) => string;

  constructor(till: Till, table: string) {
    this.#table = table;
    this.#keyOf = (row) => till.keyOf(table, row);
    this.rows = till.rows(table);
  }

  apply(changes: readonly Change[]): this {
    for (const change of changes) if (change.table === this.#table) this.#one(change);
    return this;
  }

  #one(change: Change): void {
    const key = this.#keyOf(change.key);
    const now = this.rows.get(key);
    if (change.op !== "upsert" && (change.op === "insert") !== (now === undefined)) {
      throw new Error(`${change.op} of ${this.#table} ${key}, which is ${now ? "there" : "absent"}`);
    }
    if (change.before && JSON.stringify(change.before) !== JSON.stringify(now)) {
      throw new Error(
        `${change.op} of ${this.#table} ${key}: before is ${JSON.stringify(change.before)}, the row ${JSON.stringify(now)}`,
      );
    }
    this.rows.delete(key);
    if (change.row) this.rows.set(this.#keyOf(change.row), change.row);
  }
}

/** The chain over lines of one epoch from its start. */
export function chainIsWhole(lines: readonly { readonly bytes: Uint8Array; readonly chain: Uint8Array }[]): boolean {
  let chain: Uint8Array = CHAIN_START;
  return lines.every((line) => {
    chain = chainNext(chain, line.bytes);
    return sameChain(chain, line.chain);
  });
}
