import { instant, later, type Instant } from "../../base/clock.ts";
import { SYSTEM } from "../../base/ids.ts";
import { NEVER_DUE } from "../pauses.ts";
import { note } from "./events.ts";
import { laneById, type LaneRow } from "./lane-row.ts";
import { isPaused } from "./paused.ts";
import type { Store } from "./store.ts";

/**
 * Says when a claim should look at the lane next, after anything of it has changed. A leased lane is looked at when its
 * lease is overdue; a lane of a newer epoch not before the older ones are through.
 */
export function reconsider(store: Store, laneId: number, newWorkAt: Instant): void {
  const lane = laneById(store, laneId);
  if (lane.leasedBy !== null) return;
  const due = dueAt(store, lane, newWorkAt);
  if (due !== lane.workAt) store.run("update lane_out set work_at = ? where lane = ?", due, laneId);
}

function dueAt(store: Store, lane: LaneRow, newWorkAt: Instant): Instant | null {
  if (isBlocked(store, lane)) return null;
  const late = lateDueAt(store, lane);
  const fresh = lane.receivedThrough > lane.loadedThrough || lane.doubted === 1 ? newWorkAt : null;
  const first = late === null ? fresh : fresh === null ? late : instant(Math.min(late, fresh));
  return first === null ? null : instant(Math.max(first, lane.notBefore));
}

function lateDueAt(store: Store, lane: LaneRow): Instant | null {
  // Messages to be replayed after a restore of the centre wait until the lane has come to them; those that a restored ledger
  // knows from the centre alone, until their terminal has sent them again.
  const row = store.get<{ at: Instant | null }>(
    "select min(due_at) as at from exception where lane = ? and due_at is not null and seq <= ? and (seq <= ? or verb = 'discard' or revision is not null)",
    lane.id,
    lane.loadedThrough + 1,
    lane.receivedThrough,
  );
  return row?.at ?? null;
}

/** The clock was set back: what would wait for its old time is due now, and a lease lasts no longer than one given now. */
export function bringForward(store: Store, now: Instant): void {
  const longest = later(now, store.setBack.leaseMs);
  const moved =
    store.run("update lane_out set leased_until = ?1, work_at = ?1 where leased_until > ?1", longest) +
    store.run("update lane_out set not_before = ?1 where not_before > ?1", now) +
    store.run(
      "update lane_out set work_at = ?1 where leased_by is null and work_at > ?1 and work_at < ?2",
      now,
      NEVER_DUE,
    ) +
    store.run("update exception set due_at = ?1 where due_at > ?1 and due_at < ?2", now, NEVER_DUE) +
    store.run("update pause set probe_at = ?1 where probe_at > ?1", now) +
    store.run("update alert_notice set due_at = ?1 where state = 'waiting' and due_at > ?1", now);
  if (moved > 0) note(store, "clock set back", SYSTEM, "what waited for a time is due at once");
}

/** True while it is paused, or an older lane of the terminal has received messages that are neither loaded nor excepted. */
export function isBlocked(store: Store, lane: LaneRow): boolean {
  if (isPaused(store, lane)) return true;
  if (lane.ordinal === 1) return false;
  return (
    store.get(
      `select 1 from lane l join lane_in i on i.lane = l.id join lane_out o on o.lane = l.id
       where l.terminal = ? and l.ordinal < ? and i.received_through > o.loaded_through limit 1`,
      lane.terminal,
      lane.ordinal,
    ) !== undefined
  );
}

/** After an ended lane has moved, newer lanes of its terminal may begin, or must wait again. */
export function reconsiderNewer(store: Store, lane: LaneRow, now: Instant): void {
  if (lane.endedAt === null) return;
  const newer = store.all<{ id: number }>(
    "select id from lane where terminal = ? and ordinal > ? order by ordinal",
    lane.terminal,
    lane.ordinal,
  );
  for (const { id } of newer) reconsider(store, id, now);
}
