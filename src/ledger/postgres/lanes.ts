import { seq, type Seq } from "../../base/ids.ts";
import { isContest } from "../contest.ts";
import type { Imprinted } from "../imprints.ts";
import type { LaneStatus, Lanes } from "../port.ts";
import { appendAll } from "./append.ts";
import { openEpoch } from "./epochs.ts";
import { lanesOf, nameOf, openCounts, type LaneRow } from "./lane-row.ts";
import { rememberAsk } from "./restores.ts";
import type { Store } from "./store.ts";
import type { Tx } from "./tx.ts";

const RECEIVED = `
  select i.received_through as through from lane l join lane_in i on i.lane = l.id where l.terminal = $1 and l.epoch = $2`;
const IMPRINTED = `
  select l.epoch, i.seq, encode(i.id, 'hex') as id, encode(i.content, 'hex') as content
  from lane l join imprint i on i.lane = l.id and i.id = any (array(select decode(n, 'hex') from unnest($2::text[]) n))
  where l.terminal = $1 order by l.ordinal, i.seq`;

export const lanesOn = (store: Store): Lanes => ({
  append: async (submissions) => (submissions.length === 0 ? [] : store.write((tx) => appendAll(tx, submissions))),
  openEpoch: async (terminal, previous, install, reason, named, since) => {
    try {
      return await store.write(async (tx) => ({
        epoch: await openEpoch(tx, terminal, previous, install, reason, named, since),
      }));
    } catch (thrown) {
      if (isContest(thrown)) await store.write((tx) => rememberAsk(tx, { terminal, install, previous, reason }));
      throw thrown;
    }
  },
  of: (terminal) =>
    store.read(async (tx) => Promise.all((await lanesOf(tx, terminal)).map((lane) => statusOf(tx, lane)))),
  received: (terminal, epoch) =>
    store.read(async (tx) => (await tx.get<{ through: Seq }>(RECEIVED, terminal, epoch))?.through ?? null),
  imprinted: (terminal, ids) => store.read((tx) => tx.all<Imprinted>(IMPRINTED, terminal, ids)),
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
