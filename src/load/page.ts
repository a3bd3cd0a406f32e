import type { LaneWork } from "./lane-work.ts";
import { Loading, type Trial } from "./message.ts";

/**
 * A till that sells while its old rows are put into the lane for the first time: sale x names an article whose turn has not
 * come, so it is refused for its missing parent, and x also made an article of its own. The page that brings the one has the
 * other too, as it is by now. Were the page to wait behind x for that row, and x for the page, both would wait for ever.
 *
 * So the page goes ahead without the rows that open exceptions make: these bring them themselves, and whatever changed them
 * since waits behind those in its turn. Only where the page brings a parent that is waited for; else it waits like any other.
 * @returns the page without those rows; null when it has to wait
 */
export function pageAhead(work: LaneWork, message: Trial): Loading | null {
  const { open, orphans } = work;
  if (orphans.size === 0 || !(message instanceof Loading) || !message.isPage) return null;
  const { lane, seq } = message;
  const rows = message.rows();
  const waiting = rows.filter((row) => open.blocker(lane, seq, row.sets) !== null);
  const makers = waiting.map((row) => open.maker(lane, seq, row.sets));
  const found = makers.filter((maker) => maker !== null);
  // A row that an exception only changes must come before the change: that cannot make it.
  if (found.length < makers.length) return null;
  const free = message.without(new Set(waiting));
  if (!orphans.needs(lane, seq, free.sets)) return null;
  // Should a person give up the message that makes the row, the audit trail names what the centre will not have.
  const named = found.slice(0, MOST_NAMED).map((maker) => `${maker.on} comes with ${maker.lane}/${maker.seq}`);
  const more = found.length > MOST_NAMED ? `, and ${found.length - MOST_NAMED} more` : "";
  work.noted(message, [{ kind: "rows left out", detail: `${named.join(", ")}${more}` }]);
  return free;
}

const MOST_NAMED = 20;
