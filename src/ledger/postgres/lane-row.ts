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
import type { Tx } from "./tx.ts";

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
  /** The centre has shown another version; to be claimed though it may hold nothing. */
  readonly doubted: boolean;
  readonly loadedAt: Instant | null;
  readonly lagMs: number | null;
};

export const SELECT_LANE = `
  select l.id, l.terminal, l.epoch, l.ordinal, l.ended_at as "endedAt",
         i.received_through as "receivedThrough", i.chain, i.part, i.part_chain as "partChain", i.received_at as "receivedAt",
         o.loaded_through as "loadedThrough", o.claimed_through as "claimedThrough", o.version, o.fence,
         o.leased_by as "leasedBy", o.leased_until as "leasedUntil", o.work_at as "workAt", o.not_before as "notBefore",
         o.claimed_items as "claimedItems", o.claim_limit as "claimLimit", o.suspect_through as "suspectThrough",
         o.alone_seq as "aloneSeq", o.unsettled, o.doubted, o.loaded_at as "loadedAt", o.lag_ms as "lagMs"
  from lane l join lane_in i on i.lane = l.id join lane_out o on o.lane = l.id`;
const BY_ID = `${SELECT_LANE} where l.id = $1`;
const BY_NAME = `${SELECT_LANE} where l.terminal = $1 and l.epoch = $2`;
const CURRENT = `${SELECT_LANE} where l.terminal = $1 and l.ended_at is null`;
const OF_TERMINAL = `${SELECT_LANE} where l.terminal = $1 order by l.ordinal`;

export async function laneById(tx: Tx, id: number): Promise<LaneRow> {
  const row = await tx.get<LaneRow>(BY_ID, id);
  if (!row) throw new WaybillError("INTERNAL", `the ledger has no lane with the row id ${id}`);
  return row;
}
export async function laneByName(tx: Tx, name: LaneName): Promise<LaneRow | undefined> {
  const { terminal, epoch } = splitLane(name);
  return tx.get<LaneRow>(BY_NAME, terminal, epoch);
}
/** Those of the lanes that there are. */
export async function lanesNamed(tx: Tx, names: readonly LaneName[]): Promise<ReadonlyMap<LaneName, LaneRow>> {
  const split = names.map(splitLane);
  const rows = await tx.all<LaneRow>(
    `${SELECT_LANE} where (l.terminal, l.epoch) in (select * from unnest($1::text[], $2::text[]))`,
    split.map(({ terminal }) => terminal),
    split.map(({ epoch }) => epoch),
  );
  return new Map(rows.map((row) => [nameOf(row), row]));
}
/** @throws NOT_FOUND. */
export async function laneNamed(tx: Tx, name: LaneName): Promise<LaneRow> {
  const row = await laneByName(tx, name);
  if (!row) throw new WaybillError("NOT_FOUND", `the ledger has no lane ${name}`);
  return row;
}
export const currentLane = (tx: Tx, terminal: TerminalId): Promise<LaneRow | undefined> =>
  tx.get<LaneRow>(CURRENT, terminal);
export const lanesOf = (tx: Tx, terminal: TerminalId): Promise<LaneRow[]> => tx.all<LaneRow>(OF_TERMINAL, terminal);
export const nameOf = (lane: Pick<LaneRow, "terminal" | "epoch">): LaneName => laneName(lane.terminal, lane.epoch);

/** What of a lane is neither loaded nor given up. A message that was requeued is counted as one that is tried again. */
export type OpenCounts = { readonly retrying: number; readonly held: number; readonly dead: number };

const NONE_OPEN: OpenCounts = { retrying: 0, held: 0, dead: 0 };

export const openCounts = async (tx: Tx, lane: number): Promise<OpenCounts> =>
  (await tx.get<OpenCounts>("select retrying, held, dead from lane_open where lane = $1", lane)) ?? NONE_OPEN;
