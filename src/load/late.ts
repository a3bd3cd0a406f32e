import { seq } from "../base/ids.ts";
import type { LoadTransaction } from "../database/port.ts";
import type { Claim, KeySets, LateItem, LedgerBytes } from "../ledger/port.ts";
import { bookFared, tryAlone } from "./batch.ts";
import type { LaneWork } from "./lane-work.ts";
import { Loading, type Sender } from "./message.ts";
import type { Fault } from "./plan.ts";
import { NotStored, readMessages } from "./reading.ts";
import type { Touched } from "./sets.ts";
import type { Targets } from "./target.ts";

/**
 * Messages that were passed over before: those due for another try, in the lane's order and each alone, and those that an
 * operator gave up. Closing the passed row and the effect are one transaction, so the centre's own words stay true.
 */
export async function loadLate(tx: LoadTransaction, lane: LaneWork): Promise<void> {
  for (const { item, trial, foregone } of lane.prepared.late) {
    if (!trial) {
      lane.discard(item);
      continue;
    }
    const before = { attempts: item.attempts, fault: item.fault };
    const behind = lane.open.blocker(item.lane, item.seq, await trial.touched());
    if (behind) {
      await lane.hold(trial, behind, before);
      continue;
    }
    const fared = foregone ? { fault: foregone, notes: [] } : await tryAlone(tx, trial, true);
    await bookFared(lane, trial, fared, before, true);
  }
}

/** Later messages are read in steps of this many when it must be known what they touch. */
const STEP = 500;

/**
 * An edit, or a transform deployed since, may touch rows that nobody knew of when later messages were let past. That is
 * refused unless no later message of the lane touches them (I5). Null: nothing stands in the way.
 */
export async function widened(
  item: LateItem,
  touched: Touched,
  claim: Claim,
  sender: Sender,
  targets: Targets,
  bytes: LedgerBytes,
): Promise<Fault | null> {
  const added = item.sets ? rowsAddedTo(item.sets, touched) : new Set<string>();
  if (added.size === 0) return null;
  for (let from = item.seq + 1; from < claim.from; from += STEP) {
    const through = Math.min(from + STEP, claim.from) - 1;
    let lines;
    try {
      lines = await readMessages(bytes, item.lane, seq(from), seq(through));
    } catch (thrown) {
      if (!(thrown instanceof NotStored)) throw thrown;
      return {
        code: "SETS_CHANGED",
        detail: `it touches ${[...added][0]} now; what later messages touch is no longer stored`,
      };
    }
    for (const line of lines) {
      const { sets } = new Loading(sender, line, targets);
      const shared = [...sets.writes, ...sets.adds].find((text) => added.has(text));
      if (shared)
        return { code: "SETS_CHANGED", detail: `it touches ${shared} now, which message ${line.seq} touched after it` };
    }
  }
  return null;
}

function rowsAddedTo(known: KeySets, touched: Touched): Set<string> {
  const before = new Set([...known.writes, ...known.adds]);
  return new Set([...touched.writes, ...touched.adds].filter((text) => !before.has(text)));
}
