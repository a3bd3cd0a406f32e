import type { Seq } from "../base/ids.ts";
import type { LoadTransaction } from "../database/port.ts";
import { applyQuickly, areBlind, type Fared } from "./alone.ts";
import type { Note } from "./decide.ts";
import type { Caution, Foreseeable } from "./caution.ts";
import { foresee, Likewise, missingParents, type Foreseen } from "./foresee.ts";
import type { LaneWork } from "./lane-work.ts";
import { Loading, type Trial } from "./message.ts";
import type { Blocker } from "./open-index.ts";
import { pageAhead } from "./page.ts";
import { blockerOf, NOT_TRIED, Queue } from "./queue.ts";
import type { Targets } from "./target.ts";
import { applyTogether, type Together } from "./together.ts";

/** After this many refused tries the lanes at fault are loaded message by message: more tries would cost more than they save. */
const TRIES_TOGETHER = 6;

/**
 * Loads the new messages of several lanes. First all together, as their net effect; whom the database refuses is taken out
 * with all that must come after it, and the rest is tried again. Then the same with those of which some are likely to be
 * refused, so that these few are tried again and not the whole batch. Those taken out are then tried alone, lane by lane in
 * order: they are loaded after all, become exceptions, or wait behind one. So one bad message costs the batch two tries, not
 * its pace.
 */
export async function loadBatch(
  tx: LoadTransaction,
  lanes: readonly LaneWork[],
  targets: Targets,
  caution: Caution,
): Promise<void> {
  const queues: Queue[] = [];
  for (const lane of lanes) queues.push(await Queue.of(lane));
  caution.fade();
  const batch: Batch = { tx, queues, targets, caution, foreseen: new Map() };
  await look(batch);
  for (const queue of queues)
    queue.part(
      (message) =>
        queue.lane.prepared.foregone !== null ||
        message.fault !== null ||
        batch.foreseen.has(message) ||
        caution.expects(message.acts),
      (message) => caution.doubts(message.acts),
    );
  await loadTogether(batch);
  for (const queue of queues) queue.goOn();
  await loadTogether(batch);
  const likewise = await Likewise.of(tx, batch.foreseen);
  for (const queue of queues) await loadApart(tx, queue, likewise, caution);
}

type Batch = {
  readonly tx: LoadTransaction;
  readonly queues: readonly Queue[];
  readonly targets: Targets;
  readonly caution: Caution;
  /** Whose refusal was foreseen: they are not tried together. */
  readonly foreseen: Map<Loading, Foreseen>;
};
const togetherOf = ({ queues }: Batch): readonly Loading[] => queues.flatMap(({ together }) => together);

async function look(batch: Batch): Promise<void> {
  const { tx, caution, foreseen } = batch;
  const sound = togetherOf(batch).filter(({ fault }) => fault === null);
  for (const [message, one] of await foresee(tx, sound, caution)) {
    foreseen.set(message, one);
    caution.found(one.constraint);
  }
}

/** Of what the database refused, and a look foresees as it was refused, the constraint is known: no others need be looked at. */
function settleDoubts({ caution, foreseen }: Batch, refused: Together["suspects"]): void {
  const [known, unknown] = [new Map<string, { code: Foreseeable; table: string }>(), new Set<string>()];
  for (const [message, { code, table }] of refused) {
    const one = foreseen.get(message);
    if (one?.code === code && one.act.target.shape.name === table)
      known.set(`${code} ${table}`, { code: one.code, table });
    else unknown.add(`${code} ${table}`);
  }
  for (const [name, { code, table }] of known) if (!unknown.has(name)) caution.explained(code, table);
}

/** Tries all that are to go together, until none of those left is refused. */
async function loadTogether(batch: Batch): Promise<void> {
  const { tx, queues, targets, caution, foreseen } = batch;
  for (let tries = 1; ; tries++) {
    const messages = togetherOf(batch);
    if (messages.length === 0) return;
    const { refused, suspects, notes } = await tx.attempt(async () => {
      const { suspects: refused, notes } = await applyTogether(tx, messages, targets);
      const early = await beginningEarly(queues, notes);
      const suspects = new Set([...refused.keys(), ...early]);
      return { keep: suspects.size === 0, result: { refused, suspects, notes } };
    });
    if (suspects.size === 0) {
      for (const { lane, together } of queues) for (const message of together) lane.loaded(message, [], false);
      for (const { message, note } of notes)
        queues.find(({ lane }) => lane.claim.lane === message.lane)?.lane.noted(message, [note]);
      return;
    }
    for (const { code, table } of refused.values()) caution.saw(code, table);
    await look(batch); // what else breaks the same constraints, and what can be foreseen of those that were refused
    settleDoubts(batch, refused);
    for (const queue of queues) {
      const isTired = tries >= TRIES_TOGETHER && queue.together.some((message) => suspects.has(message));
      queue.part((message) => isTired || suspects.has(message) || foreseen.has(message));
    }
  }
}

/**
 * Whose sums would begin too early: a row that is not there begins with the sender's own count, and that holds what a message
 * before this one, open or tried later, is yet to add. Then it would be added twice, so the later one waits.
 */
async function beginningEarly(queues: readonly Queue[], notes: Together["notes"]): Promise<ReadonlySet<Loading>> {
  const early = new Set<Loading>();
  for (const { message, note } of notes) {
    const queue = begins(note) ? queues.find(({ lane }) => lane.claim.lane === message.lane) : undefined;
    if (queue && (queue.isAddedToBefore(message) || (await adderBefore(queue.lane, message, [note]))))
      early.add(message);
  }
  return early;
}

/** The open exception whose sums such a message waits for, but for those of a group that is loaded with it. */
export async function adderBefore(
  { open }: LaneWork,
  message: Trial,
  notes: readonly Note[],
  group?: ReadonlySet<Seq>,
): Promise<Blocker | null> {
  if (open.size === 0 || !notes.some(begins)) return null;
  return open.adder(message.lane, message.seq, await message.touched(), group);
}

const begins = ({ kind }: Note): boolean => kind === "row recreated";

async function loadApart(
  tx: LoadTransaction,
  { lane, apart }: Queue,
  likewise: Likewise,
  caution: Caution,
): Promise<void> {
  const inOrder = apart.toSorted((a, b) => a.seq - b.seq);
  for (const whole of inOrder) {
    const behind = await blockerOf(lane, whole);
    const ahead = behind && pageAhead(lane, whole);
    if (behind && !ahead) {
      await lane.hold(whole, behind, NOT_TRIED);
      continue;
    }
    const message = ahead ?? whole;
    const known =
      lane.prepared.foregone ??
      (message === whole && whole instanceof Loading && !isOrphan(lane, whole) ? likewise.faultOf(whole) : null);
    const fared = known ? { fault: known, notes: [] } : await tryAlone(tx, lane, message, false);
    if (!known && message instanceof Loading) {
      likewise.tried(message, fared.fault, !fared.fault && !fared.behind);
      if (fared.fault) caution.again(fared.fault.code, message.acts);
    }
    await bookFared(tx, lane, message, fared, NOT_TRIED, false);
  }
}

/** Does it name a parent that an open exception before it makes? Then it may have to wait, whatever else is wrong with it. */
const isOrphan = ({ open }: LaneWork, message: Loading): boolean =>
  open.size > 0 && message.mayMeet(open) && open.creator(message.lane, message.seq, message.sets) !== null;

/** How a message fared alone; `behind`: whom it has to wait for although nothing was refused. */
export type FaredAlone = Fared & { readonly behind?: Blocker | null };

/** One message alone, in its own order; wholly done or wholly undone. */
export async function tryAlone(
  tx: LoadTransaction,
  lane: LaneWork,
  message: Trial,
  late: boolean,
): Promise<FaredAlone> {
  if (message instanceof Loading && message.fault) return { fault: message.fault, notes: [] }; // nothing to ask the database
  if (message instanceof Loading && areBlind(message.acts, late)) {
    const quickly = await tx.attempt(async () => {
      const fared = await applyQuickly(tx, message.acts);
      return fared ? weighed(lane, message, fared) : { keep: false, result: null };
    });
    if (quickly) return quickly;
  }
  return tx.attempt(async () => weighed(lane, message, await message.apply(tx, late)));
}

async function weighed(
  lane: LaneWork,
  message: Trial,
  fared: Fared,
): Promise<{ readonly keep: boolean; readonly result: FaredAlone }> {
  const behind = fared.fault ? null : await adderBefore(lane, message, fared.notes);
  return { keep: fared.fault === null && behind === null, result: { ...fared, behind } };
}

/** Writes down how a message fared that was tried alone. */
export async function bookFared(
  tx: LoadTransaction,
  lane: LaneWork,
  message: Trial,
  { fault, notes, behind = null }: FaredAlone,
  before: Parameters<LaneWork["hold"]>[2],
  late: boolean,
): Promise<void> {
  if (behind) return lane.hold(message, behind, before);
  if (!fault) return lane.loaded(message, notes, late);
  const creator = fault.code === "PARENT_MISSING" ? await creatorOf(tx, lane, message) : null;
  if (creator) await lane.hold(message, creator, before);
  else await lane.fail(message, fault, before.attempts + 1);
}

/** The open exception that makes what the message lacks. One that makes a parent which is there all the same is no help. */
async function creatorOf(tx: LoadTransaction, { open }: LaneWork, message: Trial): Promise<Blocker | null> {
  const creator = open.creator(message.lane, message.seq, await message.touched());
  if (!creator || !(message instanceof Loading)) return creator;
  return open.creator(message.lane, message.seq, { parents: await missingParents(tx, message) });
}
