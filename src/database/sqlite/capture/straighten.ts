import { Buffer } from "node:buffer";
import type { SqlValue } from "../values.ts";
import type { Encoder, OutboxRow } from "./encode.ts";

/**
 * Puts right what an application's stamping trigger brings out of order when it fires before ours: its update of the row is
 * then recorded first, and the statement's own record, which shows the row with the stamp already, after it. Such an
 * update is left out: the statement's record tells all of it, with the before-image that the statement found.
 *
 * It is known by two signs: both records are of one statement (SQLite's clock stands still within one), and the later one
 * does not begin where the earlier one ended: it is an insert, or its before-image is another row.
 */
export function straighten(rows: readonly OutboxRow[], encoder: Encoder): readonly OutboxRow[] {
  if (!rows.some((row) => row.op === "update")) return rows;
  const left = new Set<OutboxRow>();
  /** By key: the records of the row that the next one may have to overrule, latest last. */
  const trails = new Map<string, OutboxRow[]>();
  for (const row of rows) {
    const table = encoder.table(row);
    const from = `${table}${encoder.key(row)}`;
    const to = `${table}${encoder.newKey(row)}`;
    const trail = trails.get(from) ?? [];
    leaveOut(trail, left, (last) => row.op === "insert" || !sameValues(last.after, row.before), row);
    // A row that has moved onto a key can only have been stamped there before its own record.
    if (from !== to) leaveOut(trails.get(to) ?? [], left, () => true, row);
    trails.delete(from);
    if (row.op === "update") trails.set(to, [...trail.slice(-8), row]);
  }
  return left.size === 0 ? rows : rows.filter((row) => !left.has(row));
}

function leaveOut(trail: OutboxRow[], left: Set<OutboxRow>, overruled: (last: OutboxRow) => boolean, by: OutboxRow): void {
  for (let last = trail.at(-1); last !== undefined; last = trail.at(-1)) {
    if (last.at !== by.at || last.layout !== by.layout || by.op === "upsert" || !overruled(last)) return;
    left.add(last);
    trail.pop();
  }
}

const sameValues = (a: readonly SqlValue[], b: readonly SqlValue[]): boolean => a.length === b.length && a.every((value, i) => same(value, b[i] ?? null));

function same(a: SqlValue, b: SqlValue): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  return Object.is(a, b);
}
