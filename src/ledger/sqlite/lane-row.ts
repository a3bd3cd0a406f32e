import {
  laneName,
  splitLane,
  type Epoch,
  type LaneName,
  type Seq,
  type TerminalId,
  type WorkerId,
} from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import type { Store } from "./store.ts";

/** A lane with both its watermark rows; see the migration for the meaning of each column. */
export type LaneRow = {
  readonly id: number;
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  readonly ordinal: number;
  readonly endedAt: Instant | null;
  readonly receivedThrough: Seq;
  readonly chain: Uint8Array;
  readonly part: number;
  readonly partChain: Uint8Array | null;
  readonly receivedAt: Instant | null;
  readonly loadedThrough: Seq;
  readonly claimedThrough: Seq;
  readonly version: number;
  readonly fence: number;
  readonly leasedBy: WorkerId | null;
  readonly leasedUntil: Instant | null;
  readonly workAt: Instant | null;
  readonly notBefore: Instant;
  readonly claimedItems: number;
  readonly claimLimit: number | null;
  readonly suspectThrough: Seq;
  readonly aloneSeq: Seq | null;
  readonly unsettled: number;
  /** 1: the centre has shown another version; to be claimed though it may hold nothing. */
  readonly doubted: 0 | 1;
  readonly loadedAt: Instant | null;
  readonly lagMs: number | null;
};

const SELECT = `
  select l.id, l.terminal, l.epoch, l.ordinal, l.ended_at as endedAt,
         i.received_through as receivedThrough, i.chain, i.part, i.part_chain as partChain, i.received_at as receivedAt,
         o.loaded_through as loadedThrough, o.claimed_through as claimedThrough, o.version, o.fence,
         o.leased_by as leasedBy, o.leased_until as leasedUntil, o.work_at as workAt, o.not_before as notBefore,
         o.claimed_items as claimedItems, o.claim_limit as claimLimit, o.suspect_through as suspectThrough,
         o.alone_seq as aloneSeq, o.unsettled, o.doubted, o.loaded_at as loadedAt, o.lag_ms as lagMs
  from lane l join lane_in i on i.lane = l.id join lane_out o on o.lane = l.id`;
const BY_ID = `${SELECT} where l.id = ?`;
const BY_NAME = `${SELECT} where l.terminal = ? and l.epoch = ?`;
const CURRENT = `${SELECT} where l.terminal = ? and l.ended_at is null`;
const OF_TERMINAL = `${SELECT} where l.terminal = ? order by l.ordinal`;

export function laneById(store: Store, id: number): LaneRow {
  const row = store.get<LaneRow>(BY_ID, id);
  if (!row) throw new WaybillError("INTERNAL", `the ledger has no lane with the row id ${id}`);
  return row;
}
export function laneByName(store: Store, name: LaneName): LaneRow | undefined {
  const { terminal, epoch } = splitLane(name);
  return store.get<LaneRow>(BY_NAME, terminal, epoch);
}
/** @throws NOT_FOUND. */
export function laneNamed(store: Store, name: LaneName): LaneRow {
  const row = laneByName(store, name);
  if (!row) throw new WaybillError("NOT_FOUND", `the ledger has no lane ${name}`);
  return row;
}
export const currentLane = (store: Store, terminal: TerminalId): LaneRow | undefined =>
  store.get<LaneRow>(CURRENT, terminal);
export const lanesOf = (store: Store, terminal: TerminalId): LaneRow[] => store.all<LaneRow>(OF_TERMINAL, terminal);
export const nameOf = (lane: Pick<LaneRow, "terminal" | "epoch">): LaneName => laneName(lane.terminal, lane.epoch);

/** What of a lane is neither loaded nor given up. A message that was requeued is counted as one that is tried again. */
export type OpenCounts = { readonly retrying: number; readonly held: number; readonly dead: number };

const NONE_OPEN: OpenCounts = { retrying: 0, held: 0, dead: 0 };

export const openCounts = (store: Store, lane: number): OpenCounts =>
  store.get<OpenCounts>("select retrying, held, dead from lane_open where lane = ?", lane) ?? NONE_OPEN;
