import { later, type Instant } from "../../base/clock.ts";
import { splitLane, SYSTEM, type LaneName } from "../../base/ids.ts";
import { NEVER_DUE } from "../pauses.ts";
import { note } from "./events.ts";
import type { Tx } from "./tx.ts";

/** SQL: true while the lane is paused, or an older one of the terminal has received messages that are neither loaded nor excepted. */
export const BLOCKED = (lane: string): string => {
  const [terminal, ordinal] = [`${lane}.terminal`, `${lane}.ordinal`];
  return `(exists (
     select from pause where kind = 'terminal' and name = ${terminal} or kind = 'lane' and name = ${terminal} || '/' || ${lane}.epoch)
     or ${ordinal} > 1 and exists (
     select from lane older join lane_in older_in on older_in.lane = older.id join lane_out older_out on older_out.lane = older.id
     where older.terminal = ${terminal} and older.ordinal < ${ordinal}
       and older_in.received_through > older_out.loaded_through))`;
};

/**
 * Locks lane_out of all lanes of these lanes' terminals, in lane order. Whatever is done to a lane may free lanes of the same
 * terminal, and only of it; so two that change lanes wait for each other here and nowhere later.
 */
export async function lockTerminals(tx: Tx, lanes: readonly LaneName[]): Promise<void> {
  const terminals = lanes.map((lane) => splitLane(lane).terminal);
  await tx.run(
    `select from lane_out o join lane l on l.id = o.lane where l.terminal = any ($1::text[])
     order by o.lane for update of o`,
    [...new Set(terminals)],
  );
}

/**
 * The server's clock was set back: what would wait for its old time is due now, and a lease lasts no longer than one given now.
 * Each process that notices does it, and doing it again changes nothing.
 */
export async function bringForward(tx: Tx, leaseMs: number): Promise<void> {
  const now = tx.now();
  await tx.run("select from lane_out where work_at > $1 or not_before > $1 order by lane for update", now);
  const moved = await Promise.all([
    tx.run("update lane_out set leased_until = $1, work_at = $1 where leased_until > $1", later(now, leaseMs)),
    tx.run("update lane_out set not_before = $1 where not_before > $1", now),
    tx.run(
      "update lane_out set work_at = $1 where leased_by is null and work_at > $1 and work_at < $2",
      now,
      NEVER_DUE,
    ),
    tx.run("update exception set due_at = $1 where due_at > $1 and due_at < $2", now, NEVER_DUE),
    tx.run("update pause set probe_at = $1 where probe_at > $1", now),
    tx.run("update alert_notice set due_at = $1 where state = 'waiting' and due_at > $1", now),
  ]);
  if (moved.some((rows) => rows > 0)) note(tx, "clock set back", SYSTEM, "what waited for a time is due at once");
}

/**
 * Says when a claim should look at the lanes next, after anything of them has changed. A leased lane is looked at when its
 * lease is overdue; a lane of a newer epoch not before the older ones are through. The caller holds their locks.
 */
export async function reconsider(tx: Tx, lanes: readonly number[], newWorkAt: Instant): Promise<void> {
  if (lanes.length === 0) return;
  await tx.run(
    `update lane_out o set work_at = d.due
     from (
       select p.lane,
              case when least(late.at, fresh.at) is not null and not ${BLOCKED("l")}
                then greatest(least(late.at, fresh.at), p.not_before) end as due
       from lane_out p join lane l on l.id = p.lane join lane_in i on i.lane = p.lane
       cross join lateral (
         -- Messages to be replayed after a restore of the centre wait until the lane has come to them; those that a restored
         -- ledger knows from the centre alone, until their terminal has sent them again.
         select min(due_at) as at from exception
         where lane = p.lane and due_at is not null and seq <= p.loaded_through + 1
           and (seq <= i.received_through or verb = 'discard' or revision is not null)) late
       cross join lateral (select case when i.received_through > p.loaded_through or p.doubted then $2::bigint end as at) fresh
       where p.lane = any ($1) and p.leased_by is null) d
     where o.lane = d.lane and o.work_at is distinct from d.due`,
    lanes,
    newWorkAt,
  );
}

/** After ended lanes have moved, newer lanes of their terminals may begin, or must wait again. */
export async function reconsiderNewer(
  tx: Tx,
  moved: readonly { readonly id: number; readonly endedAt: Instant | null }[],
  now: Instant,
): Promise<void> {
  const ended = moved.filter(({ endedAt }) => endedAt !== null).map(({ id }) => id);
  if (ended.length === 0) return;
  const newer = await tx.all<{ id: number }>(
    `select distinct n.id from lane l join lane n on n.terminal = l.terminal and n.ordinal > l.ordinal
     where l.id = any ($1)`,
    ended,
  );
  await reconsider(
    tx,
    newer.map(({ id }) => id),
    now,
  );
}
