import { later, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { actor, seq, splitLane, type Actor, type Seq } from "../../base/ids.ts";
import { moved, type StateKind, type Verb } from "../../message/lifecycle.ts";
import type { ExceptionWrite, LaneOutcome } from "../port.ts";
import { lockTerminals, reconsider, reconsiderNewer } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { NEVER_DUE } from "../pauses.ts";
import { freeFollowers } from "./followers.ts";
import { lanesNamed, nameOf, type LaneRow } from "./lane-row.ts";
import { liftTripped } from "./pauses.ts";
import { json, storable, storableJson, type Tx } from "./tx.ts";

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
  const claimed = await claimedOf(tx, settled);
  await writeExceptions(tx, settled, claimed, now);
  // One after the other: a message of one lane may wait behind one of another.
  for (const each of settled) await judge(tx, each, claimed, now);
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

/** Tells what became of single messages, whose exceptions are written, and the trail of all. */
async function judge(tx: Tx, { lane, outcome, worker }: Settled, claimed: ClaimedOnes, now: Instant): Promise<void> {
  for (const n of outcome.closed) await closeLate(tx, lane, n, claimed.get(placeOf(lane, n)), worker, now);
  const passed = outcome.exceptions.toSorted((a, b) => a.seq - b.seq);
  for (const write of passed) await tellException(tx, lane, write, claimed.get(placeOf(lane, write.seq)), worker);
  // Only now that all are written is it known which of them still block.
  const held = passed.filter((write) => write.state === "held" && write.route === null);
  await attachToBlockers(tx, lane, held, now);
  for (const n of outcome.closed) await freeFollowers(tx, lane.id, n, now);
  for (const write of passed) if (write.state === "discarded") await freeFollowers(tx, lane.id, write.seq, now);
  for (const { kind, from, through, detail } of outcome.events) {
    record(tx, { lane: lane.id, from, through, kind, by: worker, detail });
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

/** By `placeOf`. */
type ClaimedOnes = ReadonlyMap<string, Claimed>;
const placeOf = ({ id }: { readonly id: number }, n: number): string => `${id}/${n}`;

/** The exceptions that these leases have in hand. */
async function claimedOf(tx: Tx, settled: readonly Settled[]): Promise<ClaimedOnes> {
  const judged = settled.filter(({ outcome }) => outcome.exceptions.length + outcome.closed.length > 0);
  if (judged.length === 0) return new Map();
  const rows = await tx.all<Claimed & { readonly id: number; readonly seq: number }>(
    `select e.lane as id, e.seq, e.state, e.verb, e.order_by as "by", e.order_reason as reason, e.route
     from unnest($1::bigint[], $2::bigint[]) as l (id, fence)
     join exception e on e.lane = l.id and e.closed_at is null and e.claimed_fence = l.fence`,
    judged.map(({ lane }) => lane.id),
    judged.map(({ lane }) => lane.fence),
  );
  return new Map(rows.map((row) => [placeOf(row, row.seq), row]));
}

async function closeLate(
  tx: Tx,
  lane: LaneRow,
  n: Seq,
  known: Claimed | undefined,
  worker: Actor,
  now: Instant,
): Promise<void> {
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

/** Writes those of all lanes, in one statement: a storm of refusals brings hundreds at once. */
async function writeExceptions(tx: Tx, settled: readonly Settled[], claimed: ClaimedOnes, now: Instant): Promise<void> {
  // Each place once: of two words about one message the last counts.
  const rows = new Map<string, readonly (string | number | null)[]>();
  for (const { lane, outcome } of settled)
    for (const write of outcome.exceptions) {
      const place = placeOf(lane, write.seq);
      rows.set(place, rowOf(lane, outcome.loadedThrough, write, claimed.get(place), now));
    }
  if (rows.size === 0) return;
  const columns = Array.from({ length: 13 }, (_, at) => [...rows.values()].map((row) => row[at] ?? null));
  await tx.run(
    `insert into exception (since, lane, seq, state, fault, detail, attempts, due_at, sets, tables, closed_at, trace, route)
     select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[],
       $8::bigint[], $9::jsonb[], $10::jsonb[], $11::bigint[], $12::text[], $13::text[])
     on conflict (lane, seq) do update set state = excluded.state, fault = excluded.fault, detail = excluded.detail,
       attempts = excluded.attempts, due_at = excluded.due_at, behind_lane = null, behind_seq = null, behind_on = null,
       sets = excluded.sets, tables = excluded.tables, closed_at = excluded.closed_at,
       trace = coalesce(excluded.trace, exception.trace), replay = 0, route = excluded.route`,
    ...columns,
  );
}

/** In the order of the columns above. @throws when the lease does not have the message in hand, or it cannot come into this state */
function rowOf(
  lane: LaneRow,
  loadedThrough: Seq,
  write: ExceptionWrite,
  known: Claimed | undefined,
  now: Instant,
): readonly (string | number | null)[] {
  const isNew = !known && write.seq > lane.loadedThrough && write.seq <= loadedThrough;
  if (!known && !isNew) throw refusal(lane, `message ${write.seq} ${write.state} without being claimed`);
  // An order to discard is not tried: it leaves its state only when it is done.
  const from = known?.verb === "discard" ? known.state : "processing";
  if (moved(from, VERB_OF[write.state]) !== write.state)
    throw refusal(lane, `message ${write.seq} from ${from} to ${write.state}`);
  const dueAt = write.state === "retrying" ? later(now, write.retryInMs ?? 0) : null;
  const heldUntil = write.route === null ? now : NEVER_DUE;
  return [
    now,
    lane.id,
    write.seq,
    write.state,
    write.fault,
    storable(detailOf(write, known)),
    write.attempts,
    dueAt ?? (write.state === "held" ? heldUntil : null),
    write.sets && storableJson(write.sets),
    json(write.tables),
    write.state === "discarded" ? now : null,
    write.trace ?? null,
    write.route,
  ];
}

const detailOf = (write: ExceptionWrite, known: Claimed | undefined): string =>
  write.state === "discarded" ? (known?.reason ?? write.detail) : write.detail;

async function tellException(
  tx: Tx,
  lane: LaneRow,
  write: ExceptionWrite,
  known: Claimed | undefined,
  worker: Actor,
): Promise<void> {
  // It was tried and met something else: what its route was paused for is mended.
  const tried = write.state === "retrying" || write.state === "dead";
  if (known?.verb === "load" && known.route !== null && tried) await liftTripped(tx, known.route, worker);
  const by = write.state === "discarded" ? (known?.by ?? worker) : worker;
  recordOne(tx, lane.id, write.seq, write.state, by, detailOf(write, known));
}

/** A held message is due when its blocker is closed; that may have happened, in an older lane, since this one was claimed. */
async function attachToBlockers(tx: Tx, lane: LaneRow, held: readonly ExceptionWrite[], now: Instant): Promise<void> {
  if (held.length === 0) return;
  const blockers = held.map(({ seq: n, behind }) => {
    if (!behind) throw refusal(lane, `message ${n} held behind nothing`);
    return { ...behind, ...splitLane(behind.lane) };
  });
  const attached = await tx.run(
    `update exception e
     set behind_lane = l.id, behind_seq = h.behind, behind_on = h.on_row,
         due_at = case when not exists (
           select from exception b where b.lane = l.id and b.seq = h.behind and b.closed_at is null) then $1::bigint end
     from unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[]) as h (seq, terminal, epoch, behind, on_row)
     join lane l on l.terminal = h.terminal and l.epoch = h.epoch
     where e.lane = $7 and e.seq = h.seq`,
    now,
    held.map((write) => write.seq),
    blockers.map(({ terminal }) => terminal),
    blockers.map(({ epoch }) => epoch),
    blockers.map((behind) => behind.seq),
    blockers.map(({ on }) => storable(on)),
    lane.id,
  );
  if (attached < new Set(held.map((write) => write.seq)).size)
    throw new WaybillError(
      "NOT_FOUND",
      `a message of ${nameOf(lane)} is held behind a lane that the ledger does not have`,
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
        by: worker,
        detail: "",
      });
    }
    from = end + 1;
  }
}

const refusal = (lane: LaneRow, what: string): WaybillError =>
  new WaybillError("STATE_CONFLICT", `a settlement of ${nameOf(lane)} says ${what}`);
