import { later, type Instant } from "../../base/clock.ts";
import { seq, SYSTEM, type Actor, type Seq, type WorkerId } from "../../base/ids.ts";
import { openMark, openOf, type OpenLane, type OpenRow } from "../open-exceptions.ts";
import type { Claim, ClaimLimit, LateItem } from "../port.ts";
import { isBlocked, reconsider } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { laneById, nameOf, type LaneRow } from "./lane-row.ts";
import { isAllPaused, pausedRoutes } from "./paused.ts";
import type { Store } from "./store.ts";

/** More lanes are looked at than are asked for, since suspects are passed over and some have nothing to give after all. */
const SPARE_CANDIDATES = 16;

/**
 * Leases due lanes, longest due first. A lane whose last claim ended unsettled is a suspect: it is claimed alone and in ever
 * smaller pieces, so that a message that kills its worker takes no other lane down and is soon the only one claimed.
 */
export function claimLanes(store: Store, worker: WorkerId, limit: ClaimLimit, leaseMs: number): Claim[] {
  const now = store.now();
  if (isAllPaused(store)) return [];
  const candidates = store.all<{ lane: number }>(
    "select lane from lane_out where work_at <= ? order by work_at, lane limit ?", // the partial index lane_due, from its start
    now,
    limit.lanes + SPARE_CANDIDATES,
  );
  const claims: Claim[] = [];
  let first = 0;
  for (const { lane } of candidates) {
    if (claims.length >= limit.lanes) break;
    const row = laneById(store, lane);
    const suspect = row.leasedBy !== null || row.claimLimit !== null;
    if (suspect && claims.length > 0) continue; // it has its turn first when those before it are leased
    if (row.leasedBy !== null) lapse(store, row);
    const claim = claimLane(store, laneById(store, lane), worker, limit, later(now, leaseMs), now);
    if (!claim) {
      reconsider(store, lane, now);
      continue;
    }
    if (claims.push(claim) === 1) first = lane;
    if (suspect) break;
  }
  const [only, ...others] = claims;
  if (only && others.length === 0) rememberAlone(store, first, only);
  return claims;
}

/** Ends a lease that nobody settled, and makes the lane's next claim half as large. */
function lapse(store: Store, lane: LaneRow): void {
  const detail = `${lane.leasedBy} did not settle in time`;
  if (lane.claimedThrough > lane.loadedThrough) {
    const from = seq(lane.loadedThrough + 1);
    record(store, { lane: lane.id, from, through: lane.claimedThrough, kind: "lease lost", by: SYSTEM, detail });
  }
  for (const { n } of claimedLate(store, lane)) recordOne(store, lane.id, n, "lease lost", SYSTEM, detail);
  store.run(
    `update lane_out set leased_by = null, leased_until = null, claimed_through = loaded_through,
       claim_limit = max(1, claimed_items / 2), suspect_through = max(suspect_through, claimed_through),
       unsettled = case when alone_seq is null then 0 else unsettled + 1 end
     where lane = ?`,
    lane.id,
  );
}

/** The late messages that the lane's present lease has in hand. */
export const claimedLate = (store: Store, lane: LaneRow): { n: Seq }[] =>
  store.all<{ n: Seq }>(
    `select seq as n from exception
     where lane = ? and closed_at is null and claimed_fence = ? and verb = 'load' order by seq`,
    lane.id,
    lane.fence,
  );

/** Null when the lane has nothing to give now. */
function claimLane(
  store: Store,
  lane: LaneRow,
  worker: WorkerId,
  limit: ClaimLimit,
  leasedUntil: Instant,
  now: Instant,
): Claim | null {
  if (isBlocked(store, lane)) return null;
  const items = Math.min(lane.claimLimit ?? limit.messages, limit.messages);
  const late = lateItems(store, lane, items, now);
  // A suspect claim is small in all; otherwise late messages do not take the place of new ones.
  const range = nextRange(store, lane, lane.claimLimit === null ? items : items - late.length, limit.bytes);
  // A message in parts is loaded in bounded memory, with nothing beside it: late ones go first.
  const inParts = range.inParts && late.length === 0;
  const { from } = range;
  const through = range.inParts && !inParts ? before(from) : range.through;
  if (through < from && late.length === 0 && !isUnconfirmed(store, lane)) return null;

  const fence = lane.fence + 1;
  const count = late.length + (through - from + 1);
  const alone = count === 1 ? (late[0]?.seq ?? from) : null;
  const unsettled = alone !== null && alone === lane.aloneSeq ? lane.unsettled : 0;
  store.run(
    `update lane_out set leased_by = ?, leased_until = ?, work_at = ?, fence = ?, claimed_through = ?, claimed_items = ?,
       unsettled = ?, alone_seq = null
     where lane = ?`,
    worker,
    leasedUntil,
    leasedUntil,
    fence,
    Math.max(through, lane.loadedThrough),
    count,
    unsettled,
    lane.id,
  );
  for (const item of late) {
    store.run("update exception set claimed_fence = ? where lane = ? and seq = ?", fence, lane.id, item.seq);
  }
  return {
    paused: pausedRoutes(store),
    lane: nameOf(lane),
    terminal: lane.terminal,
    tags: tagsOf(store, lane),
    fence,
    from,
    through,
    inParts,
    version: lane.version,
    late,
    open: openMark(lane.id, openLanes(store, lane)),
    unsettled,
  };
}

/** Only a message that was claimed with nothing else, in no other lane either, can be the one that killed its worker. */
function rememberAlone(store: Store, lane: number, { late, from, through }: Claim): void {
  if (late.length + (through - from + 1) !== 1) return;
  store.run("update lane_out set alone_seq = ? where lane = ?", late[0]?.seq ?? from, lane);
}

const before = (n: Seq): Seq => seq(n - 1);

type Range = { readonly from: Seq; readonly through: Seq; readonly inParts: boolean };

/** The next new messages: at most `messages` and about `bytes` of them, none that has a state of its own. */
function nextRange(store: Store, lane: LaneRow, messages: number, bytes: number): Range {
  const from = seq(lane.loadedThrough + 1);
  const last = Math.min(lane.receivedThrough, lane.loadedThrough + messages, nextTaken(store, lane) - 1);
  let through = before(from);
  if (last < from) return { from, through, inParts: false };
  let taken = 0;
  const runs = store.each<{ through: Seq; part: number; bytes: number }>(
    `select through_seq as through, part, bytes from run
     where lane = ? and through_seq >= ? order by through_seq, through_part`, // stopped early: reads only what it gives
    lane.id,
    from,
  );
  for (const run of runs) {
    if (run.part > 0)
      return through < from ? { from, through: from, inParts: true } : { from, through, inParts: false };
    through = seq(Math.min(run.through, last));
    taken += run.bytes;
    if (through >= last || taken >= bytes) break;
  }
  return { from, through, inParts: false };
}

/** The first number above the watermark that is not simply received: lost by its terminal, or to be replayed on its own. */
function nextTaken(store: Store, lane: LaneRow): number {
  const row = store.get<{ n: number | null }>(
    `select min(n) as n from (
       select min(seq) as n from exception where lane = ?1 and seq > ?2
       union all select min(from_seq) from missing where lane = ?1 and from_seq > ?2)`,
    lane.id,
    lane.loadedThrough,
  );
  return row?.n ?? Number.POSITIVE_INFINITY;
}

/**
 * True when the centre is known to say otherwise, and when the lane stands before numbers that its terminal lost: the centre
 * may have them all the same (the ledger was restored). A claim of nothing makes the loader compare versions first.
 */
const isUnconfirmed = (store: Store, lane: LaneRow): boolean =>
  lane.doubted === 1 ||
  store.get("select 1 from missing where lane = ? and from_seq = ?", lane.id, lane.loadedThrough + 1) !== undefined;

function tagsOf(store: Store, lane: LaneRow): Readonly<Record<string, string>> {
  const row = store.get<{ tags: string }>("select tags from terminal where id = ?", lane.terminal);
  return row ? (JSON.parse(row.tags) as Record<string, string>) : {};
}

function openLanes(store: Store, lane: LaneRow): OpenLane[] {
  return store.all<OpenLane>(
    `select l.id, o.fence, o.version from lane l join lane_out o on o.lane = l.id
     where l.terminal = ? and l.ordinal <= ? and exists (select 1 from exception e where e.lane = l.id and e.closed_at is null)
     order by l.ordinal`,
    lane.terminal,
    lane.ordinal,
  );
}

/** Messages given along with those that miss a parent; more of them are tried when these are through. */
const MOST_TOGETHER = 200;

function lateItems(store: Store, lane: LaneRow, limit: number, now: Instant): LateItem[] {
  type Row = OpenRow & {
    verb: "load" | "discard";
    by: Actor | null;
    reason: string | null;
    line: Uint8Array | null;
    probe: 0 | 1;
  };
  // Most lanes have none, and to ask so costs a tenth of the whole.
  const any = store.get("select 1 from exception where lane = ? and due_at <= ? limit 1", lane.id, now);
  if (!any) return [];
  return store
    .all<Row>(
      `with recursive due (seq) as (
         select seq from exception where lane = ?1 and due_at <= ?2 and seq <= ?3
           and (seq <= ?5 or verb = 'discard' or revision is not null) order by seq limit ?4), -- see lateDueAt
       together (seq) as (
         select e.seq from exception e
         where e.lane = ?1 and e.closed_at is null and e.state in ('received', 'retrying') and e.fault = 'PARENT_MISSING'
           and e.verb = 'load' and e.seq <= ?5 and exists (
             select 1 from due d join exception x on x.lane = ?1 and x.seq = d.seq
             where x.fault = 'PARENT_MISSING' and x.verb = 'load')
         union
         select e.seq from together t join exception e
           on e.behind_lane = ?1 and e.behind_seq = t.seq and e.lane = ?1
          and e.closed_at is null and e.state = 'held' and e.verb = 'load'
         limit ${MOST_TOGETHER})
       select l.terminal, l.epoch, e.seq, e.state, e.fault, e.attempts, e.sets, e.verb, e.order_by as "by",
              e.order_reason as reason, r.line,
              e.route is not null and e.due_at <= ?2 as probe
       from exception e join lane l on l.id = e.lane
       left join revision r on r.lane = e.lane and r.seq = e.seq and r.n = e.revision
       where e.lane = ?1 and e.seq in (select seq from due union select seq from together) order by e.seq`,
      lane.id,
      now,
      lane.loadedThrough + 1,
      limit,
      lane.receivedThrough,
    )
    .map((row) => ({
      ...openOf(row),
      order:
        row.verb === "discard" ? { verb: "discard", by: row.by ?? SYSTEM, reason: row.reason ?? "" } : { verb: "load" },
      probe: row.probe === 1,
      revision: row.line,
    }));
}
