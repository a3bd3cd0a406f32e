import type { Seq } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { CHAIN_START } from "../../message/chain.ts";
import { chainWithin, endsAt, storedBefore, type Place, type RunWrite, type Stored } from "../lines.ts";
import type { StoredPiece } from "../bytes.ts";
import type { Store } from "./store.ts";

export function storeRun(store: Store, lane: number, run: RunWrite, now: Instant): void {
  const { first, last, changes, body, chain } = run;
  store.run(
    `insert into run (lane, from_seq, through_seq, part, through_part, bytes, changes, committed_at, received_at, chain, body)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    lane,
    first.seq,
    last.seq,
    first.part,
    last.part,
    body.byteLength,
    changes,
    last.at,
    now,
    chain,
    body,
  );
}

/** A run without bytes: numbers that never came, and the chain behind them as their sender gave it. */
export function storeGap(store: Store, lane: number, from: Seq, through: Seq, chain: Uint8Array, now: Instant): void {
  store.run(
    `insert into run (lane, from_seq, through_seq, part, through_part, bytes, changes, committed_at, received_at, chain, body)
     values (?, ?, ?, 0, 0, 0, 0, ?, ?, ?, x'')`,
    lane,
    from,
    through,
    now,
    now,
    chain,
  );
}

type ChainRow = Stored & { readonly chain: Uint8Array };

// The last run that ends at or before a place. Runs of parts end inside message seq + 1 unless they hold its last part.
const RUN_ENDING_BY = `
  select through_seq as seq, through_part as part, chain
  from run where lane = ? and (through_seq, through_part) <= (?, ?) order by through_seq desc, through_part desc limit 1`;

/**
 * The chain at `place`, which must not lie behind what is stored: a stored run's, or from there on computed over the stored
 * bytes. Null when they are no longer kept.
 */
export function chainAt(store: Store, lane: number, place: Place): Uint8Array | null {
  const wanted = storedBefore(place);
  if (wanted.seq === 0) return CHAIN_START;
  const before = store.get<ChainRow>(RUN_ENDING_BY, lane, wanted.seq, wanted.part);
  if (before && endsAt(before, wanted)) return before.chain;
  // The place lies within the next run.
  const [piece] = piecesAfter(store, lane, before ?? { seq: 0, part: 0 });
  return piece ? chainWithin(piece, before ?? null, wanted) : null;
}

const PIECES = `
  select from_seq as "from", through_seq as through, part, through_part as throughPart, body as bytes
  from run where lane = ? and (through_seq, through_part) > (?, ?) and bytes > 0 order by through_seq, through_part`;

/** Stored runs behind (seq, part) in order, read one by one. */
export const piecesAfter = (store: Store, lane: number, after: Stored): Generator<StoredPiece> =>
  store.each<StoredPiece>(PIECES, lane, after.seq, after.part);
