import type { FaultCode } from "../base/errors.ts";
import type { Instant } from "../base/clock.ts";
import type { TerminalId, UpdateId } from "../base/ids.ts";

/** An entry of the update log and how far it has come, among the terminals it is for that are enrolled and were so before it. */
export type PublishedUpdate = {
  readonly id: UpdateId;
  readonly audience: string;
  readonly tx: string;
  readonly at: Instant;
  readonly origin: TerminalId | null;
  readonly trace: string | null;
  readonly count: number;
  readonly bytes: number;
  readonly reach: number;
  /** Their cursor has passed it, and they refused no row of it. */
  readonly applied: number;
  /** It was handed to them, and they have not told yet what became of it. */
  readonly delivered: number;
  readonly refused: number;
};
/** A terminal that an update is for. */
export type Reached = {
  readonly terminal: TerminalId;
  /** `pending`: it was not handed to it yet; `delivered`: it was, and the terminal has not told yet what became of it. */
  readonly state: "pending" | "delivered" | "applied" | "refused";
  readonly appliedThrough: UpdateId;
  readonly deliveredThrough: UpdateId;
  readonly lastSeenAt: Instant | null;
  readonly refused: { readonly code: FaultCode; readonly detail: string; readonly at: Instant } | null;
};

/** The part of the update log that people look at. */
export interface UpdateSpread {
  /** Entries for this audience (null: any) before `before`, newest first. Costs a look at every terminal for each of them. */
  newest(audience: string | null, limit: number, before: UpdateId | null): Promise<readonly PublishedUpdate[]>;
  /** The terminals that entry `id` is for, those furthest behind first; `after` is the `next` of the page before. */
  reach(
    id: UpdateId,
    limit: number,
    after: string | null,
  ): Promise<{ readonly rows: readonly Reached[]; readonly next: string | null }>;
}

export type ReachRow = {
  readonly terminal: TerminalId;
  readonly appliedThrough: UpdateId;
  readonly deliveredThrough: UpdateId;
  readonly lastSeenAt: Instant | null;
  /** Null: it refused no row of it. */
  readonly code: FaultCode | null;
  readonly detail: string | null;
  readonly at: Instant | null;
};

/** Where a page of terminals ended: the cursor and the name of the last one. Anything else begins at the front. */
export function readReachPlace(after: string | null): readonly [through: number, terminal: string] {
  const read = /^(\d{1,16})\/(.+)$/.exec(after ?? "");
  return read ? [Number(read[1]), read[2] ?? ""] : [-1, ""];
}

/** Rows as the port gives them, with the place where the next page begins. */
export function reachPage(
  found: readonly ReachRow[],
  id: UpdateId,
  limit: number,
): { readonly rows: readonly Reached[]; readonly next: string | null } {
  const rows = found.map(({ code, detail, at, ...row }): Reached => {
    const refused = code === null || at === null ? null : { code, detail: detail ?? "", at };
    const untold = row.deliveredThrough >= id ? "delivered" : "pending";
    return { ...row, state: refused ? "refused" : row.appliedThrough >= id ? "applied" : untold, refused };
  });
  const last = rows.at(-1);
  return { rows, next: last && rows.length === limit ? `${last.appliedThrough}/${last.terminal}` : null };
}
