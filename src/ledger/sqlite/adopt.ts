import type { Instant } from "../../base/clock.ts";
import type { FaultCode } from "../../base/errors.ts";
import { SYSTEM, type LaneName, type Seq } from "../../base/ids.ts";
import { adoptedSpans, gone, isBehind, rewound, type CentreWord, type PassedWord } from "../adopt.ts";
import { reconsiderNewer } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { freeFollowers } from "./followers.ts";
import { laneById, laneByName, type LaneRow } from "./lane-row.ts";
import { advance } from "./settle.ts";
import type { Store } from "./store.ts";

/** See the port. The caller still holds the lease afterwards; its claim is void. */
export function adoptLane(
  store: Store,
  name: LaneName,
  fence: number,
  centre: CentreWord,
): "adopted" | "behind" | "lost" {
  const lane = laneByName(store, name);
  if (!lane || lane.leasedBy === null || lane.fence !== fence) return "lost";
  const now = store.now();
  const behind = isBehind(centre, lane);
  const passed = new Map(centre.passed.map((word) => [word.seq, word]));
  if (centre.loadedThrough < lane.loadedThrough) rewind(store, lane, centre.loadedThrough);
  else catchUp(store, lane, centre.loadedThrough, passed);
  for (const word of centre.passed) agree(store, lane, word, behind, now);
  closeLoaded(store, lane, centre.loadedThrough, passed, now);
  store.run(
    "update lane_out set loaded_through = ?1, claimed_through = max(claimed_through, ?1), version = ?2, doubted = 0 where lane = ?3",
    centre.loadedThrough,
    centre.version,
    lane.id,
  );
  advance(store, lane.id, centre.loadedThrough);
  reconsiderNewer(store, laneById(store, lane.id), now);
  return behind ? "behind" : "adopted";
}

/** The centre was restored: what it does not show any more is loaded again, in the lane's order. */
function rewind(store: Store, lane: LaneRow, loadedThrough: Seq): void {
  record(store, rewound(lane, loadedThrough));
  store.run("delete from loaded_mark where lane = ? and through > ?", lane.id, loadedThrough);
  nameWhatIsGone(store, lane, loadedThrough);
  // What a person decided is done again as they decided it, at its place; all else is loaded again as it came.
  store.run(
    `update exception set state = 'dead', verb = 'discard', closed_at = null, due_at = ?1, replay = 1
     where lane = ?2 and seq > ?3 and state = 'discarded'`,
    store.now(),
    lane.id,
    loadedThrough,
  );
  store.run(
    `update exception set state = 'received', closed_at = null, due_at = ?1, replay = 1,
       behind_lane = null, behind_seq = null, behind_on = null
     where lane = ?2 and seq > ?3 and revision is not null and verb = 'load'`,
    store.now(),
    lane.id,
    loadedThrough,
  );
  store.run(
    "delete from exception where lane = ? and seq > ? and replay = 0 and verb = 'load'",
    lane.id,
    loadedThrough,
  );
}

/** The copy was older than this ledger keeps loaded messages: those that retention took away are lost, and named. */
function nameWhatIsGone(store: Store, lane: LaneRow, loadedThrough: Seq): void {
  const holes = store.all<{ from: Seq; through: Seq }>(
    `select behind as "from", from_seq - 1 as through from (
       select from_seq, coalesce(lag(through_seq) over (order by through_seq, through_part), ?2) + 1 as behind
       from run where lane = ?1 and through_seq > ?2) where from_seq > behind`,
    lane.id,
    loadedThrough,
  );
  for (const { from, through } of holes) {
    const fresh = "insert into missing values (?, ?, ?, ?) on conflict (lane, from_seq) do nothing";
    if (store.run(fresh, lane.id, from, through, store.now()) === 0) continue; // the terminal had lost them
    record(store, gone(lane, from, through));
  }
}

/** The centre is ahead, or as far: a worker loaded and died before it settled, or this ledger was restored. */
function catchUp(store: Store, lane: LaneRow, loadedThrough: Seq, passed: ReadonlyMap<Seq, PassedWord>): void {
  // Numbers believed lost that the centre shows as loaded are not missing: the ledger was restored, not the terminal.
  const lost = store.all<{ from: Seq; through: Seq; notedAt: Instant }>(
    `select from_seq as "from", through_seq as through, noted_at as notedAt from missing
     where lane = ? and from_seq > ? and from_seq <= ?`,
    lane.id,
    lane.loadedThrough,
    loadedThrough,
  );
  for (const { from, through, notedAt } of lost) {
    store.run("delete from missing where lane = ? and from_seq = ?", lane.id, from);
    if (through <= loadedThrough) continue;
    store.run("insert into missing values (?, ?, ?, ?)", lane.id, loadedThrough + 1, through, notedAt);
  }
  for (const span of adoptedSpans(lane, loadedThrough, passed.keys())) record(store, span);
}

type Known = {
  readonly state: "received" | "retrying" | "held" | "dead" | "loaded" | "discarded";
  readonly reason: string | null;
};

/** Makes one message passed over at the centre an exception here, or mends the one that is known. */
function agree(store: Store, lane: LaneRow, word: PassedWord, behind: boolean, now: Instant): void {
  const known = store.get<Known>(
    "select state, order_reason as reason from exception where lane = ? and seq = ?",
    lane.id,
    word.seq,
  );
  const kind = behind ? "restored centre" : "adopted";
  const tell = (detail: string): void => recordOne(store, lane.id, word.seq, kind, SYSTEM, detail);
  if (!known) {
    insertWord(store, lane, word, now);
    tell(`${word.state}, as the central database says`);
  } else if (word.state === "discarded" && known.state !== "discarded") {
    store.run(
      `update exception set state = 'discarded', verb = 'discard', closed_at = ?, due_at = null, replay = 0,
         order_by = coalesce(order_by, ?), order_reason = coalesce(order_reason, 'as the central database says')
       where lane = ? and seq = ?`,
      now,
      SYSTEM,
      lane.id,
      word.seq,
    );
    freeFollowers(store, lane.id, word.seq, now);
    tell("discarded, as the central database says");
  } else if (word.state !== "discarded" && known.state === "discarded") {
    store.run(
      "update exception set state = 'dead', verb = 'discard', closed_at = null, due_at = ? where lane = ? and seq = ?",
      now,
      lane.id,
      word.seq,
    );
    tell("its discard is done again");
  } else if (word.state !== "discarded" && known.state === "loaded") {
    store.run(
      "update exception set state = 'received', closed_at = null, due_at = ? where lane = ? and seq = ?",
      now,
      lane.id,
      word.seq,
    );
    tell("its late load is done again");
  }
}

function insertWord(store: Store, lane: LaneRow, word: PassedWord, now: Instant): void {
  const fault: FaultCode | null = word.fault;
  // What a retrying message waited for, or what a held one waits behind, is not known: the loader finds out.
  const dueAt = word.state === "retrying" || word.state === "held" ? now : null;
  const given = word.state === "discarded";
  store.run(
    `insert into exception (lane, seq, state, fault, detail, attempts, due_at, verb, order_by, order_reason, tables, since, closed_at)
     values (?, ?, ?, ?, 'learned from the central database', ?, ?, ?, ?, ?, '[]', ?, ?)`,
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
function closeLoaded(
  store: Store,
  lane: LaneRow,
  loadedThrough: Seq,
  passed: ReadonlyMap<Seq, PassedWord>,
  now: Instant,
): void {
  const open = store.all<{ n: Seq }>(
    "select seq as n from exception where lane = ? and closed_at is null and seq <= ? and replay = 0",
    lane.id,
    loadedThrough,
  );
  for (const { n } of open) {
    if (passed.has(n)) continue;
    store.run(
      `update exception set state = 'loaded', closed_at = ?, due_at = null, verb = 'load',
         behind_lane = null, behind_seq = null, behind_on = null
       where lane = ? and seq = ?`,
      now,
      lane.id,
      n,
    );
    freeFollowers(store, lane.id, n, now);
    recordOne(store, lane.id, n, "loaded late", SYSTEM, "as the central database says");
  }
}
