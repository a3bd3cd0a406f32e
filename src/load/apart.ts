import type { Seq } from "../base/ids.ts";
import type { LoadTransaction } from "../database/port.ts";
import { applyQuickly, areBlind, type Fared } from "./alone.ts";
import type { Caution } from "./caution.ts";
import type { Note } from "./decide.ts";
import { missingParents, type Likewise } from "./foresee.ts";
import type { LaneWork } from "./lane-work.ts";
import { Loading, type Trial } from "./message.ts";
import type { Blocker } from "./open-index.ts";
import { pageAhead } from "./page.ts";
import { blockerOf, NOT_TRIED, type Apart } from "./queue.ts";

/**
 * So many messages, each of another lane, are tried in one round trip. What is sent behind one that is refused is sent again, so in a
 * storm in which every sixth is refused more gain nothing.
 */
const AT_ONCE = 5;

/**
 * Tries those set apart each alone, and those of one lane in their order: they are loaded after all, become exceptions, or wait
 * behind one. Nothing of one lane depends on another's, so the first of several lanes are tried by one round trip.
 */
export async function loadApart(
  tx: LoadTransaction,
  apart: readonly Apart[],
  likewise: Likewise,
  caution: Caution,
): Promise<void> {
  let turns = apart.filter(({ messages }) => messages.length > 0).map((each) => new Turn(each));
  for (let most = AT_ONCE; ;) {
    const heads: Head[] = [];
    let isOver = false;
    for (const turn of turns) {
      const head = await turn.head(tx, likewise, caution);
      if (head) heads.push({ turn, message: head });
      else isOver = true;
      // Behind one that will be refused nothing need be sent; and what the database says of it may hold for the next.
      if (heads.length === most || (head && likewise.expects(head))) break;
    }
    if (isOver) turns = turns.filter((turn) => !turn.isOver);
    if (heads.length === 0) return;
    const told = await applyQuickly(
      tx,
      heads.map(({ message }) => message),
    );
    // Where hardly one goes through, all behind it were sent in vain.
    if (told.length === heads.length) most = Math.min(2 * most, AT_ONCE);
    else if (told.length === 1) most = Math.ceil(most / 2);
    for (const [at, fared] of told.entries()) {
      const { turn, message } = heads[at] as Head;
      await turn.book(tx, message, fared ?? (await tryInOrder(tx, turn.lane, message, false)), likewise, caution);
    }
  }
}

type Head = { readonly turn: Turn; readonly message: Loading };

/** Those of one lane that are tried alone, in order. */
class Turn {
  readonly lane: LaneWork;
  readonly #messages: readonly Trial[];
  #at = 0;
  /** The one whose turn it is, when it need only be tried. */
  #head: Loading | null = null;

  constructor({ lane, messages }: Apart) {
    this.lane = lane;
    this.#messages = messages;
  }

  get isOver(): boolean {
    return this.#at >= this.#messages.length;
  }

  /** The next to be tried in one round trip with those of other lanes. What comes before it is booked here; null: there is none left. */
  async head(tx: LoadTransaction, likewise: Likewise, caution: Caution): Promise<Loading | null> {
    for (let whole = this.#messages[this.#at]; whole; whole = this.#messages[this.#at]) {
      const message = this.#head ?? (await this.#free(whole));
      if (!message) {
        this.#at++;
        continue;
      }
      const fault =
        this.lane.prepared.foregone ??
        (message === whole && message instanceof Loading && !isOrphan(this.lane, message)
          ? likewise.faultOf(message)
          : null);
      if (fault) await this.#book(tx, message, { fault, notes: [] });
      else if (isQuick(message, false)) return (this.#head = message);
      else await this.book(tx, message, await tryAlone(tx, this.lane, message, false), likewise, caution);
    }
    return null;
  }

  /** It was tried. */
  async book(
    tx: LoadTransaction,
    message: Trial,
    fared: FaredAlone,
    likewise: Likewise,
    caution: Caution,
  ): Promise<void> {
    if (message instanceof Loading) {
      likewise.tried(message, fared.fault, !fared.fault && !fared.behind);
      if (fared.fault) caution.again(fared.fault.code, message.acts);
    }
    await this.#book(tx, message, fared);
  }

  async #book(tx: LoadTransaction, message: Trial, fared: FaredAlone): Promise<void> {
    this.#at++;
    this.#head = null;
    await bookFared(tx, this.lane, message, fared, NOT_TRIED, false);
  }

  /** Null: it has to wait, and that is written down. */
  async #free(whole: Trial): Promise<Trial | null> {
    const behind = await blockerOf(this.lane, whole);
    const ahead = behind && pageAhead(this.lane, whole);
    if (!behind || ahead) return ahead ?? whole;
    await this.lane.hold(whole, behind, NOT_TRIED);
    return null;
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
  const [quickly] = isQuick(message, late) ? await applyQuickly(tx, [message]) : [];
  return quickly ?? tryInOrder(tx, lane, message, late);
}

const isQuick = (message: Trial, late: boolean): message is Loading =>
  message instanceof Loading && !message.fault && areBlind(message.acts, late);

/** @param late see `decide` */
const tryInOrder = (tx: LoadTransaction, lane: LaneWork, message: Trial, late: boolean): Promise<FaredAlone> =>
  tx.attempt(async () => {
    const fared = await message.apply(tx, late);
    const behind = fared.fault ? null : await adderBefore(lane, message, fared.notes);
    return { keep: fared.fault === null && behind === null, result: { ...fared, behind } };
  });

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

/** A row that was not there begins with the sender's own count. */
export const begins = ({ kind }: Note): boolean => kind === "row recreated";
