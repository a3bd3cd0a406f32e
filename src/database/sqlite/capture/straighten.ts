import { Buffer } from "node:buffer";
import type { SqlValue } from "../values.ts";
import type { Encoder, OutboxRow } from "./encode.ts";

/**
 * Puts right what an application's stamping trigger brings out of order when it fires before ours: its update of the row is
 * then recorded first, and the statement's own record, which shows the row with the stamp already, after it. Such an
 * update is left out: the statement's record tells all of it, with the before-image that the statement found.
 *
 * It is known by its signs: both records are of one moment (SQLite's clock stands still within a statement), both show the
 * same row after, and the later one begins where the row was before the early one, as far as older records tell. No statement
 * spans a place behind which something was written unrecorded, so there nothing older tells anything.
 * @param unseen the outbox ids that such places lie behind, in order
 */
export function straighten(
  rows: readonly OutboxRow[],
  encoder: Encoder,
  unseen: readonly number[],
): readonly OutboxRow[] {
  if (!rows.some((row) => row.op === "update")) return rows;
  const left = new Set<OutboxRow>();
  /** By key: what was recorded of the row that has the key now, latest last. */
  const trails = new Map<string, readonly OutboxRow[]>();
  let passed = 0;
  for (const row of rows) {
    for (; passed < unseen.length && (unseen[passed] ?? 0) < row.id; passed++) trails.clear();
    const table = encoder.table(row);
    const from = `${table}${encoder.key(row)}`;
    const to = `${table}${encoder.newKey(row)}`;
    const trail = trails.get(from) ?? [];
    const kept = trail.slice(0, beginning(trail, row));
    for (const stamp of trail.slice(kept.length)) left.add(stamp);
    // A row that has moved onto a key can only have been stamped there before its own record.
    if (from !== to) for (const stamp of (trails.get(to) ?? []).filter((early) => isStamp(early, row))) left.add(stamp);
    trails.delete(from);
    if (row.op !== "delete") trails.set(to, [...kept.slice(-8), row]);
  }
  return left.size === 0 ? rows : rows.filter((row) => !left.has(row));
}

/** How many records of the trail are older than the statement that wrote `row`; the rest are stamps that came too early. */
function beginning(trail: readonly OutboxRow[], row: OutboxRow): number {
  const last = trail.at(-1);
  if (last === undefined || row.op === "upsert") return trail.length;
  const beforeLast = trail.at(-2);
  const fits = beforeLast === undefined || sameValues(beforeLast.after, last.before);
  if (fits && sameValues(last.after, row.before)) return trail.length;
  if (row.op !== "delete" && !isStamp(last, row)) return trail.length;
  for (let at = trail.length - 1; at >= 0; at--) {
    const stamp = trail[at];
    if (stamp?.op !== "update" || stamp.at !== row.at || stamp.layout !== row.layout) return trail.length;
    const earlier = trail[at - 1];
    if (earlier === undefined || sameValues(earlier.after, row.before)) return at;
  }
  return trail.length;
}

const isStamp = (early: OutboxRow, row: OutboxRow): boolean =>
  early.op === "update" && early.at === row.at && early.layout === row.layout && sameValues(early.after, row.after);

const sameValues = (a: readonly SqlValue[], b: readonly SqlValue[]): boolean =>
  a.length === b.length && a.every((value, i) => same(value, b[i] ?? null));

function same(a: SqlValue, b: SqlValue): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  return Object.is(a, b);
}
