import type { LoadTransaction } from "../database/port.ts";
import { adderBefore, begins, loadApart } from "./apart.ts";
import type { Caution, Foreseeable } from "./caution.ts";
import { foresee, Likewise, mayBeLikened, type Foreseen } from "./foresee.ts";
import type { LaneWork } from "./lane-work.ts";
import type { Loading } from "./message.ts";
import { Queue } from "./queue.ts";
import type { Targets } from "./target.ts";
import { applyTogether, type Together } from "./together.ts";

/** After this many refused tries the lanes at fault are loaded message by message: more tries would cost more than they save. */
const TRIES_TOGETHER = 6;

/**
 * Loads the new messages of several lanes. First all together, as their net effect; whom the database refuses is taken out
 * with all that must come after it, and the rest is tried again. Then the same with those of which some are likely to be
 * refused, so that these few are tried again and not the whole batch. Those taken out are then tried alone, each lane's in
 * order, those whose refusal a look foresees after the others: they are loaded after all, become exceptions, or wait behind one.
 * So one bad message costs the batch two tries, not its pace.
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
  await loadTogether(batch, true);
  for (const queue of queues) queue.goOn();
  await loadTogether(batch, false);
  const turns = queues.map((queue) => queue.turns((message) => batch.foreseen.has(message) && mayBeLikened(message)));
  await loadApart(
    tx,
    turns.map(({ first }) => first),
    new Likewise(),
    caution,
  );
  await loadApart(
    tx,
    turns.map(({ last }) => last),
    await Likewise.of(tx, batch.foreseen),
    caution,
  );
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

/**
 * Tries all that are to go together, until none of those left is refused.
 * @param maySetOff what is in doubt may still go after the others
 */
async function loadTogether(batch: Batch, maySetOff: boolean): Promise<void> {
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
      queue.part(
        (message) => isTired || suspects.has(message) || foreseen.has(message),
        (message) => maySetOff && caution.isStartled && caution.doubts(message.acts),
      );
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
