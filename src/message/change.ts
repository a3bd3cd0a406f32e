/**
 * A value as it stands on the wire (contracts: "Values"): decimals, dates and binary are strings, integers beyond ±2^53
 * are strings. A value that does not have its column's kind (SQLite allows that) is marked: `{$text}`, `{$binary}`, `{$number}`.
 * Values stay in this form from the capture to the loading statement; only a database adapter turns them into its own.
 */
export type WireValue = null | boolean | number | string | Marked | JsonValue;
/**
 * `$text`: text in a column of another kind, or JSON text that must arrive letter by letter; `$binary`: base64; `$number`:
 * a number in a column of another kind, an integer as digits alone, a binary double with a point or exponent ("5.0").
 */
export type Marked = { readonly $text: string } | { readonly $binary: string } | { readonly $number: string };
export type JsonValue = readonly unknown[] | { readonly [name: string]: unknown };

/** Columns by name. It may come from outside: read it with `field`, never with `row[name]`. */
export type Row = { readonly [column: string]: WireValue };

export const OPS = ["insert", "update", "delete", "upsert"] as const;
export type Op = (typeof OPS)[number];

/** One row's change. `row` is the full row after (absent for delete), `before` the row before where it was captured. */
export type Change = {
  readonly table: string;
  readonly op: Op;
  /** The key before the change; an update that moves the key has the new one in `row`. */
  readonly key: Row;
  readonly row?: Row;
  readonly before?: Row;
};

/** The changes of one local transaction, in order. */
export type Message = {
  readonly seq: number;
  /** When the transaction was committed at the terminal, by the terminal's clock: ISO 8601. */
  readonly at: string;
  /** W3C traceparent of the capture. */
  readonly trace?: string;
  readonly changes: readonly Change[];
};

/**
 * A column of a row that came from outside: `undefined` when absent. A name such as `constructor` is looked up among the
 * row's own members only, so that no message can reach what objects inherit.
 */
export const field = (row: Row, column: string): WireValue | undefined =>
  Object.hasOwn(row, column) ? row[column] : undefined;

export function isMarked(value: WireValue | undefined): value is Marked {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.hasOwn(value, "$text") || Object.hasOwn(value, "$binary") || Object.hasOwn(value, "$number");
}
