import type { LoadTransaction } from "../database/port.ts";
import type { Fared } from "./alone.ts";
import type { Note } from "./decide.ts";
import { foresee, Likewise, type Caution, type Foreseen } from "./foresee.ts";
import type { LaneWork } from "./lane-work.ts";
import { Loading, type Trial } from "./message.ts";
import { pageAhead } from "./page.ts";
import { OpenIndex, type Blocker } from "./sets.ts";
import type { Targets } from "./target.ts";
import { applyTogether, type Together } from "./together.ts";

/** After this many refused tries the lanes at fault are loaded message by message: more tries would cost more than they save. */
const TRIES_TOGETHER = 6;

/**
 * Loads the new messages of several lanes. First all together, as their net effect; whom the database refuses is taken out
 * with all that must come after it, and the rest is tried again. Those taken out are then tried alone, lane by lane in order:
 * they are loaded after all, become exceptions, or wait behind one. So one bad message costs the batch two tries, not its pace.
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
  const foreseen = await loadTogether(tx, queues, targets, caution);
  const likewise = await Likewise.of(tx, foreseen);
  for (const queue of queues) await loadApart(tx, queue, likewise);
}

const NOT_TRIED = { attempts: 0, fault: null };

/** The messages of a lane that nobody holds up: those that may be loaded together, and those that must be tried alone. */
class Queue {
  readonly lane: LaneWork;
  together: Loading[] = [];
  readonly apart: Trial[] = [];
  /** What those touch that were set apart since `together` was last gone through. */
  #apart = new OpenIndex();

  private constructor(lane: LaneWork) {
    this.lane = lane;
  }

  static async of(lane: LaneWork): Promise<Queue> {
    const queue = new Queue(lane);
    for (const whole of lane.prepared.messages) {
      const behind = await blockerOf(lane, whole);
      const ahead = behind && pageAhead(lane, whole);
      const message = ahead ?? whole;
      const route = behind && !ahead ? null : await lane.routes.pausedFor(message);
      if (behind && !ahead) await lane.hold(whole, behind, NOT_TRIED);
      else if (route !== null) await lane.holdFor(whole, route, NOT_TRIED);
      else if (!(message instanceof Loading)) queue.apart.push(message); // in parts: the only one of its claim
      else if (message.fault || lane.prepared.foregone || queue.#isBehindApart(message)) queue.#setApart(message);
      else queue.together.push(message);
    }
    return queue;
  }

  /** Takes the suspects out, and all that must not overtake them. */
  exclude(suspects: Pick<ReadonlySet<Loading>, "has">): void {
    if (!this.together.some((message) => suspects.has(message))) return;
    const rest: Loading[] = [];
    this.#apart = new OpenIndex(); // those here were free of all before
    for (const message of this.together) {
      if (suspects.has(message) || this.#isBehindApart(message)) this.#setApart(message);
      else rest.push(message);
    }
    this.together = rest;
  }

  #isBehindApart(message: Loading): boolean {
    if (this.#apart.size === 0) return false;
    return message.mayMeet(this.#apart) && this.#apart.follows(message.lane, message.seq, message.sets);
  }
  #setApart(message: Loading): void {
    this.apart.push(message);
    this.#apart.open(message.lane, message.seq, message.sets.sets());
  }
}

/** @returns of those taken out, whose refusal was foreseen */
async function loadTogether(
  tx: LoadTransaction,
  queues: readonly Queue[],
  targets: Targets,
  caution: Caution,
): Promise<ReadonlyMap<Loading, Foreseen>> {
  const foreseen = new Map<Loading, Foreseen>();
  const look = async (): Promise<void> => {
    const all = queues.flatMap((queue) => queue.together);
    for (const [message, one] of await foresee(tx, all, caution)) {
      foreseen.set(message, one);
      caution.saw(one.code, one.act.target.shape.name);
    }
    if (foreseen.size > 0) for (const queue of queues) queue.exclude(foreseen);
  };
  await look();
  for (let tries = 1; ; tries++) {
    const messages = queues.flatMap((queue) => queue.together);
    if (messages.length === 0) return foreseen;
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
      return foreseen;
    }
    for (const { code, table } of refused.values()) caution.saw(code, table);
    await look(); // what else breaks the same constraints, and what can be foreseen of those that were refused
    for (const queue of queues) {
      const own = queue.together.some((message) => suspects.has(message));
      if (own) queue.exclude(tries < TRIES_TOGETHER ? suspects : new Set(queue.together));
    }
  }
}

/**
 * Whose sums would begin too early: a row that is not there begins with the sender's own count, and that holds what an open
 * message before this one is yet to add. Then it would be added twice, so the later one waits.
 */
async function beginningEarly(queues: readonly Queue[], notes: Together["notes"]): Promise<ReadonlySet<Loading>> {
  const early = new Set<Loading>();
  for (const { message, note } of notes) {
    const lane = queues.find((queue) => queue.lane.claim.lane === message.lane)?.lane;
    if (lane && (await adderBefore(lane, message, [note]))) early.add(message);
  }
  return early;
}

async function adderBefore(lane: LaneWork, message: Trial, notes: readonly Note[]): Promise<Blocker | null> {
  if (lane.open.size === 0 || !notes.some(({ kind }) => kind === "row recreated")) return null;
  return lane.open.adder(message.lane, message.seq, await message.touched());
}

async function loadApart(tx: LoadTransaction, { lane, apart }: Queue, likewise: Likewise): Promise<void> {
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
    if (!known && message instanceof Loading) likewise.tried(message, fared.fault, !fared.fault && !fared.behind);
    await bookFared(lane, message, fared, NOT_TRIED, false);
  }
}

/** Does it name a parent that an open exception before it makes? Then it may have to wait, whatever else is wrong with it. */
const isOrphan = ({ open }: LaneWork, message: Loading): boolean =>
  open.size > 0 && message.mayMeet(open) && open.creator(message.lane, message.seq, message.sets) !== null;

/** The open exception that the message waits behind; null: none. */
async function blockerOf({ open }: LaneWork, message: Trial): Promise<Blocker | null> {
  if (open.size === 0 || (message instanceof Loading && !message.mayMeet(open))) return null;
  return open.blocker(message.lane, message.seq, await message.touched());
}

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
  return tx.attempt(async () => {
    const fared = await message.apply(tx, late);
    const behind = fared.fault ? null : await adderBefore(lane, message, fared.notes);
    return { keep: fared.fault === null && behind === null, result: { ...fared, behind } };
  });
}

/** Writes down how a message fared that was tried alone. */
export async function bookFared(
  lane: LaneWork,
  message: Trial,
  { fault, notes, behind = null }: FaredAlone,
  before: Parameters<LaneWork["hold"]>[2],
  late: boolean,
): Promise<void> {
  if (behind) return lane.hold(message, behind, before);
  if (!fault) return lane.loaded(message, notes, late);
  const creator =
    fault.code === "PARENT_MISSING" ? lane.open.creator(message.lane, message.seq, await message.touched()) : null;
  if (creator) await lane.hold(message, creator, before);
  else await lane.fail(message, fault, before.attempts + 1);
}
