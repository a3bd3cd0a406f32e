import type { WireValue } from "../../../message/change.ts";
import type { TextRow } from "../connection.ts";
import { momentOf, toWire } from "../values.ts";
import type { Layout } from "./layout.ts";

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
/** Column and value in the table's order; the value as text, null for NULL. */
type Values = readonly (readonly [string, WireValue])[];

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
  return layout.columns.map((column, i) => [column.name, toWire(column, texts[i] ?? null)]);
}

/** The columns that the table still had, in the form that JSON has for them. */
function looseValues(row: LooseRow | null, layout: Layout): Values | null {
  if (!row) return null;
  return layout.columns.flatMap((column): [string, WireValue][] => {
    if (!Object.hasOwn(row, column.name)) return [];
    const value = row[column.name] ?? null;
    const text = value === null || typeof value === "string" ? value : JSON.stringify(value);
    return [[column.name, toWire(column, text)]];
  });
}

/** One element of `changes` (contracts: "Messages up"), with the members `origin` and `aim` where the publisher needs them. */
export function changeOf(row: OutboxRow): string {
  const after = row.after ? `,"row":${members(row.after)}` : "";
  const before = row.before ? `,"before":${members(row.before)}` : "";
  const origin = row.origin === null ? "" : `,"origin":${JSON.stringify(row.origin)}`;
  const aim = row.aim === null ? "" : `,"aim":${JSON.stringify(row.aim)}`;
  return `{"table":${JSON.stringify(row.layout.table)},"op":"${row.op}","key":${keyJson(row)}${after}${before}${origin}${aim}}`;
}

/** The key before the change. */
export function keyJson({ layout, before, after }: OutboxRow): string {
  const values = new Map(before ?? after ?? []);
  return members(layout.key.map((name) => [name, values.get(name) ?? null]));
}

// Written by hand, not as an object for JSON.stringify: a column may be called __proto__, or 7 (which would come first).
const members = (values: Values): string =>
  `{${values.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`;
