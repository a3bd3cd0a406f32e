import { seq } from "../../base/ids.ts";
import { isContest } from "../contest.ts";
import type { LaneStatus, Lanes } from "../port.ts";
import { appendAll } from "./append.ts";
import { openEpoch } from "./epochs.ts";
import { lanesOf, nameOf, openCounts, type LaneRow } from "./lane-row.ts";
import { rememberAsk } from "./restores.ts";
import type { Store } from "./store.ts";
import type { Tx } from "./tx.ts";

export const lanesOn = (store: Store): Lanes => ({
  append: async (submissions) => (submissions.length === 0 ? [] : store.write((tx) => appendAll(tx, submissions))),
  openEpoch: async (terminal, previous, install, reason, named) => {
    try {
      return await store.write(async (tx) => ({
        epoch: await openEpoch(tx, terminal, previous, install, reason, named),
      }));
    } catch (thrown) {
      if (isContest(thrown)) await store.write((tx) => rememberAsk(tx, { terminal, install, previous, reason }));
      throw thrown;
    }
  },
  of: (terminal) =>
    store.read(async (tx) => Promise.all((await lanesOf(tx, terminal)).map((lane) => statusOf(tx, lane)))),
});

const statusOf = async (tx: Tx, lane: LaneRow): Promise<LaneStatus> => ({
  lane: nameOf(lane),
  epoch: lane.epoch,
  current: lane.endedAt === null,
  receivedThrough: lane.receivedThrough,
  claimedThrough: lane.claimedThrough,
  loadedThrough: lane.loadedThrough,
  chain: lane.chain,
  open: await openCounts(tx, lane.id),
  receivedAt: lane.receivedAt,
  loadedAt: lane.loadedAt,
  partial: lane.part > 0 ? { seq: seq(lane.receivedThrough + 1), part: lane.part } : null,
});
