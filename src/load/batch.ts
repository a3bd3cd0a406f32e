import type { LoadTransaction } from "../database/port.ts";
import type { Fared } from "./alone.ts";
import type { Note } from "./decide.ts";
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
export async function loadBatch(tx: LoadTransaction, lanes: readonly LaneWork[], targets: Targets): Promise<void> {
  const queues: Queue[] = [];
  for (const lane of lanes) queues.push(await Queue.of(lane));
  await loadTogether(tx, queues, targets);
  for (const queue of queues) await loadApart(tx, queue);
}

const NOT_TRIED = { attempts: 0, fault: null };

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
    for (const whole of lane.prepared.messages) {
      const behind = lane.open.size > 0 ? lane.open.blocker(whole.lane, whole.seq, await whole.touched()) : null;
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
      const early = await beginningEarly(queues, result);
      const suspects = result.suspects.union(early);
      return { keep: suspects.size === 0, result: { ...result, suspects } };
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

/**
 * Whose sums would begin too early: a row that is not there begins with the sender's own count, and that holds what an open
 * message before this one is yet to add. Then it would be added twice, so the later one waits.
 */
async function beginningEarly(queues: readonly Queue[], { notes }: Together): Promise<ReadonlySet<Loading>> {
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

async function loadApart(tx: LoadTransaction, { lane, apart }: Queue): Promise<void> {
  const inOrder = apart.toSorted((a, b) => a.seq - b.seq);
  for (const whole of inOrder) {
    const touched = lane.open.size > 0 ? await whole.touched() : null;
    const behind = touched && lane.open.blocker(whole.lane, whole.seq, touched);
    const ahead = behind && pageAhead(lane, whole);
    if (behind && !ahead) {
      await lane.hold(whole, behind, NOT_TRIED);
      continue;
    }
    const message = ahead ?? whole;
    const { foregone } = lane.prepared;
    const fared = foregone ? { fault: foregone, notes: [] } : await tryAlone(tx, lane, message, false);
    await bookFared(lane, message, fared, NOT_TRIED, false);
  }
}

/** How a message fared alone; `behind`: whom it has to wait for although nothing was refused. */
export type FaredAlone = Fared & { readonly behind?: Blocker | null };

/** One message alone, in its own order; wholly done or wholly undone. */
export const tryAlone = (tx: LoadTransaction, lane: LaneWork, message: Trial, late: boolean): Promise<FaredAlone> =>
  tx.attempt(async () => {
    const fared = await message.apply(tx, late);
    const behind = fared.fault ? null : await adderBefore(lane, message, fared.notes);
    return { keep: fared.fault === null && behind === null, result: { ...fared, behind } };
  });

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
