import { later, type Instant } from "../../base/clock.ts";
import { seq, SYSTEM, type Actor, type Seq, type WorkerId } from "../../base/ids.ts";
import { openMark, openOf, type OpenLane, type OpenRow } from "../open-exceptions.ts";
import type { Claim, ClaimLimit, LateItem } from "../port.ts";
import { BLOCKED, reconsider } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { nameOf, SELECT_LANE, type LaneRow } from "./lane-row.ts";
import type { Tx } from "./tx.ts";

/** So many more lanes are looked at than are asked for, since suspects are passed over and some have nothing to give after all. */
const SPARE_CANDIDATES = 16;

/**
 * Due lanes behind a place in the partial index `lane_due`, from its start: the cost is that of the lanes given, whatever
 * waits behind them. A lane in another's hands at this moment is passed over, not waited for.
 */
export const DUE_LANES = `
  select lane, work_at as "workAt" from lane_out
  where work_at is not null and work_at <= $1 and (work_at, lane) > ($2, $3)
  order by work_at, lane limit $4 for update skip locked`;

/** What a claim must know of a lane, besides its row, to give some of it. */
type Look = LaneRow & {
  readonly tags: string | null;
  readonly blocked: boolean;
  readonly hasLate: boolean;
  /** Of the terminal's lanes up to this one those that have open exceptions, in order, as JSON; null: none has. */
  readonly openLanes: string | null;
  /** Stands before numbers that its terminal lost, or the centre is known to say otherwise. */
  readonly unconfirmed: boolean;
  /** The first number above the watermark that is not simply received: lost, or to be replayed on its own. */
  readonly nextTaken: number | null;
  /** The next messages that are stored whole, about as many bytes as were asked for, end here. */
  readonly plainThrough: number | null;
  /** The next message is stored in parts. */
  readonly inParts: boolean;
};

const LOOK = `
  select p.*, t.tags, ${BLOCKED("p")} as blocked,
         exists (select from exception where lane = p.id and due_at <= $2 and seq <= p."loadedThrough" + 1
                 and (seq <= p."receivedThrough" or verb = 'discard' or revision is not null)) as "hasLate",
         (select json_agg(json_build_object('id', l.id, 'fence', o.fence, 'version', o.version) order by l.ordinal)
          from lane l join lane_out o on o.lane = l.id
          where l.terminal = p.terminal and l.ordinal <= p.ordinal
            and exists (select from exception e where e.lane = l.id and e.closed_at is null)) as "openLanes",
         p.doubted or exists (select from missing where lane = p.id and from_seq = p."loadedThrough" + 1) as unconfirmed,
         taken.n as "nextTaken", stored."plainThrough", coalesce(stored."inParts", false) as "inParts"
  from (${SELECT_LANE} where l.id = any ($1)) p
  left join terminal t on t.id = p.terminal
  cross join lateral (
    select least((select min(seq) from exception where lane = p.id and seq > p."loadedThrough"),
                 (select min(from_seq) from missing where lane = p.id and from_seq > p."loadedThrough")) as n) taken
  cross join lateral (
    select max(r.through_seq) filter (where not r.parted) as "plainThrough",
           bool_or(r.parted) filter (where r.place = 1) as "inParts"
    from (
      select through_seq, bool_or(part > 0) over so_far as parted, row_number() over so_far as place,
             sum(bytes) over so_far - bytes as before
      from (select through_seq, through_part, part, bytes from run
            where lane = p.id and through_seq > p."loadedThrough" and p."receivedThrough" > p."loadedThrough"
            order by through_seq, through_part limit $3) next
      window so_far as (order by through_seq, through_part rows unbounded preceding)) r
    where r.before < $4 or r.place = 1) stored
  order by p."workAt", p.id`;

/**
 * Leases due lanes, longest due first. A lane whose last claim ended unsettled is a suspect: it is claimed alone and in ever
 * smaller pieces, so that a message that kills its worker takes no other lane down and is soon the only one claimed.
 */
export async function claimLanes(tx: Tx, worker: WorkerId, limit: ClaimLimit, leaseMs: number): Promise<Claim[]> {
  const now = tx.now();
  const pauses = await tx.all<{ kind: string; name: string }>(
    "select kind, name from pause where kind in ('everything', 'route') order by name",
  );
  if (pauses.some(({ kind }) => kind === "everything")) return [];
  const taken: Taken[] = [];
  const idle: number[] = [];
  let alone = false;
  let behind = { workAt: -1, lane: 0 };
  for (let looked = 0; taken.length < limit.lanes && !alone && looked < limit.lanes + SPARE_CANDIDATES;) {
    // No more than are wanted are locked at a time: what this claim holds, no other is given.
    const wanted = limit.lanes - taken.length;
    const due = await tx.all<typeof behind>(DUE_LANES, now, behind.workAt, behind.lane, wanted);
    for (const look of due.length === 0 ? [] : await lookAt(tx, due, limit)) {
      const suspect = look.leasedBy !== null || look.claimLimit !== null;
      if (suspect && taken.length > 0) continue; // it has its turn first when those before it are leased
      const given = await take(tx, look.leasedBy === null ? look : await lapse(tx, look), limit, now);
      if (given) taken.push(given);
      else idle.push(look.id);
      alone = given !== null && suspect;
      if (alone) break;
    }
    looked += due.length;
    behind = due.at(-1) ?? behind;
    if (due.length < wanted) break;
  }
  await Promise.all([reconsider(tx, idle, now), lease(tx, taken, worker, later(now, leaseMs))]);
  const paused = pauses.map(({ name }) => name);
  return taken.map(({ claim }) => ({ ...claim, paused }));
}

const lookAt = (tx: Tx, due: readonly { readonly lane: number }[], limit: ClaimLimit): Promise<Look[]> =>
  tx.all<Look>(
    LOOK,
    due.map(({ lane }) => lane),
    tx.now(),
    limit.messages,
    limit.bytes,
  );

/** Ends a lease that nobody settled, and makes the lane's next claim half as large. */
async function lapse(tx: Tx, lane: Look): Promise<Look> {
  const detail = `${lane.leasedBy} did not settle in time`;
  if (lane.claimedThrough > lane.loadedThrough) {
    const from = seq(lane.loadedThrough + 1);
    record(tx, { lane: lane.id, from, through: lane.claimedThrough, kind: "lease lost", by: SYSTEM, detail });
  }
  for (const { n } of await claimedLate(tx, lane)) recordOne(tx, lane.id, n, "lease lost", SYSTEM, detail);
  const lapsed = {
    claimLimit: Math.max(1, Math.floor(lane.claimedItems / 2)),
    suspectThrough: seq(Math.max(lane.suspectThrough, lane.claimedThrough)),
    unsettled: lane.aloneSeq === null ? 0 : lane.unsettled + 1,
  };
  await tx.run(
    `update lane_out set leased_by = null, leased_until = null, claimed_through = loaded_through,
       claim_limit = $2, suspect_through = $3, unsettled = $4
     where lane = $1`,
    lane.id,
    lapsed.claimLimit,
    lapsed.suspectThrough,
    lapsed.unsettled,
  );
  return { ...lane, ...lapsed, leasedBy: null, leasedUntil: null, claimedThrough: lane.loadedThrough };
}

/** The late messages that the lane's present lease has in hand. */
export const claimedLate = (tx: Tx, lane: LaneRow): Promise<{ n: Seq }[]> =>
  tx.all<{ n: Seq }>(
    `select seq as n from exception
     where lane = $1 and closed_at is null and claimed_fence = $2 and verb = 'load' order by seq`,
    lane.id,
    lane.fence,
  );

/** A lane to be leased, as the claim says it. */
type Taken = { readonly lane: Look; readonly claim: Claim; readonly count: number };

/** Null when the lane has nothing to give now. Writes nothing. */
async function take(tx: Tx, lane: Look, limit: ClaimLimit, now: Instant): Promise<Taken | null> {
  if (lane.blocked) return null;
  const items = Math.min(lane.claimLimit ?? limit.messages, limit.messages);
  const late = lane.hasLate ? await lateItems(tx, lane, items, now) : [];
  // A suspect claim is small in all; otherwise late messages do not take the place of new ones.
  const range = nextRange(lane, lane.claimLimit === null ? items : items - late.length);
  // A message in parts is loaded in bounded memory, with nothing beside it: late ones go first.
  const inParts = range.inParts && late.length === 0;
  const { from } = range;
  const through = range.inParts && !inParts ? before(from) : range.through;
  // A claim of nothing: the centre says otherwise, or may have the lost numbers that come next (the ledger was restored).
  // The loader compares versions first.
  if (through < from && late.length === 0 && !lane.unconfirmed) return null;
  const count = late.length + (through - from + 1);
  const alone = count === 1 ? (late[0]?.seq ?? from) : null;
  const claim: Claim = {
    paused: [],
    lane: nameOf(lane),
    terminal: lane.terminal,
    tags: lane.tags === null ? {} : (JSON.parse(lane.tags) as Record<string, string>),
    fence: lane.fence + 1,
    from,
    through,
    inParts,
    version: lane.version,
    late,
    open: lane.openLanes === null ? null : openMark(lane.id, JSON.parse(lane.openLanes) as readonly OpenLane[]),
    unsettled: alone !== null && alone === lane.aloneSeq ? lane.unsettled : 0,
  };
  return { lane, claim, count };
}

async function lease(tx: Tx, taken: readonly Taken[], worker: WorkerId, until: Instant): Promise<void> {
  if (taken.length === 0) return;
  // Only a message that was claimed with nothing else, in no other lane either, can be the one that killed its worker.
  const alone = taken.length === 1 && taken[0]?.count === 1 ? taken[0].claim : null;
  const late = taken.flatMap(({ lane, claim }) =>
    claim.late.map((item) => ({ lane: lane.id, seq: item.seq, fence: claim.fence })),
  );
  await Promise.all([
    tx.run(
      `update lane_out o
       set leased_by = $1, leased_until = $2, work_at = $2, fence = n.fence, claimed_through = n.claimed,
           claimed_items = n.items, unsettled = n.unsettled, alone_seq = $3
       from unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
         as n (lane, fence, claimed, items, unsettled)
       where o.lane = n.lane`,
      worker,
      until,
      alone === null ? null : (alone.late[0]?.seq ?? alone.from),
      taken.map(({ lane }) => lane.id),
      taken.map(({ claim }) => claim.fence),
      taken.map(({ lane, claim }) => Math.max(claim.through, lane.loadedThrough)),
      taken.map(({ count }) => count),
      taken.map(({ claim }) => claim.unsettled),
    ),
    late.length > 0 &&
      tx.run(
        `update exception e set claimed_fence = n.fence
         from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as n (lane, seq, fence)
         where e.lane = n.lane and e.seq = n.seq`,
        late.map(({ lane }) => lane),
        late.map((item) => item.seq),
        late.map(({ fence }) => fence),
      ),
  ]);
}

const before = (n: Seq): Seq => seq(n - 1);

type Range = { readonly from: Seq; readonly through: Seq; readonly inParts: boolean };

/** The next new messages: at most so many, and none that has a state of its own. */
function nextRange(lane: Look, messages: number): Range {
  const from = seq(lane.loadedThrough + 1);
  const taken = lane.nextTaken ?? Number.POSITIVE_INFINITY;
  const last = Math.min(lane.receivedThrough, lane.loadedThrough + messages, taken - 1);
  if (last < from) return { from, through: before(from), inParts: false };
  if (lane.inParts) return { from, through: from, inParts: true };
  return { from, through: seq(Math.min(lane.plainThrough ?? before(from), last)), inParts: false };
}

/** Messages given along with those that miss a parent; more of them are tried when these are through. */
const MOST_TOGETHER = 200;

async function lateItems(tx: Tx, lane: LaneRow, limit: number, now: Instant): Promise<LateItem[]> {
  type Row = OpenRow & {
    verb: "load" | "discard";
    by: Actor | null;
    reason: string | null;
    line: Uint8Array | null;
    probe: boolean;
  };
  const rows = await tx.all<Row>(
    `with recursive due (seq) as (
         select seq from exception where lane = $1 and due_at <= $2 and seq <= $3
           and (seq <= $5 or verb = 'discard' or revision is not null) order by seq limit $4),
       together (seq) as (
         select e.seq from exception e
         where e.lane = $1 and e.closed_at is null and e.state in ('received', 'retrying') and e.fault = 'PARENT_MISSING'
           and e.verb = 'load' and e.seq <= $5 and exists (
             select 1 from due d join exception x on x.lane = $1 and x.seq = d.seq
             where x.fault = 'PARENT_MISSING' and x.verb = 'load')
         union
         select e.seq from together t join exception e
           on e.behind_lane = $1 and e.behind_seq = t.seq and e.lane = $1
          and e.closed_at is null and e.state = 'held' and e.verb = 'load')
       select l.terminal, l.epoch, e.seq, e.state, e.fault, e.attempts, e.sets, e.verb, e.order_by as "by",
              e.order_reason as reason, r.line,
              e.route is not null and e.due_at <= $2 as probe
       from exception e join lane l on l.id = e.lane
       left join revision r on r.lane = e.lane and r.seq = e.seq and r.n = e.revision
       where e.lane = $1 and e.seq in (select seq from due union (select seq from together limit ${MOST_TOGETHER})) order by e.seq`,
    lane.id,
    now,
    lane.loadedThrough + 1,
    limit,
    lane.receivedThrough,
  );
  return rows.map((row) => ({
    ...openOf(row),
    order:
      row.verb === "discard" ? { verb: "discard", by: row.by ?? SYSTEM, reason: row.reason ?? "" } : { verb: "load" },
    probe: row.probe,
    revision: row.line,
  }));
}
