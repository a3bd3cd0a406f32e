import type { LaneName, Seq } from "../base/ids.ts";
import type { KeySets } from "../ledger/key-sets.ts";
import type { Touched } from "./sets.ts";
import { ValuePool } from "./value-pool.ts";

/** The exception a message waits behind, and the row (or value) they share. */
export type Blocker = { readonly lane: LaneName; readonly seq: Seq; readonly on: string };

/**
 * Who waits (DESIGN §4.6): message m waits behind the earlier exception x iff W(m) meets W(x), where sums do not conflict
 * with each other; or one of the two deletes a row that the other names: D(m) meets R(x), or R(m) meets D(x). (The latter: a
 * parent that x deletes and m names was made again in between. While x is open the old parent is still there, and a child of
 * it would keep x from ever being loaded.) A message refused for a missing parent also waits behind the x that creates it.
 * Two messages that only name the same parent never wait. An exception whose sets are not known conflicts with everything.
 *
 * Kept as an index by text, so that a lane with a thousand exceptions asks as fast as one with a single one. What a transaction
 * adds and closes stands in a layer over what was known before, which stays as it was until the layer is put into it.
 */
export class OpenIndex {
  readonly #writes = new TextIndex();
  readonly #adds = new TextIndex();
  readonly #deletes = new TextIndex();
  readonly #parents = new TextIndex();
  readonly #pool = new ValuePool();
  readonly #unknown = new Map<string, Opened>();
  readonly #all = new Map<string, Opened>();
  readonly #ranks: Map<LaneName, number>;
  readonly #under: OpenIndex | null;
  readonly #layers: readonly OpenIndex[];
  /** What all that ever was here writes. */
  readonly pools: readonly ValuePool[];
  /** Those under this one that do not count any more. */
  readonly #gone = new Set<Opened>();
  /** How many texts are in it, and were: what it takes of the memory. */
  weight = 0;
  #closed = 0;

  /** @param under what is known already; it may have none under it */
  constructor(under: OpenIndex | null = null) {
    this.#under = under;
    this.#layers = under ? [under, this] : [this];
    this.pools = this.#layers.map((layer) => layer.#pool);
    this.#ranks = under ? under.#ranks : new Map<LaneName, number>();
  }

  get size(): number {
    return (this.#under?.size ?? 0) - this.#gone.size + this.#all.size;
  }

  /** Adds an exception. Lanes must be met in the order of their epochs; within a lane any order will do. */
  open(lane: LaneName, seq: Seq, sets: KeySets | null): void {
    this.#pool.add(sets);
    this.#put({ lane, seq, sets, rank: this.#rankOf(lane), creates: null });
  }
  #put(opened: Opened): void {
    const { lane, seq, sets } = opened;
    this.close(lane, seq);
    this.#all.set(nameOf(lane, seq), opened);
    this.weight += 1;
    if (!sets) return void this.#unknown.set(nameOf(lane, seq), opened);
    for (const [index, texts] of this.#entries(sets)) {
      index.add(texts, opened);
      this.weight += texts.length;
    }
  }

  /** It was loaded or discarded: nobody waits for it any more. */
  close(lane: LaneName, seq: Seq): void {
    const under = this.#under ? this.#under.#all.get(nameOf(lane, seq)) : undefined;
    if (under) this.#gone.add(under);
    const opened = this.#all.get(nameOf(lane, seq));
    if (!opened) return;
    this.#all.delete(nameOf(lane, seq));
    this.#unknown.delete(nameOf(lane, seq));
    this.#closed += 1;
    for (const [index, texts] of opened.sets ? this.#entries(opened.sets) : []) {
      index.remove(texts, opened);
      this.#closed += texts.length;
    }
  }
  /** More was closed than is left: one made anew would be smaller, and tell better at a glance who meets nothing here. */
  get isWorn(): boolean {
    return this.#closed > WORN && this.#closed > this.weight / 2;
  }

  /** The layer's transaction is committed: what is under it becomes what it says. */
  settle(): OpenIndex {
    const under = this.#under;
    if (!under) return this;
    for (const { lane, seq } of this.#gone) under.close(lane, seq);
    for (const opened of this.#all.values()) under.#put(opened);
    under.#pool.addAll(this.#pool);
    this.#gone.clear();
    this.#all.clear();
    return under;
  }

  /**
   * The earliest exception before this message that it waits behind, or null. The earliest, because all that wait for it are
   * then freed together. @param but messages of its own lane that do not count
   */
  blocker(lane: LaneName, seq: Seq, touched: Touched, but: ReadonlySet<Seq> = NOBODY): Blocker | null {
    const search = this.#search(lane, seq, but);
    for (const layer of this.#layers) {
      for (const opened of layer.#unknown.values()) search.consider(opened, "rows that are not known");
      search.among(layer.#writes, touched.writes);
      search.among(layer.#writes, touched.adds);
      search.among(layer.#adds, touched.writes);
      search.among(layer.#parents, touched.deletes);
      search.among(layer.#deletes, touched.parents);
    }
    return search.found();
  }

  /** The earliest exception before this message that creates one of the parents it names, or null. */
  creator(lane: LaneName, seq: Seq, touched: { readonly parents: Iterable<string> }): Blocker | null {
    const search = this.#search(lane, seq);
    for (const layer of this.#layers) search.creatorsOf(layer.#writes, touched.parents);
    return search.found();
  }

  /** The earliest exception before this message that makes one of the rows it makes, or null. */
  maker(lane: LaneName, seq: Seq, touched: Touched): Blocker | null {
    const search = this.#search(lane, seq);
    for (const layer of this.#layers) search.creatorsOf(layer.#writes, touched.creates);
    return search.found();
  }

  /** The earliest exception before this message that adds to one of the sums it adds to, or null. @param but as for `blocker` */
  adder(lane: LaneName, seq: Seq, touched: Touched, but: ReadonlySet<Seq> = NOBODY): Blocker | null {
    const search = this.#search(lane, seq, but);
    for (const layer of this.#layers) search.among(layer.#adds, touched.adds);
    return search.found();
  }

  /** Does the message make a parent that an exception before it names? */
  needs(lane: LaneName, seq: Seq, touched: Touched): boolean {
    const search = this.#search(lane, seq);
    for (const layer of this.#layers) search.among(layer.#parents, touched.creates);
    return search.found() !== null;
  }

  /** Must the message be tried after those here, whatever becomes of them? Wider than waiting: it may need a row that they create. */
  follows(lane: LaneName, seq: Seq, touched: Touched): boolean {
    return this.creator(lane, seq, touched) !== null || this.blocker(lane, seq, touched) !== null;
  }

  /** Whether a change of these sets could follow anything here at all, wherever it stands: quick, and never a no too much. */
  mayMeet({ writes, adds, parents, deletes }: KeySets): boolean {
    return this.#layers.some(
      (layer) =>
        layer.#unknown.size > 0 ||
        layer.#writes.hasAny(writes) ||
        layer.#adds.hasAny(writes) ||
        layer.#writes.hasAny(adds) ||
        layer.#writes.hasAny(parents) ||
        layer.#deletes.hasAny(parents) ||
        layer.#parents.hasAny(deletes),
    );
  }

  #search(lane: LaneName, seq: Seq, but: ReadonlySet<Seq> = NOBODY): Search {
    return new Search(this.#rankOf(lane), seq, but, this.#gone);
  }
  #rankOf(lane: LaneName): number {
    let rank = this.#ranks.get(lane);
    if (rank === undefined) this.#ranks.set(lane, (rank = this.#ranks.size));
    return rank;
  }
  #entries(sets: KeySets): [TextIndex, readonly string[]][] {
    return [
      [this.#writes, sets.writes],
      [this.#adds, sets.adds],
      [this.#deletes, sets.deletes],
      [this.#parents, sets.parents],
    ];
  }
}

const WORN = 1_000;
const NOBODY: ReadonlySet<Seq> = new Set();

type Opened = {
  readonly lane: LaneName;
  readonly seq: Seq;
  readonly sets: KeySets | null;
  readonly rank: number;
  /** All that it creates it writes, too, so that no index of its own is needed to find it; made when it is asked for. */
  creates: ReadonlySet<string> | null;
};
const creates = (opened: Opened, text: string): boolean => (opened.creates ??= new Set(opened.sets?.creates)).has(text);
const nameOf = (lane: LaneName, seq: Seq): string => `${lane}/${seq}`;
const byPlace = (a: Opened, b: Opened): number => a.rank - b.rank || a.seq - b.seq;

class TextIndex {
  /** Mostly one alone, else in order. */
  readonly #by = new Map<string, Opened | Opened[]>();
  /** Not taken in yet: most lanes are known by their pool not to be met, and most messages delete nothing. */
  #added: { readonly texts: readonly string[]; readonly opened: Opened }[] = [];

  add(texts: readonly string[], opened: Opened): void {
    if (texts.length > 0) this.#added.push({ texts, opened });
  }
  remove(texts: readonly string[], opened: Opened): void {
    const by = this.#taken();
    for (const text of texts) {
      const known = by.get(text);
      if (known === opened) by.delete(text);
      else if (isList(known)) {
        const rest = known.filter((other) => other !== opened);
        if (rest.length > 0) by.set(text, rest);
        else by.delete(text);
      }
    }
  }
  /** Of those that hold the text the earliest that is not left out. */
  first(text: string, isLeftOut: (opened: Opened) => boolean): Opened | undefined {
    const known = this.#taken().get(text);
    if (isList(known)) return known.find((each) => !isLeftOut(each));
    return known && !isLeftOut(known) ? known : undefined;
  }
  hasAny(texts: readonly string[]): boolean {
    if (texts.length === 0) return false;
    const by = this.#taken();
    if (by.size === 0) return false;
    for (const text of texts) if (by.has(text)) return true;
    return false;
  }

  #taken(): Map<string, Opened | Opened[]> {
    const by = this.#by;
    if (this.#added.length === 0) return by;
    for (const { texts, opened } of this.#added) {
      for (const text of texts) {
        const known = by.get(text);
        if (known === undefined) by.set(text, opened);
        else if (isList(known)) takeIn(known, opened);
        else by.set(text, byPlace(known, opened) <= 0 ? [known, opened] : [opened, known]);
      }
    }
    this.#added = [];
    return by;
  }
}
const isList = (known: Opened | Opened[] | undefined): known is Opened[] => Array.isArray(known);

/** They come in order nearly always; a thousand that wait on one row are not copied for each of them. */
function takeIn(list: Opened[], opened: Opened): void {
  const last = list.at(-1);
  list.push(opened);
  if (last && byPlace(last, opened) > 0) list.sort(byPlace);
}

/** Finds the earliest of several candidates that come before one place. */
class Search {
  #best: Opened | null = null;
  #on = "";
  readonly #rank: number;
  readonly #seq: Seq;
  readonly #but: ReadonlySet<Seq>;
  readonly #gone: ReadonlySet<Opened>;

  constructor(rank: number, seq: Seq, but: ReadonlySet<Seq>, gone: ReadonlySet<Opened>) {
    this.#rank = rank;
    this.#seq = seq;
    this.#but = but;
    this.#gone = gone;
  }
  among(index: TextIndex, texts: Iterable<string>): void {
    for (const text of texts) {
      const opened = index.first(text, this.#isLeftOut);
      if (opened) this.consider(opened, text);
    }
  }
  /** The same, of those that create it. */
  creatorsOf(writes: TextIndex, texts: Iterable<string>): void {
    let text = "";
    const isLeftOut = (opened: Opened): boolean => this.#isLeftOut(opened) || !creates(opened, text);
    for (text of texts) {
      const opened = writes.first(text, isLeftOut);
      if (opened) this.consider(opened, text);
    }
  }
  readonly #isLeftOut = (opened: Opened): boolean =>
    this.#gone.has(opened) || (opened.rank === this.#rank && this.#but.has(opened.seq));
  consider(opened: Opened, on: string): void {
    if (this.#isLeftOut(opened)) return;
    if ((opened.rank - this.#rank || opened.seq - this.#seq) >= 0) return;
    if (this.#best && byPlace(this.#best, opened) <= 0) return;
    this.#best = opened;
    this.#on = on;
  }
  found(): Blocker | null {
    return this.#best && { lane: this.#best.lane, seq: this.#best.seq, on: this.#on };
  }
}
