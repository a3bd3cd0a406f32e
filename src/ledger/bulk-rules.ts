import type { Epoch, Seq, TerminalId } from "../base/ids.ts";
import { STATE_KINDS, moved, type StateKind } from "../message/lifecycle.ts";
import type { Bulk, BulkVerb, Waiting, ExceptionFilter } from "./exceptions.ts";

/** As many messages one bulk act may name; what matches beyond is counted, and left for the next one. */
export const MOST_ITEMS = 100_000;

export type BulkRow = Omit<Bulk, "filter" | "waiting"> & { readonly filter: string; readonly waiting: string };
export const shown = (row: BulkRow): Bulk => ({
  ...row,
  filter: JSON.parse(row.filter) as ExceptionFilter,
  waiting: JSON.parse(row.waiting) as Waiting,
});

/** Of the states asked for those that the table of moves allows it for; nothing said: the dead. */
export function possible(verb: BulkVerb, filter: ExceptionFilter): ExceptionFilter {
  const asked = filter.states ?? ["dead"];
  const states = asked.filter((state) => STATE_KINDS.includes(state) && moved(state, verb) !== null);
  return { ...filter, states };
}

/** An item as it was previewed, beside what its message is now. */
export type ItemRow = {
  readonly n: number;
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  readonly seq: Seq;
  readonly was: string;
  readonly attempts: number;
  readonly revision: number | null;
  readonly state: StateKind;
  readonly attemptsNow: number;
  readonly revisionNow: number | null;
};

/** Why the message is not the one any more that was previewed; null: it is. */
export function changed(
  item: Pick<ItemRow, "was" | "attempts" | "revision" | "state" | "attemptsNow" | "revisionNow">,
) {
  if (item.state !== item.was) return `it was ${item.was} when this was previewed, and is ${item.state} now`;
  if (item.attempts !== item.attemptsNow) return "it was tried again since this was previewed";
  return item.revision === item.revisionNow ? null : "it was edited since this was previewed";
}
