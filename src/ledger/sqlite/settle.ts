import { later, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { actor, seq, type Actor, type Seq } from "../../base/ids.ts";
import { moved, type StateKind, type Verb } from "../../message/lifecycle.ts";
import type { ExceptionWrite, LaneOutcome } from "../port.ts";
import { reconsider, reconsiderNewer } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { NEVER_DUE } from "../pauses.ts";
import { freeFollowers, isOpen } from "./followers.ts";
import { laneByName, laneNamed, nameOf, type LaneRow } from "./lane-row.ts";
import { liftTripped } from "./pauses.ts";
import type { Store } from "./store.ts";

/** A settlement that moved nothing would be claimed again at once: the loader has stopped the lane (too many open exceptions). */
const IDLE_LANE_MS = 5_000;

const VERB_OF = { retrying: "retry", held: "hold", dead: "bury", discarded: "discard" } as const satisfies Record<
  ExceptionWrite["state"],
  Verb
>;

/** What a lane's lease holder did, as it now stands in the central database. "lost": the lane was claimed by another since. */
export function settleLane(store: Store, outcome: LaneOutcome): "settled" | "lost" {
  const lane = laneByName(store, outcome.lane);
  if (!lane || lane.leasedBy === null || lane.fence !== outcome.fence) return "lost";
  const { leasedBy } = lane;
  if (outcome.loadedThrough < lane.loadedThrough || outcome.loadedThrough > lane.claimedThrough) {
    throw refusal(
      lane,
      `loaded through ${outcome.loadedThrough} of the claim ${lane.loadedThrough + 1}–${lane.claimedThrough}`,
    );
  }
  const now = store.now();
  const worker = actor(`worker:${leasedBy}`);
  for (const n of outcome.closed) closeLate(store, lane, n, worker, now);
  const passed = outcome.exceptions.toSorted((a, b) => a.seq - b.seq);
  for (const write of passed) writeException(store, lane, outcome.loadedThrough, write, worker, now);
  // Only now that all are written is it known which of them still block.
  for (const write of passed)
    if (write.state === "held" && write.route === null) attachToBlocker(store, lane, write, now);
  for (const n of outcome.closed) freeFollowers(store, lane.id, n, now);
  for (const write of passed) if (write.state === "discarded") freeFollowers(store, lane.id, write.seq, now);
  for (const { kind, from, through, detail } of outcome.events) {
    record(store, { lane: lane.id, from, through, kind, by: worker, detail });
  }
  recordLoaded(store, lane, outcome.loadedThrough, passed, worker);

  const acted = outcome.loadedThrough > lane.loadedThrough || outcome.closed.length > 0 || passed.length > 0;
  store.run(
    `update lane_out set loaded_through = ?1, claimed_through = ?1, version = ?2, leased_by = null, leased_until = null,
       claimed_items = 0, alone_seq = null, unsettled = 0, doubted = 0,
       claim_limit = case when suspect_through > ?1 then claim_limit end,
       loaded_at = case when ?3 then ?4 else loaded_at end, lag_ms = coalesce(?5, lag_ms)
     where lane = ?6`,
    outcome.loadedThrough,
    outcome.version,
    acted ? 1 : 0,
    now,
    outcome.lagMs,
    lane.id,
  );
  // A version that moved is the centre's word that it knew no more than we do.
  if (outcome.version > lane.version) advance(store, lane.id, outcome.loadedThrough);
  reconsider(store, lane.id, acted || lane.claimedThrough === lane.loadedThrough ? now : later(now, IDLE_LANE_MS));
  reconsiderNewer(store, lane, now);
  return "settled";
}

/**
 * Moves the watermark over numbers behind it that have a state of their own already: lost by their terminal, or settled
 * ahead of it when the lane is replayed after a restore of the centre.
 */
export function advance(store: Store, lane: number, loadedThrough: Seq): void {
  let at = loadedThrough;
  for (;;) {
    const next = store.get<{ through: Seq }>(
      `select seq as through from exception where lane = ?1 and seq = ?2 and replay = 0
       union all select through_seq from missing where lane = ?1 and from_seq = ?2`,
      lane,
      at + 1,
    );
    if (!next) break;
    at = next.through;
  }
  if (at === loadedThrough) return;
  store.run(
    "update lane_out set loaded_through = ?1, claimed_through = max(claimed_through, ?1) where lane = ?2",
    at,
    lane,
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
const claimedOne = (store: Store, lane: LaneRow, n: Seq): Claimed | undefined =>
  store.get<Claimed>(
    `select state, verb, order_by as "by", order_reason as reason, route from exception
     where lane = ? and seq = ? and closed_at is null and claimed_fence = ?`,
    lane.id,
    n,
    lane.fence,
  );

function closeLate(store: Store, lane: LaneRow, n: Seq, worker: Actor, now: Instant): void {
  const known = claimedOne(store, lane, n);
  if (known?.verb !== "load") throw refusal(lane, `message ${n} loaded late without being claimed`);
  store.run(
    `update exception set state = 'loaded', closed_at = ?, due_at = null, replay = 0,
       behind_lane = null, behind_seq = null, behind_on = null, route = null
     where lane = ? and seq = ?`,
    now,
    lane.id,
    n,
  );
  recordOne(store, lane.id, n, "loaded late", worker, "");
  if (known.route !== null) liftTripped(store, known.route, worker);
}

function writeException(
  store: Store,
  lane: LaneRow,
  loadedThrough: Seq,
  write: ExceptionWrite,
  worker: Actor,
  now: Instant,
): void {
  // A claim's new numbers end before the first that has a state of its own.
  const isNew = write.seq > lane.loadedThrough && write.seq <= Math.min(loadedThrough, lane.claimedThrough);
  const known = isNew ? undefined : claimedOne(store, lane, write.seq);
  if (!known && !isNew) throw refusal(lane, `message ${write.seq} ${write.state} without being claimed`);
  // An order to discard is not tried: it leaves its state only when it is done.
  const from = known?.verb === "discard" ? known.state : "processing";
  if (moved(from, VERB_OF[write.state]) !== write.state)
    throw refusal(lane, `message ${write.seq} from ${from} to ${write.state}`);
  const dueAt = write.state === "retrying" ? later(now, write.retryInMs ?? 0) : null;
  const heldUntil = write.route === null ? now : NEVER_DUE;
  const closedAt = write.state === "discarded" ? now : null;
  const detail = write.state === "discarded" ? (known?.reason ?? write.detail) : write.detail;
  store.run(
    `insert into exception (lane, seq, state, fault, detail, attempts, due_at, behind_lane, behind_seq, behind_on,
       sets, tables, since, closed_at, trace, route)
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
     on conflict (lane, seq) do update set state = ?3, fault = ?4, detail = ?5, attempts = ?6, due_at = ?7,
       behind_lane = ?8, behind_seq = ?9, behind_on = ?10, sets = ?11, tables = ?12, closed_at = ?14,
       trace = coalesce(?15, trace), replay = 0, route = ?16`,
    lane.id,
    write.seq,
    write.state,
    write.fault,
    detail,
    write.attempts,
    dueAt ?? (write.state === "held" ? heldUntil : null),
    null,
    null,
    null,
    write.sets,
    JSON.stringify(write.tables),
    now,
    closedAt,
    write.trace ?? null,
    write.route,
  );
  // It was tried and met something else: what its route was paused for is mended.
  const tried = write.state === "retrying" || write.state === "dead";
  if (known?.verb === "load" && known.route !== null && tried) liftTripped(store, known.route, worker);
  recordOne(
    store,
    lane.id,
    write.seq,
    write.state,
    write.state === "discarded" ? (known?.by ?? worker) : worker,
    detail,
  );
}

/** A held message is due when its blocker is closed; that may have happened, in an older lane, since this one was claimed. */
function attachToBlocker(store: Store, lane: LaneRow, write: ExceptionWrite, now: Instant): void {
  if (!write.behind) throw refusal(lane, `message ${write.seq} held behind nothing`);
  const blocker = laneNamed(store, write.behind.lane);
  const dueAt = isOpen(store, blocker.id, write.behind.seq) ? null : now;
  store.run(
    "update exception set behind_lane = ?, behind_seq = ?, behind_on = ?, due_at = ? where lane = ? and seq = ?",
    blocker.id,
    write.behind.seq,
    write.behind.on,
    dueAt,
    lane.id,
    write.seq,
  );
}

/** The numbers that went the happy path, as ranges between those that were passed over. */
function recordLoaded(
  store: Store,
  lane: LaneRow,
  loadedThrough: Seq,
  passed: readonly ExceptionWrite[],
  worker: Actor,
): void {
  let from = lane.loadedThrough + 1;
  for (const end of [...passed.map((write) => write.seq), loadedThrough + 1]) {
    if (end < from) continue;
    if (end > from) {
      record(store, {
        lane: lane.id,
        from: seq(from),
        through: seq(end - 1),
        kind: "loaded",
        by: worker,
        detail: "",
      });
    }
    from = end + 1;
  }
}

const refusal = (lane: LaneRow, what: string): WaybillError =>
  new WaybillError("STATE_CONFLICT", `a settlement of ${nameOf(lane)} says ${what}`);
