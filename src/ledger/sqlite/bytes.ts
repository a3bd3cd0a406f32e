import { seq, splitLane } from "../../base/ids.ts";
import type { LedgerBytes, StoredPiece } from "../bytes.ts";
import { openExceptionsOf, type OpenLane, type OpenRow } from "../open-exceptions.ts";
import { piecesAfter } from "./runs.ts";
import type { Store } from "./store.ts";

const OPEN = `
  select l.id, o.fence, o.version, l.terminal, l.epoch, e.seq, e.state, e.fault, e.attempts, e.sets
  from lane asked
  join lane l on l.terminal = asked.terminal and l.ordinal <= asked.ordinal
  join lane_out o on o.lane = l.id
  join exception e on e.lane = l.id and e.closed_at is null
  where asked.terminal = ? and asked.epoch = ? order by l.ordinal, e.seq`;

/** Disposing it leaves the store open: the store belongs to whoever opened it. */
export const bytesOn = (store: Store): LedgerBytes => ({
  read: async (lane, from, through, afterPart, limitBytes) => {
    const { terminal, epoch } = splitLane(lane);
    const row = store.get<{ id: number }>("select id from lane where terminal = ? and epoch = ?", terminal, epoch);
    if (!row) return [];
    const pieces: StoredPiece[] = [];
    let bytes = 0;
    const start =
      afterPart > 0 ? { seq: from, part: afterPart } : { seq: seq(from - 1), part: Number.MAX_SAFE_INTEGER };
    for (const piece of piecesAfter(store, row.id, start)) {
      if (piece.from > through) break;
      pieces.push(piece);
      bytes += piece.bytes.byteLength;
      if (bytes >= limitBytes) break;
    }
    return pieces;
  },
  open: async (lane) => {
    const { terminal, epoch } = splitLane(lane);
    return openExceptionsOf(epoch, store.all<OpenRow & OpenLane>(OPEN, terminal, epoch));
  },
  [Symbol.asyncDispose]: async () => {},
});
