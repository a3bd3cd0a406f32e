import { seq } from "../base/ids.ts";
import type { LoadTransaction } from "../database/port.ts";
import type { KeySets } from "../ledger/key-sets.ts";
import type { LedgerBytes } from "../ledger/bytes.ts";
import type { Claim, LateItem } from "../ledger/port.ts";
import { adderBefore, bookFared, tryAlone } from "./apart.ts";
import type { LaneWork, LateWork } from "./lane-work.ts";
import { Loading, type Sender, type Trial } from "./message.ts";
import { OpenIndex } from "./open-index.ts";
import { pageAhead } from "./page.ts";
import type { Act, Fault } from "./plan.ts";
import { NotStored, readMessages } from "./reading.ts";
import type { Touched } from "./sets.ts";
import type { Targets } from "./target.ts";
import { applyTogether } from "./together.ts";

/**
 * Messages that were passed over before: those due for another try, in the lane's order and each alone, and those that an
 * operator gave up. Closing the passed row and the effect are one transaction, so the centre's own words stay true.
 */
export async function loadLate(tx: LoadTransaction, lane: LaneWork, targets: Targets): Promise<void> {
  const { late } = lane.prepared;
  const healed = new Set<Trial>();
  for (const [at, { item, trial, foregone }] of late.entries()) {
    if (trial && healed.has(trial)) continue;
    if (!trial) {
      if (foregone) lane.lose(item, foregone);
      else lane.discard(item);
      continue;
    }
    const before = { attempts: item.attempts, fault: item.fault };
    const behind = lane.open.blocker(item.lane, item.seq, await trial.touched());
    const ahead = behind && pageAhead(lane, trial);
    if (behind && !ahead) {
      await lane.hold(trial, behind, before);
      continue;
    }
    const message = ahead ?? trial;
    const route = item.probe ? null : await lane.routes.pausedFor(message);
    if (route !== null) {
      await lane.holdFor(trial, route, before);
      continue;
    }
    const fared = foregone ? { fault: foregone, notes: [] } : await tryAlone(tx, lane, message, true);
    if (fared.fault?.code === "PARENT_MISSING" && message instanceof Loading) {
      const together = await loadWithFollowers(tx, lane, message, late.slice(at + 1), targets);
      for (const message of together) healed.add(message);
      if (together.length > 0) continue;
    }
    await bookFared(tx, lane, message, fared, before, true);
  }
}

/**
 * A child that came before its parent, where the message with the parent waits behind the child's own (it writes one of its
 * rows too): alone neither can ever be loaded, as net effect both can, parents first. It happens at an initial load: a sale
 * names an article whose page comes later, and the page holds another article that the sale itself had put in.
 * @returns the messages loaded, the child's first; none when it does not help
 */
async function loadWithFollowers(
  tx: LoadTransaction,
  lane: LaneWork,
  child: Loading,
  later: readonly LateWork[],
  targets: Targets,
): Promise<readonly Loading[]> {
  const { parents } = child.sets;
  const made = (message: Loading): boolean => message !== child && !message.sets.creates.isDisjointFrom(parents);
  // Most often the parent has not come yet, and nothing need be looked at further.
  const hasCome = later.some(({ trial }) => trial instanceof Loading && made(trial));
  if (!hasCome || !child.acts.every(mayBeNettedLate)) return [];
  const reached = reachedFrom(child, later);
  const refused = new Set<Loading>();
  for (let tries = 0; tries < GROUP_TRIES; tries++) {
    const group = groupOf(lane, child, reached, refused);
    if (!group.some(made)) return [];
    const numbers = new Set(group.map(({ seq: number }) => number));
    const { suspects, notes } = await tx.attempt(async () => {
      const { suspects: others, notes: said } = await applyTogether(tx, group, targets);
      const at = new Set(others.keys());
      for (const { message, note } of said) if (await adderBefore(lane, message, [note], numbers)) at.add(message);
      return { keep: at.size === 0, result: { suspects: at, notes: said } };
    });
    if (suspects.size === 0) {
      for (const message of group) {
        const own = notes.flatMap((each) => (each.message === message ? [each.note] : []));
        lane.loaded(message, own, true);
      }
      return group;
    }
    if (suspects.has(child)) return [];
    for (const message of suspects) refused.add(message);
  }
  return [];
}

/** Each try leaves out whom the one before found at fault; a group that is still refused after so many waits for its next turn. */
const GROUP_TRIES = 8;

/** What must come after the child, and others that miss a parent, in order; without those that no net effect may hold. */
function reachedFrom(child: Loading, later: readonly LateWork[]): readonly Loading[] {
  const index = new OpenIndex();
  index.open(child.lane, child.seq, child.sets.sets());
  const reached: Loading[] = [];
  for (const { item, trial, foregone } of later) {
    if (!(trial instanceof Loading)) continue;
    // Another child may miss its parent for the same reason, and the same page may wait behind both.
    if (item.fault !== "PARENT_MISSING" && !index.follows(trial.lane, trial.seq, trial.sets)) continue;
    index.open(trial.lane, trial.seq, trial.sets.sets());
    if (!trial.fault && !foregone && trial.acts.every(mayBeNettedLate)) reached.push(trial);
  }
  return reached;
}

/** The child and whoever of those reached waits behind nobody outside the group. */
function groupOf(
  lane: LaneWork,
  child: Loading,
  reached: readonly Loading[],
  refused: ReadonlySet<Loading>,
): Loading[] {
  const group = [child];
  const members = new Set([child.seq]);
  for (const message of reached) {
    if (refused.has(message) || lane.open.blocker(message.lane, message.seq, message.sets, members)) continue;
    group.push(message);
    members.add(message.seq);
  }
  return group;
}

/** The net effect compares no before-images: only for rows that have one writer, sums, and rows that are made or told as they are. */
const mayBeNettedLate = (act: Act): boolean =>
  act.op === "insert" ||
  act.op === "upsert" ||
  act.target.rule.owner !== null ||
  act.target.rule.conflict.policy === "add";

/** Later messages are read in steps of this many when it must be known what they touch. */
const STEP = 500;

/**
 * An edit, or a transform deployed since, may touch rows that nobody knew of when later messages were let past. That is
 * refused unless no later message of the lane touches them (I5). Null: nothing stands in the way.
 */
export async function widened(
  item: Pick<LateItem, "lane" | "seq" | "sets">,
  touched: Touched,
  claim: Pick<Claim, "from">,
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
