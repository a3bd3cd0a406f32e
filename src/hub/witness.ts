import { updateId, type UpdateId } from "../base/ids.ts";
import type { Capture } from "../database/port.ts";
import type { Strand, ToldStrand } from "../ledger/update-log.ts";
import type { CentralState } from "./central.ts";

/** The fact that holds the highest term of update ids. */
const TERM = "update-term";
/** The fact that holds the highest update id. */
const HEAD = "update-head";
/** The fact that holds the highest update id that may have been given. */
const TOLD = "update-told";
/** The fact that holds the names under which ids were given, the last of them, and where they end unless the next one follows at once. */
const STRANDS = "update-strands";
const STRANDS_KEPT = 200;

/**
 * What the centre was told of the update log, kept at the centre itself: a log that was set back is found out by it, and a centre
 * that was set back by what it has not heard. Each word is one commit, and none is ever lowered but by a restore.
 */
export class Witness {
  readonly #capture: Pick<Capture, "recall" | "remember">;

  constructor(capture: Pick<Capture, "recall" | "remember">) {
    this.#capture = capture;
  }

  async words(): Promise<Pick<CentralState, "term" | "head" | "told" | "strands">> {
    const term = await this.#number(TERM);
    const head = updateId(await this.#number(HEAD));
    const told = await this.#told();
    return { term, head, told, strands: withEnds(await this.#strands(), told) };
  }

  /** Ids through this one may be given from now on. */
  ids(through: UpdateId): Promise<void> {
    return this.#raise(TOLD, through);
  }
  /** The log goes as far as this. */
  head(head: UpdateId): Promise<void> {
    return this.#raise(HEAD, head);
  }
  /** A new term begins: the name of ids before it ends where they were told to end. */
  async term(term: number): Promise<void> {
    const strands = await this.#strands();
    const last = strands.at(-1);
    if (last?.through === null) await this.#keep([...strands.slice(0, -1), { ...last, through: await this.#told() }]);
    await this.#raise(TERM, term);
  }
  async strand(strand: Strand): Promise<void> {
    // Nothing was given under one that was to begin here or later: a ledger that takes no writes for days must not fill the list.
    const used = (await this.#strands()).filter(({ first }) => first < strand.first);
    await this.#keep([...used, { ...strand, through: null }].slice(-STRANDS_KEPT));
  }

  async #number(fact: string): Promise<number> {
    return Number((await this.#capture.recall(fact)) ?? 0);
  }
  async #raise(fact: string, n: number): Promise<void> {
    if (n > (await this.#number(fact))) await this.#capture.remember(fact, String(n));
  }

  /** As far as ids may have been given. */
  async #told(): Promise<UpdateId> {
    return updateId(Math.max(await this.#number(HEAD), await this.#number(TOLD)));
  }

  async #strands(): Promise<readonly KeptStrand[]> {
    const kept = JSON.parse((await this.#capture.recall(STRANDS)) ?? "[]") as readonly [number, string, number?][];
    return kept.map(([first, name, through]) => ({
      first: updateId(first),
      name,
      through: through === undefined ? null : updateId(through),
    }));
  }
  async #keep(strands: readonly KeptStrand[]): Promise<void> {
    const kept = strands.map(({ first, name, through }) => (through === null ? [first, name] : [first, name, through]));
    await this.#capture.remember(STRANDS, JSON.stringify(kept));
  }
}

/** `through` null: there is no other end than the next one's beginning. */
type KeptStrand = Strand & { readonly through: UpdateId | null };

const withEnds = (strands: readonly KeptStrand[], told: UpdateId): readonly ToldStrand[] =>
  strands.map(({ through, ...strand }, at) => {
    const next = strands[at + 1];
    return { ...strand, through: through ?? (next ? updateId(next.first - 1) : told) };
  });
