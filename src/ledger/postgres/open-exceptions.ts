import type { FaultCode } from "../../base/errors.ts";
import { splitLane, type Epoch, type LaneName, type Seq, type TerminalId } from "../../base/ids.ts";
import { olderLanes, type OpenException, type OpenExceptions, type OpenLane } from "../bytes.ts";
import type { KeySets } from "../key-sets.ts";
import { nameOf } from "./lane-row.ts";
import type { Store } from "./store.ts";

export type OpenRow = {
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  readonly seq: Seq;
  readonly state: OpenException["state"];
  readonly fault: FaultCode | null;
  readonly attempts: number;
  readonly sets: string | null;
};

export const openOf = (row: OpenRow): OpenException => ({
  lane: nameOf(row),
  seq: row.seq,
  state: row.state,
  fault: row.fault,
  attempts: row.attempts,
  sets: row.sets === null ? null : (JSON.parse(row.sets) as KeySets),
});

/** See the port. One statement, so that exceptions and fences are of one moment. */
export async function openExceptions(store: Store, name: LaneName): Promise<OpenExceptions> {
  const { terminal, epoch } = splitLane(name);
  const rows = await store.read((tx) =>
    tx.all<OpenRow & OpenLane>(
      `select l.id, o.fence, o.version, l.terminal, l.epoch, e.seq, e.state, e.fault, e.attempts, e.sets
     from lane asked
     join lane l on l.terminal = asked.terminal and l.ordinal <= asked.ordinal
     join lane_out o on o.lane = l.id
     join exception e on e.lane = l.id and e.closed_at is null
     where asked.terminal = $1 and asked.epoch = $2 order by l.ordinal, e.seq`,
      terminal,
      epoch,
    ),
  );
  const older = new Map(rows.filter((row) => row.epoch !== epoch).map((row) => [row.id, row]));
  return { exceptions: rows.map(openOf), older: olderLanes([...older.values()]) };
}
