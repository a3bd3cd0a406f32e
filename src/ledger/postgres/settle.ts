import { later, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { actor, seq, type Actor, type Seq } from "../../base/ids.ts";
import { moved, type StateKind, type Verb } from "../../message/lifecycle.ts";
import type { ExceptionWrite, LaneOutcome } from "../port.ts";
import { lockTerminals, reconsider, reconsiderNewer } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { NEVER_DUE } from "../pauses.ts";
import { freeFollowers, isOpen } from "./followers.ts";
import { laneNamed, lanesNamed, nameOf, type LaneRow } from "./lane-row.ts";
import { liftTripped } from "./pauses.ts";
import { json, storable, type Tx } from "./tx.ts";

/** A settlement that moved nothing would be claimed again at once: the loader has stopped the lane (too many open exceptions). */
const IDLE_LANE_MS = 5_000;

const VERB_OF = { retrying: "retry", held: "hold", dead: "bury", discarded: "discard" } as const satisfies Record<
  ExceptionWrite["state"],
  Verb
>;

/** What leases' holders did, as it now stands in the central database. "lost": the lane was claimed by another since. */
export async function settleLanes(tx: Tx, outcomes: readonly LaneOutcome[]): Promise<readonly ("settled" | "lost")[]> {
  if (outcomes.length === 0) return [];
  const now = tx.now();
  const names = outcomes.map(({ lane }) => lane);
  const [, rows] = await Promise.all([lockTerminals(tx, names), lanesNamed(tx, names)]);
  const settled: Settled[] = [];
  const words = outcomes.map((outcome) => {
    const lane = rows.get(outcome.lane);
    if (!lane || lane.leasedBy === null || lane.fence !== outcome.fence) return "lost";
    if (outcome.loadedThrough < lane.loadedThrough || outcome.loadedThrough > lane.claimedThrough) {
      throw refusal(
        lane,
        `loaded through ${outcome.loadedThrough} of the claim ${lane.loadedThrough + 1}–${lane.claimedThrough}`,
      );
    }
    const acted =
      outcome.loadedThrough > lane.loadedThrough || outcome.closed.length > 0 || outcome.exceptions.length > 0;
    settled.push({ lane, outcome, worker: actor(`worker:${lane.leasedBy}`), acted });
    return "settled";
  });
  // One after the other: a message of one lane may wait behind one of another.
  for (const each of settled) await judge(tx, each, now);
  await moveMarks(tx, settled, now);
  // A version that moved is the centre's word that it knew no more than we do.
  const confirmed = settled.filter(({ lane, outcome }) => outcome.version > lane.version);
  await advance(
    tx,
    confirmed.map(({ lane, outcome }) => ({ lane: lane.id, loadedThrough: outcome.loadedThrough })),
  );
  const isIdle = ({ lane, acted }: Settled): boolean => !acted && lane.claimedThrough !== lane.loadedThrough;
  const idsOf = (some: readonly Settled[]): number[] => some.map(({ lane }) => lane.id);
  await Promise.all([
    reconsider(tx, idsOf(settled.filter((each) => !isIdle(each))), now),
    reconsider(tx, idsOf(settled.filter(isIdle)), later(now, IDLE_LANE_MS)),
  ]);
  await reconsiderNewer(
    tx,
    settled.map(({ lane }) => lane),
    now,
  );
  return words;
}

type Settled = {
  readonly lane: LaneRow;
  readonly outcome: LaneOutcome;
  readonly worker: Actor;
  /** Something moved or was judged. */
  readonly acted: boolean;
};

/** Writes what became of single messages, and tells the trail of all. */
async function judge(tx: Tx, { lane, outcome, worker }: Settled, now: Instant): Promise<void> {
  for (const n of outcome.closed) await closeLate(tx, lane, n, worker, now);
  const passed = outcome.exceptions.toSorted((a, b) => a.seq - b.seq);
  for (const write of passed) await writeException(tx, lane, outcome.loadedThrough, write, worker, now);
  // Only now that all are written is it known which of them still block.
  for (const write of passed)
    if (write.state === "held" && write.route === null) await attachToBlocker(tx, lane, write, now);
  for (const n of outcome.closed) await freeFollowers(tx, lane.id, n, now);
  for (const write of passed) if (write.state === "discarded") await freeFollowers(tx, lane.id, write.seq, now);
  for (const { kind, from, through, detail } of outcome.events) {
    record(tx, { lane: lane.id, from, through, kind, actor: worker, detail });
  }
  recordLoaded(tx, lane, outcome.loadedThrough, passed, worker);
}

/** Moves the watermarks and ends the leases, of all lanes in one statement. */
async function moveMarks(tx: Tx, settled: readonly Settled[], now: Instant): Promise<void> {
  if (settled.length === 0) return;
  await tx.run(
    `update lane_out o
     set loaded_through = n.loaded, claimed_through = n.loaded, version = n.version, leased_by = null, leased_until = null,
         claimed_items = 0, alone_seq = null, unsettled = 0, doubted = false,
         claim_limit = case when o.suspect_through > n.loaded then o.claim_limit end,
         loaded_at = case when n.acted then $1::bigint else o.loaded_at end, lag_ms = coalesce(n.lag, o.lag_ms)
     from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bigint[])
       as n (lane, loaded, version, acted, lag)
     where o.lane = n.lane`,
    now,
    settled.map(({ lane }) => lane.id),
    settled.map(({ outcome }) => outcome.loadedThrough),
    settled.map(({ outcome }) => outcome.version),
    settled.map(({ acted }) => acted),
    settled.map(({ outcome }) => (outcome.lagMs === null ? null : Math.round(outcome.lagMs))),
  );
}

/**
 * Moves the watermarks over numbers behind them that have a state of their own already: lost by their terminal, or settled
 * ahead of it when the lane is replayed after a restore of the centre.
 */
export async function advance(
  tx: Tx,
  marks: readonly { readonly lane: number; readonly loadedThrough: Seq }[],
): Promise<void> {
  if (marks.length === 0) return;
  await tx.run(
    `with recursive mark (lane, at) as (
       select * from unnest($1::bigint[], $2::bigint[])
       union all
       select m.lane, n.through from mark m cross join lateral (
         select seq as through from exception where lane = m.lane and seq = m.at + 1 and replay = 0
         union all select through_seq from missing where lane = m.lane and from_seq = m.at + 1) n)
     update lane_out o set loaded_through = n.at, claimed_through = greatest(o.claimed_through, n.at)
     from (select lane, max(at) as at from mark group by lane) n
     where o.lane = n.lane and o.loaded_through < n.at`,
    marks.map(({ lane }) => lane),
    marks.map(({ loadedThrough }) => loadedThrough),
  );
}

type Claimed = {
  readonly state: StateKind;
  readonly verb: "load" | "discard";
  readonly by: Actor | null;
  readonly reason: string | null;
  /** It was the probe of this paused route. */
  readonly route: string | null;
};

/** The exception if this lease has it in hand. */
const claimedOne = (tx: Tx, lane: LaneRow, n: Seq): Promise<Claimed | undefined> =>
  tx.get<Claimed>(
    `select state, verb, order_by as "by", order_reason as reason, route from exception
     where lane = $1 and seq = $2 and closed_at is null and claimed_fence = $3`,
    lane.id,
    n,
    lane.fence,
  );

async function closeLate(tx: Tx, lane: LaneRow, n: Seq, worker: Actor, now: Instant): Promise<void> {
  const known = await claimedOne(tx, lane, n);
  if (known?.verb !== "load") throw refusal(lane, `message ${n} loaded late without being claimed`);
  await tx.run(
    `update exception set state = 'loaded', closed_at = $1, due_at = null, replay = 0,
       behind_lane = null, behind_seq = null, behind_on = null, route = null
     where lane = $2 and seq = $3`,
    now,
    lane.id,
    n,
  );
  recordOne(tx, lane.id, n, "loaded late", worker, "");
  if (known.route !== null) await liftTripped(tx, known.route, worker);
}

async function writeException(
  tx: Tx,
  lane: LaneRow,
  loadedThrough: Seq,
  write: ExceptionWrite,
  worker: Actor,
  now: Instant,
): Promise<void> {
  const known = await claimedOne(tx, lane, write.seq);
  const isNew = !known && write.seq > lane.loadedThrough && write.seq <= loadedThrough;
  if (!known && !isNew) throw refusal(lane, `message ${write.seq} ${write.state} without being claimed`);
  // An order to discard is not tried: it leaves its state only when it is done.
  const from = known?.verb === "discard" ? known.state : "processing";
  if (moved(from, VERB_OF[write.state]) !== write.state)
    throw refusal(lane, `message ${write.seq} from ${from} to ${write.state}`);
  const dueAt = write.state === "retrying" ? later(now, write.retryInMs ?? 0) : null;
  const heldUntil = write.route === null ? now : NEVER_DUE;
  const closedAt = write.state === "discarded" ? now : null;
  const detail = write.state === "discarded" ? (known?.reason ?? write.detail) : write.detail;
  await tx.run(
    `insert into exception (lane, seq, state, fault, detail, attempts, due_at, behind_lane, behind_seq, behind_on,
       sets, tables, since, closed_at, trace, route)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
     on conflict (lane, seq) do update set state = $3, fault = $4, detail = $5, attempts = $6, due_at = $7,
       behind_lane = $8, behind_seq = $9, behind_on = $10, sets = $11, tables = $12, closed_at = $14,
       trace = coalesce($15, exception.trace), replay = 0, route = $16`,
    lane.id,
    write.seq,
    write.state,
    write.fault,
    storable(detail),
    write.attempts,
    dueAt ?? (write.state === "held" ? heldUntil : null),
    null,
    null,
    null,
    write.sets && json(write.sets),
    json(write.tables),
    now,
    closedAt,
    write.trace ?? null,
    write.route,
  );
  // It was tried and met something else: what its route was paused for is mended.
  const tried = write.state === "retrying" || write.state === "dead";
  if (known?.verb === "load" && known.route !== null && tried) await liftTripped(tx, known.route, worker);
  recordOne(tx, lane.id, write.seq, write.state, write.state === "discarded" ? (known?.by ?? worker) : worker, detail);
}

/** A held message is due when its blocker is closed; that may have happened, in an older lane, since this one was claimed. */
async function attachToBlocker(tx: Tx, lane: LaneRow, write: ExceptionWrite, now: Instant): Promise<void> {
  if (!write.behind) throw refusal(lane, `message ${write.seq} held behind nothing`);
  const blocker = await laneNamed(tx, write.behind.lane);
  const dueAt = (await isOpen(tx, blocker.id, write.behind.seq)) ? null : now;
  await tx.run(
    "update exception set behind_lane = $1, behind_seq = $2, behind_on = $3, due_at = $4 where lane = $5 and seq = $6",
    blocker.id,
    write.behind.seq,
    storable(write.behind.on),
    dueAt,
    lane.id,
    write.seq,
  );
}

/** The numbers that went the happy path, as ranges between those that were passed over. */
function recordLoaded(
  tx: Tx,
  lane: LaneRow,
  loadedThrough: Seq,
  passed: readonly ExceptionWrite[],
  worker: Actor,
): void {
  let from = lane.loadedThrough + 1;
  for (const end of [...passed.map((write) => write.seq), loadedThrough + 1]) {
    if (end < from) continue;
    if (end > from) {
      record(tx, {
        lane: lane.id,
        from: seq(from),
        through: seq(end - 1),
        kind: "loaded",
        actor: worker,
        detail: "",
      });
    }
    from = end + 1;
  }
}

const refusal = (lane: LaneRow, what: string): WaybillError =>
  new WaybillError("STATE_CONFLICT", `a settlement of ${nameOf(lane)} says ${what}`);
