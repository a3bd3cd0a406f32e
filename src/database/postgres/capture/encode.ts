import type { TextRow } from "../connection.ts";
import { momentOf, toWire, toWireJson } from "../values.ts";
import type { Layout, LayoutColumn } from "./layout.ts";

/** What a trigger or a resync wrote, as it stands in `waybill_outbox`. */
export type OutboxRow = {
  readonly id: string;
  readonly layout: Layout;
  readonly op: string;
  readonly at: string;
  readonly origin: string | null;
  readonly aim: string | null;
  readonly before: Values | null;
  readonly after: Values | null;
};
/** Values as JSON, in the order of the layout's columns; undefined where the table no longer had the column. */
type Values = readonly (string | undefined)[];

/** Columns in the order that `readRow` expects; `o` stands for waybill_outbox. */
export const OUTBOX_COLUMNS =
  "o.id, o.layout, o.op, o.at, o.origin, o.aim, array_to_json(o.old), array_to_json(o.new), o.loose";

export function readRow(row: TextRow, layouts: ReadonlyMap<number, Layout>): OutboxRow | null {
  const [id, number, op, at, origin, aim, old, now, loose] = row;
  const layout = layouts.get(Number(number));
  if (!layout) return null;
  const both = loose ? (JSON.parse(loose) as Loose) : null;
  return {
    id: id ?? "",
    layout,
    op: op ?? "",
    at: momentOf(at ?? ""),
    origin: origin ?? null,
    aim: aim ?? null,
    before: both ? looseValues(both.old, layout) : exactValues(old, layout),
    after: both ? looseValues(both.new, layout) : exactValues(now, layout),
  };
}
type Loose = { readonly old: LooseRow | null; readonly new: LooseRow | null };
type LooseRow = Readonly<Record<string, unknown>>;

function exactValues(json: string | null | undefined, layout: Layout): Values | null {
  if (!json) return null;
  const texts = JSON.parse(json) as (string | null)[];
  return layout.columns.map((column, i) => toWireJson(column, texts[i] ?? null));
}

/** The columns that the table still had, in the form that JSON has for them. */
function looseValues(row: LooseRow | null, layout: Layout): Values | null {
  if (!row) return null;
  return layout.columns.map((column) => {
    if (!Object.hasOwn(row, column.name)) return undefined;
    const value = row[column.name] ?? null;
    const text = value === null || typeof value === "string" ? value : JSON.stringify(value);
    return JSON.stringify(toWire(column, text)); // of another type by now, perhaps: not in the server's letters
  });
}

/** One element of `changes` (contracts: "Messages up"), with the members `origin` and `aim` where the publisher needs them. */
export function changeOf(row: OutboxRow): string {
  const { columns, table } = row.layout;
  const after = row.after ? `,"row":${members(columns, row.after)}` : "";
  const before = row.before ? `,"before":${members(columns, row.before)}` : "";
  const origin = row.origin === null ? "" : `,"origin":${JSON.stringify(row.origin)}`;
  const aim = row.aim === null ? "" : `,"aim":${JSON.stringify(row.aim)}`;
  return `{"table":${JSON.stringify(table)},"op":"${row.op}","key":${keyJson(row)}${after}${before}${origin}${aim}}`;
}

/** The key before the change. */
export function keyJson({ layout: { columns, key }, before, after }: OutboxRow): string {
  const values = before ?? after ?? [];
  let text = "";
  for (const name of key) {
    const at = columns.findIndex((column) => column.name === name);
    text += `${text === "" ? "" : ","}${columns[at]?.label ?? `${JSON.stringify(name)}:`}${values[at] ?? "null"}`;
  }
  return `{${text}}`;
}

// Written by hand, not as an object for JSON.stringify: a column may be called __proto__, or 7 (which would come first).
function members(columns: readonly LayoutColumn[], values: Values): string {
  let text = "";
  for (let at = 0; at < columns.length; at++) {
    const [column, value] = [columns[at], values[at]];
    if (column && value !== undefined) text += `${text === "" ? "" : ","}${column.label}${value}`;
  }
  return `{${text}}`;
}
