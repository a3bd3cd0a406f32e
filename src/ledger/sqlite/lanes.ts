import { seq, type Seq } from "../../base/ids.ts";
import { isContest } from "../contest.ts";
import type { Imprinted } from "../imprints.ts";
import type { LaneStatus, Lanes } from "../port.ts";
import { appendOne } from "./append.ts";
import { openEpoch } from "./epochs.ts";
import { lanesOf, nameOf, openCounts, type LaneRow } from "./lane-row.ts";
import { rememberAsk } from "./restores.ts";
import type { Store } from "./store.ts";

const RECEIVED = `
  select i.received_through as through from lane l join lane_in i on i.lane = l.id where l.terminal = ? and l.epoch = ?`;
const IMPRINTED = `
  select l.epoch, i.seq, lower(hex(i.id)) as id, lower(hex(i.content)) as content
  from lane l join json_each(?2) n join imprint i on i.lane = l.id and i.id = unhex(n.value)
  where l.terminal = ?1 order by l.ordinal, i.seq`;

export const lanesOn = (store: Store): Lanes => ({
  append: async (submissions) => store.write(() => submissions.map((submission) => appendOne(store, submission))),
  openEpoch: async (terminal, previous, install, reason, named, since) => {
    try {
      return store.write(() => ({ epoch: openEpoch(store, terminal, previous, install, reason, named, since) }));
    } catch (thrown) {
      if (isContest(thrown)) store.write(() => rememberAsk(store, { terminal, install, previous, reason }));
      throw thrown;
    }
  },
  of: async (terminal) => lanesOf(store, terminal).map((lane) => statusOf(store, lane)),
  received: async (terminal, epoch) => store.get<{ through: Seq }>(RECEIVED, terminal, epoch)?.through ?? null,
  imprinted: async (terminal, ids) => store.all<Imprinted>(IMPRINTED, terminal, JSON.stringify(ids)),
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
