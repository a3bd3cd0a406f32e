import { seq } from "../../base/ids.ts";
import { isContest } from "../contest.ts";
import type { LaneStatus, Lanes } from "../port.ts";
import { appendOne } from "./append.ts";
import { openEpoch } from "./epochs.ts";
import { lanesOf, nameOf, openCounts, type LaneRow } from "./lane-row.ts";
import { rememberAsk } from "./restores.ts";
import type { Store } from "./store.ts";

export const lanesOn = (store: Store): Lanes => ({
  append: async (submissions) => store.write(() => submissions.map((submission) => appendOne(store, submission))),
  openEpoch: async (terminal, previous, install, reason, named) => {
    try {
      return store.write(() => ({ epoch: openEpoch(store, terminal, previous, install, reason, named) }));
    } catch (thrown) {
      if (isContest(thrown)) store.write(() => rememberAsk(store, { terminal, install, previous, reason }));
      throw thrown;
    }
  },
  of: async (terminal) => lanesOf(store, terminal).map((lane) => statusOf(store, lane)),
});

const statusOf = (store: Store, lane: LaneRow): LaneStatus => ({
  lane: nameOf(lane),
  epoch: lane.epoch,
  current: lane.endedAt === null,
  receivedThrough: lane.receivedThrough,
  claimedThrough: lane.claimedThrough,
  loadedThrough: lane.loadedThrough,
  chain: lane.chain,
  open: openCounts(store, lane.id),
  receivedAt: lane.receivedAt,
  loadedAt: lane.loadedAt,
  partial: lane.part > 0 ? { seq: seq(lane.receivedThrough + 1), part: lane.part } : null,
});
