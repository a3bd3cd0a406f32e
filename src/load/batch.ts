import type { LoadTransaction } from "../database/port.ts";
import type { Fared } from "./alone.ts";
import type { LaneWork } from "./lane-work.ts";
import { Loading, type Trial } from "./message.ts";
import { OpenIndex } from "./sets.ts";
import type { Targets } from "./target.ts";
import { applyTogether, type Together } from "./together.ts";

/** After this many refused tries the lanes at fault are loaded message by message: more tries would cost more than they save. */
const TRIES_TOGETHER = 6;

/**
 * Loads the new messages of several lanes. First all together, as their net effect; whom the database refuses is taken out
 * with all that must come after it, and the rest is tried again. Those taken out are then tried alone, lane by lane in order:
 * they are loaded after all, become exceptions, or wait behind one. So one bad message costs the batch two tries, not its pace.
 */
export async function loadBatch(tx: LoadTransaction, lanes: readonly LaneWork[], targets: Targets): Promise<void> {
  const queues: Queue[] = [];
  for (const lane of lanes) queues.push(await Queue.of(lane));
  await loadTogether(tx, queues, targets);
  for (const queue of queues) await loadApart(tx, queue);
}

/** The messages of a lane that nobody holds up: those that may be loaded together, and those that must be tried alone. */
class Queue {
  readonly lane: LaneWork;
  together: Loading[] = [];
  readonly apart: Trial[] = [];
  /** What those apart touch. */
  readonly #apart = new OpenIndex();

  private constructor(lane: LaneWork) {
    this.lane = lane;
  }

  static async of(lane: LaneWork): Promise<Queue> {
    const queue = new Queue(lane);
    for (const message of lane.prepared.messages) {
      const behind = lane.open.size > 0 ? lane.open.blocker(message.lane, message.seq, await message.touched()) : null;
      if (behind) await lane.hold(message, behind, { attempts: 0, fault: null });
      else if (!(message instanceof Loading)) queue.apart.push(message); // in parts: the only one of its claim
      else if (message.fault || lane.prepared.foregone || queue.#isBehindApart(message)) queue.#setApart(message);
      else queue.together.push(message);
    }
    return queue;
  }

  /** Takes the suspects out, and all that must not overtake them. */
  exclude(suspects: ReadonlySet<Loading>): void {
    const rest: Loading[] = [];
    for (const message of this.together) {
      if (suspects.has(message) || this.#isBehindApart(message)) this.#setApart(message);
      else rest.push(message);
    }
    this.together = rest;
  }

  #isBehindApart(message: Loading): boolean {
    return this.#apart.size > 0 && this.#apart.follows(message.lane, message.seq, message.sets);
  }
  #setApart(message: Loading): void {
    this.apart.push(message);
    this.#apart.open(message.lane, message.seq, message.sets.sets());
  }
}

async function loadTogether(tx: LoadTransaction, queues: readonly Queue[], targets: Targets): Promise<void> {
  for (let tries = 1; ; tries++) {
    const messages = queues.flatMap((queue) => queue.together);
    if (messages.length === 0) return;
    const { suspects, notes } = await tx.attempt(async (): Promise<{ keep: boolean; result: Together }> => {
      const result = await applyTogether(tx, messages, targets);
      return { keep: result.suspects.size === 0, result };
    });
    if (suspects.size === 0) {
      for (const { lane, together } of queues) for (const message of together) lane.loaded(message, [], false);
      for (const { message, note } of notes)
        queues.find(({ lane }) => lane.claim.lane === message.lane)?.lane.noted(message, [note]);
      return;
    }
    for (const queue of queues) {
      const own = queue.together.some((message) => suspects.has(message));
      if (own) queue.exclude(tries < TRIES_TOGETHER ? suspects : new Set(queue.together));
    }
  }
}

async function loadApart(tx: LoadTransaction, { lane, apart }: Queue): Promise<void> {
  const inOrder = apart.toSorted((a, b) => a.seq - b.seq);
  for (const message of inOrder) {
    const touched = lane.open.size > 0 ? await message.touched() : null;
    const behind = touched && lane.open.blocker(message.lane, message.seq, touched);
    if (behind) {
      await lane.hold(message, behind, { attempts: 0, fault: null });
      continue;
    }
    const { foregone } = lane.prepared;
    const fared = foregone ? { fault: foregone, notes: [] } : await tryAlone(tx, message, false);
    await bookFared(lane, message, fared, { attempts: 0, fault: null }, false);
  }
}

/** One message alone, in its own order; wholly done or wholly undone. */
export const tryAlone = (tx: LoadTransaction, message: Trial, late: boolean): Promise<Fared> =>
  tx.attempt(async () => {
    const result = await message.apply(tx, late);
    return { keep: result.fault === null, result };
  });

/** Writes down how a message fared that was tried alone. */
export async function bookFared(
  lane: LaneWork,
  message: Trial,
  { fault, notes }: Fared,
  before: Parameters<LaneWork["hold"]>[2],
  late: boolean,
): Promise<void> {
  if (!fault) return lane.loaded(message, notes, late);
  const creator =
    fault.code === "PARENT_MISSING" ? lane.open.creator(message.lane, message.seq, await message.touched()) : null;
  if (creator) await lane.hold(message, creator, before);
  else await lane.fail(message, fault, before.attempts + 1);
}
