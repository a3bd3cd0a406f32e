import { later } from "../../base/clock.ts";
import { actor, seq, type Epoch, type Seq, type TerminalId } from "../../base/ids.ts";
import { pageOfMarks } from "../marks.ts";
import type { Work } from "../port.ts";
import { adoptLane } from "./adopt.ts";
import { claimedLate, claimLanes } from "./claim.ts";
import { reconsider } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { laneByName } from "./lane-row.ts";
import { isAllPaused } from "./paused.ts";
import { settleLane } from "./settle.ts";
import type { Store } from "./store.ts";

export const workOn = (store: Store): Work => ({
  claim: async (worker, limit, leaseMs) =>
    store.write(() => {
      store.setBack.leaseMs = leaseMs;
      return claimLanes(store, worker, limit, leaseMs);
    }),
  renew: async (held, leaseMs) =>
    store.write(() => {
      const until = later(store.now(), leaseMs);
      const kept = (name: (typeof held)[number]): boolean => {
        const lane = laneByName(store, name.lane);
        return (
          lane !== undefined &&
          store.run(
            "update lane_out set leased_until = ?1, work_at = ?1 where lane = ?2 and fence = ?3 and leased_by is not null",
            until,
            lane.id,
            name.fence,
          ) > 0
        );
      };
      return held.filter((one) => !kept(one)).map((one) => one.lane);
    }),
  settle: async (outcomes) => store.write(() => outcomes.map((outcome) => settleLane(store, outcome))),
  release: async (held, retryInMs, why) =>
    store.write(() => {
      for (const { lane, fence } of held) handBack(store, lane, fence, retryInMs, why);
    }),
  adopt: async (lane, fence, centre) => store.write(() => adoptLane(store, lane, fence, centre)),
  nextDue: async () => {
    if (isAllPaused(store)) return null;
    const row = store.get<{ at: number | null }>("select min(work_at) as at from lane_out where work_at is not null");
    return row?.at == null ? null : Math.max(0, row.at - store.now());
  },
  marks: async (limit, after) => {
    type Row = { id: number; terminal: TerminalId; epoch: Epoch; loadedThrough: Seq; version: number; leased: 0 | 1 };
    const rows = store.all<Row>(
      `select l.id, l.terminal, l.epoch, o.loaded_through as loadedThrough, o.version, o.leased_by is not null as leased
       from lane l join lane_out o on o.lane = l.id where l.id > ? order by l.id limit ?`,
      after ?? 0,
      limit,
    );
    return pageOfMarks(rows, limit);
  },
  doubt: async (lanes) =>
    store.write(() => {
      for (const name of lanes) {
        const lane = laneByName(store, name);
        if (!lane) continue;
        store.run("update lane_out set doubted = 1 where lane = ?", lane.id);
        reconsider(store, lane.id, store.now());
      }
    }),
});

/** Nothing is judged, so a suspect lane stays as suspect as it was. */
function handBack(
  store: Store,
  name: Parameters<Work["adopt"]>[0],
  fence: number,
  retryInMs: number,
  why: string,
): void {
  const lane = laneByName(store, name);
  if (!lane || lane.leasedBy === null || lane.fence !== fence) return;
  const worker = actor(`worker:${lane.leasedBy}`);
  if (lane.claimedThrough > lane.loadedThrough) {
    const from = seq(lane.loadedThrough + 1);
    record(store, {
      lane: lane.id,
      from,
      through: lane.claimedThrough,
      kind: "handed back",
      by: worker,
      detail: why,
    });
  }
  for (const { n } of claimedLate(store, lane)) recordOne(store, lane.id, n, "handed back", worker, why);
  const now = store.now();
  store.run(
    `update lane_out set leased_by = null, leased_until = null, claimed_through = loaded_through, claimed_items = 0,
       not_before = ? where lane = ?`,
    later(now, retryInMs),
    lane.id,
  );
  reconsider(store, lane.id, now);
}
