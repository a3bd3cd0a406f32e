import type { Instant } from "../../base/clock.ts";
import type { FaultCode } from "../../base/errors.ts";
import { SYSTEM, type LaneName, type Seq } from "../../base/ids.ts";
import { adoptedSpans, gone, isBehind, rewound, type CentreWord, type PassedWord } from "../adopt.ts";
import { lockTerminals, reconsiderNewer } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { freeFollowers } from "./followers.ts";
import { laneByName, type LaneRow } from "./lane-row.ts";
import { advance } from "./settle.ts";
import type { Tx } from "./tx.ts";

/** See the port. The caller still holds the lease afterwards; its claim is void. */
export async function adoptLane(
  tx: Tx,
  name: LaneName,
  fence: number,
  centre: CentreWord,
): Promise<"adopted" | "behind" | "lost"> {
  await lockTerminals(tx, [name]);
  const lane = await laneByName(tx, name);
  if (!lane || lane.leasedBy === null || lane.fence !== fence) return "lost";
  const now = tx.now();
  const behind = isBehind(centre, lane);
  const passed = new Map(centre.passed.map((word) => [word.seq, word]));
  if (centre.loadedThrough < lane.loadedThrough) await rewind(tx, lane, centre.loadedThrough);
  else await catchUp(tx, lane, centre.loadedThrough, passed);
  for (const word of centre.passed) await agree(tx, lane, word, behind, now);
  await closeLoaded(tx, lane, centre.loadedThrough, passed, now);
  await tx.run(
    "update lane_out set loaded_through = $1, claimed_through = greatest(claimed_through, $1), version = $2, doubted = false where lane = $3",
    centre.loadedThrough,
    centre.version,
    lane.id,
  );
  await advance(tx, [{ lane: lane.id, loadedThrough: centre.loadedThrough }]);
  await reconsiderNewer(tx, [lane], now);
  return behind ? "behind" : "adopted";
}

/** The centre was restored: what it does not show any more is loaded again, in the lane's order. */
async function rewind(tx: Tx, lane: LaneRow, loadedThrough: Seq): Promise<void> {
  record(tx, rewound(lane, loadedThrough));
  await tx.run("delete from loaded_mark where lane = $1 and through > $2", lane.id, loadedThrough);
  await nameWhatIsGone(tx, lane, loadedThrough);
  // What a person decided is done again as they decided it, at its place; all else is loaded again as it came.
  await tx.run(
    `update exception set state = 'dead', verb = 'discard', closed_at = null, due_at = $1, replay = 1
     where lane = $2 and seq > $3 and state = 'discarded'`,
    tx.now(),
    lane.id,
    loadedThrough,
  );
  await tx.run(
    `update exception set state = 'received', closed_at = null, due_at = $1, replay = 1,
       behind_lane = null, behind_seq = null, behind_on = null
     where lane = $2 and seq > $3 and revision is not null and verb = 'load'`,
    tx.now(),
    lane.id,
    loadedThrough,
  );
  await tx.run(
    "delete from exception where lane = $1 and seq > $2 and replay = 0 and verb = 'load'",
    lane.id,
    loadedThrough,
  );
}

/** The copy was older than this ledger keeps loaded messages: those that retention took away are lost, and named. */
async function nameWhatIsGone(tx: Tx, lane: LaneRow, loadedThrough: Seq): Promise<void> {
  const fresh = await tx.all<{ from: Seq; through: Seq }>(
    `insert into missing (lane, from_seq, through_seq, noted_at)
     select $1, behind, from_seq - 1, $3 from (
       select from_seq, coalesce(lag(through_seq) over (order by through_seq, through_part), $2) + 1 as behind
       from run where lane = $1 and through_seq > $2) r where from_seq > behind
     on conflict (lane, from_seq) do nothing -- the terminal had lost them
     returning from_seq as "from", through_seq as through`,
    lane.id,
    loadedThrough,
    tx.now(),
  );
  for (const { from, through } of fresh) record(tx, gone(lane, from, through));
}

/** The centre is ahead, or as far: a worker loaded and died before it settled, or this ledger was restored. */
async function catchUp(tx: Tx, lane: LaneRow, loadedThrough: Seq, passed: ReadonlyMap<Seq, PassedWord>): Promise<void> {
  // Numbers believed lost that the centre shows as loaded are not missing: the ledger was restored, not the terminal.
  const lost = await tx.all<{ from: Seq; through: Seq; notedAt: Instant }>(
    `select from_seq as "from", through_seq as through, noted_at as "notedAt" from missing
     where lane = $1 and from_seq > $2 and from_seq <= $3`,
    lane.id,
    lane.loadedThrough,
    loadedThrough,
  );
  for (const { from, through, notedAt } of lost) {
    await tx.run("delete from missing where lane = $1 and from_seq = $2", lane.id, from);
    if (through <= loadedThrough) continue;
    await tx.run("insert into missing values ($1, $2, $3, $4)", lane.id, loadedThrough + 1, through, notedAt);
  }
  for (const span of adoptedSpans(lane, loadedThrough, passed.keys())) record(tx, span);
}

type Known = {
  readonly state: "received" | "retrying" | "held" | "dead" | "loaded" | "discarded";
  readonly reason: string | null;
};

/** Makes one message passed over at the centre an exception here, or mends the one that is known. */
async function agree(tx: Tx, lane: LaneRow, word: PassedWord, behind: boolean, now: Instant): Promise<void> {
  const known = await tx.get<Known>(
    "select state, order_reason as reason from exception where lane = $1 and seq = $2",
    lane.id,
    word.seq,
  );
  const kind = behind ? "restored centre" : "adopted";
  const tell = (detail: string): void => recordOne(tx, lane.id, word.seq, kind, SYSTEM, detail);
  if (!known) {
    await insertWord(tx, lane, word, now);
    tell(`${word.state}, as the central database says`);
  } else if (word.state === "discarded" && known.state !== "discarded") {
    await tx.run(
      `update exception set state = 'discarded', verb = 'discard', closed_at = $1, due_at = null, replay = 0,
         order_by = coalesce(order_by, $2), order_reason = coalesce(order_reason, 'as the central database says')
       where lane = $3 and seq = $4`,
      now,
      SYSTEM,
      lane.id,
      word.seq,
    );
    await freeFollowers(tx, lane.id, word.seq, now);
    tell("discarded, as the central database says");
  } else if (word.state !== "discarded" && known.state === "discarded") {
    await tx.run(
      "update exception set state = 'dead', verb = 'discard', closed_at = null, due_at = $1 where lane = $2 and seq = $3",
      now,
      lane.id,
      word.seq,
    );
    tell("its discard is done again");
  } else if (word.state !== "discarded" && known.state === "loaded") {
    await tx.run(
      "update exception set state = 'received', closed_at = null, due_at = $1 where lane = $2 and seq = $3",
      now,
      lane.id,
      word.seq,
    );
    tell("its late load is done again");
  }
}

async function insertWord(tx: Tx, lane: LaneRow, word: PassedWord, now: Instant): Promise<void> {
  const fault: FaultCode | null = word.fault;
  // What a retrying message waited for, or what a held one waits behind, is not known: the loader finds out.
  const dueAt = word.state === "retrying" || word.state === "held" ? now : null;
  const given = word.state === "discarded";
  await tx.run(
    `insert into exception (lane, seq, state, fault, detail, attempts, due_at, verb, order_by, order_reason, tables, since, closed_at)
     values ($1, $2, $3, $4, 'learned from the central database', $5, $6, $7, $8, $9, '[]', $10, $11)`,
    lane.id,
    word.seq,
    word.state,
    fault,
    word.attempts,
    dueAt,
    given ? "discard" : "load",
    given ? SYSTEM : null,
    given ? "as the central database says" : null,
    now,
    given ? now : null,
  );
}

/** The centre passed over no such message any more: what was open here has been loaded late. */
async function closeLoaded(
  tx: Tx,
  lane: LaneRow,
  loadedThrough: Seq,
  passed: ReadonlyMap<Seq, PassedWord>,
  now: Instant,
): Promise<void> {
  const open = await tx.all<{ n: Seq }>(
    "select seq as n from exception where lane = $1 and closed_at is null and seq <= $2 and replay = 0",
    lane.id,
    loadedThrough,
  );
  for (const { n } of open) {
    if (passed.has(n)) continue;
    await tx.run(
      `update exception set state = 'loaded', closed_at = $1, due_at = null, verb = 'load',
         behind_lane = null, behind_seq = null, behind_on = null
       where lane = $2 and seq = $3`,
      now,
      lane.id,
      n,
    );
    await freeFollowers(tx, lane.id, n, now);
    recordOne(tx, lane.id, n, "loaded late", SYSTEM, "as the central database says");
  }
}
