import { instant, isoOf } from "../../../base/clock.ts";
import type { Connection } from "../connection.ts";
import { toWire, type SqlValue } from "../values.ts";
import { readLayout, type Layout } from "./layout.ts";

/** What a trigger or a resync wrote, as it stands in `waybill_outbox`. */
export type OutboxRow = {
  readonly id: number;
  readonly layout: Layout;
  readonly op: OutboxOp;
  /** Julian day, by the terminal's clock; the same within one statement. */
  readonly at: number;
  readonly origin: string | null;
  readonly aim: string | null;
  /** The captured columns before (empty for insert and upsert) and after (empty for delete). */
  readonly before: readonly SqlValue[];
  readonly after: readonly SqlValue[];
};
export type OutboxOp = "insert" | "update" | "delete" | "upsert";

const JULIAN_DAY_OF_1970 = 2_440_587.5;
const DAY_MS = 86_400_000;
/** As ISO 8601 in milliseconds: SQLite's clock has no more. */
export const isoOfJulian = (day: number): string => isoOf(instant((day - JULIAN_DAY_OF_1970) * DAY_MS));

/** Reads outbox rows and writes changes as they go over the wire. One to a look at the outbox: it knows the width of the moment. */
export class Encoder {
  readonly #connection: Connection;
  readonly #width: number;
  readonly #layouts = new Map<number, Prepared>();

  constructor(connection: Connection, width: number) {
    this.#connection = connection;
    this.#width = width;
  }

  /** Columns in the order that `row` expects; `o` stands for waybill_outbox. */
  get columns(): string {
    return [..."id layout op at origin aim".split(" ").map((name) => `o.${name}`), ...this.valueColumns].join(", ");
  }
  /** The columns that hold the application's values. */
  get valueColumns(): readonly string[] {
    const numbers = Array.from({ length: this.#width }, (_, i) => i);
    return [...numbers.map((i) => `o.o${i}`), ...numbers.map((i) => `o.n${i}`)];
  }

  row(values: readonly SqlValue[]): OutboxRow {
    const op = String(values[2]) as OutboxOp;
    const { layout } = this.#prepared(Number(values[1]));
    const count = layout.columns.length;
    return {
      id: Number(values[0]),
      layout,
      op,
      at: Number(values[3]),
      origin: textOrNull(values[4]),
      aim: textOrNull(values[5]),
      before: op === "update" || op === "delete" ? values.slice(6, 6 + count) : [],
      after: op === "delete" ? [] : values.slice(6 + this.#width, 6 + this.#width + count),
    };
  }

  /** One element of `changes` (contracts: "Messages up"), with the members `origin` and `aim` where the publisher needs them. */
  change(row: OutboxRow): string {
    const { table } = this.#prepared(row.layout.id);
    const after = row.after.length > 0 ? `,"row":${this.#members(row, row.after)}` : "";
    const before = row.before.length > 0 ? `,"before":${this.#members(row, row.before)}` : "";
    const origin = row.origin === null ? "" : `,"origin":${JSON.stringify(row.origin)}`;
    const aim = row.aim === null ? "" : `,"aim":${JSON.stringify(row.aim)}`;
    return `{"table":${table},"op":"${row.op}","key":${this.key(row)}${after}${before}${origin}${aim}}`;
  }

  /** The key before the change, as a JSON object. */
  key(row: OutboxRow): string {
    return this.#keyIn(row, row.before.length > 0 ? row.before : row.after);
  }
  /** The key after it; for a delete, the key of the row that was. */
  newKey(row: OutboxRow): string {
    return this.#keyIn(row, row.after.length > 0 ? row.after : row.before);
  }
  /** The table's name in JSON. */
  table(row: OutboxRow): string {
    return this.#prepared(row.layout.id).table;
  }

  #keyIn(row: OutboxRow, values: readonly SqlValue[]): string {
    const { key, names } = this.#prepared(row.layout.id);
    return `{${key.map((i) => this.#member(row, names, i, values)).join(",")}}`;
  }
  // Written by hand, not as an object for JSON.stringify: a column may be called __proto__, or 7 (which would come first).
  #members(row: OutboxRow, values: readonly SqlValue[]): string {
    const { names } = this.#prepared(row.layout.id);
    let text = "{";
    for (let i = 0; i < values.length; i++) text += `${i === 0 ? "" : ","}${this.#member(row, names, i, values)}`;
    return `${text}}`;
  }
  #member(row: OutboxRow, names: readonly string[], i: number, values: readonly SqlValue[]): string {
    const kind = row.layout.columns[i]?.kind ?? "text";
    return `${names[i]}${JSON.stringify(toWire(kind, values[i] ?? null))}`;
  }

  #prepared(id: number): Prepared {
    const known = this.#layouts.get(id);
    if (known) return known;
    const layout = readLayout(this.#connection, id);
    const made = {
      layout,
      table: JSON.stringify(layout.table),
      names: layout.columns.map(({ name }) => `${JSON.stringify(name)}:`),
      key: layout.key.map((name) => layout.columns.findIndex((column) => column.name === name)),
    };
    this.#layouts.set(id, made);
    return made;
  }
}

type Prepared = {
  readonly layout: Layout;
  /** JSON of the table's name. */
  readonly table: string;
  /** JSON of each column's name, with its colon. */
  readonly names: readonly string[];
  /** Places of the key's columns among the columns. */
  readonly key: readonly number[];
};

const textOrNull = (value: SqlValue | undefined): string | null => (typeof value === "string" ? value : null);
