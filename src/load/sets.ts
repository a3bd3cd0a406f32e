import type { LaneName, Seq } from "../base/ids.ts";
import type { KeySets } from "../ledger/key-sets.ts";
import { field, type Change, type Row } from "../message/change.ts";
import { sourceText, textOf } from "../message/key.ts";
import type { Act } from "./plan.ts";
import type { Targets } from "./target.ts";

const NONE: readonly string[] = [];
export const NO_SETS: KeySets = { writes: NONE, adds: NONE, creates: NONE, deletes: NONE, parents: NONE };

/** What a message touches, as texts of `message/key.ts`; gathered change by change, so that a message in parts fits too. */
export class Touched {
  readonly writes = new Set<string>();
  readonly adds = new Set<string>();
  readonly creates = new Set<string>();
  readonly deletes = new Set<string>();
  readonly parents = new Set<string>();

  add(sets: KeySets): void {
    for (const text of sets.writes) this.writes.add(text);
    for (const text of sets.adds) this.adds.add(text);
    for (const text of sets.creates) this.creates.add(text);
    for (const text of sets.deletes) this.deletes.add(text);
    for (const text of sets.parents) this.parents.add(text);
  }

  /** Plain lists, for the ledger. */
  sets(): KeySets {
    return {
      writes: [...this.writes],
      adds: [...this.adds],
      creates: [...this.creates],
      deletes: [...this.deletes],
      parents: [...this.parents],
    };
  }
}

/** The changes as the sender named them: all that is known of what cannot be planned, and what a changed transform cannot change. */
export function setsOfSource(changes: readonly Change[], targets: Targets): KeySets {
  const writes: string[] = [];
  const adds: string[] = [];
  for (const change of changes) {
    if (typeof change?.table !== "string" || typeof change.key !== "object" || change.key === null) continue;
    const policy = targets.bySource.get(change.table)?.rule.conflict.policy;
    (policy === "add" && change.op === "update" ? adds : writes).push(sourceText(change.table, change.key));
  }
  return { ...NO_SETS, writes, adds };
}

/** What one change touches; a text may stand there twice. */
export function setsOfAct(act: Act): KeySets {
  const { forms, rule } = act.target;
  if (act.op === "insert" && act.row && !act.before && isKeyed(act, act.row)) return setsOfInsert(act, act.row);
  // Sums commute with each other, but not with the row's making, end or change of name.
  const commutes = rule.conflict.policy === "add" && act.op === "update" && !act.moves;
  const after: Row | null = act.op === "delete" ? null : { ...act.key, ...act.before, ...act.row };
  const before: Row | null = act.op === "insert" ? null : { ...act.before, ...act.key };
  const keyAfter = after && textOf(forms.key, after);
  const keys = keyAfter && keyAfter !== act.text ? [act.text, keyAfter] : [act.text];
  const writes = commutes ? [] : [...keys];
  const creates = (act.op === "insert" || act.op === "upsert" || act.moves) && keyAfter ? [keyAfter] : [];
  const deletes = act.op === "delete" || act.moves ? [act.text] : [];
  for (const unique of forms.uniques) {
    const [was, is] = [before && textOf(unique, before), after && textOf(unique, after)];
    if (commutes && was === is) continue;
    for (const text of [was, is]) if (text) writes.push(text);
    // A foreign key may name a unique value: it comes and goes as the row's key does.
    if (is && is !== was) creates.push(is);
    if (was && was !== is) deletes.push(was);
  }
  const parents: string[] = [];
  // While the change is not loaded the row at the centre still names its old parents: those must stay, too.
  for (const row of [before, after]) {
    for (const parent of row ? forms.parents : []) {
      const text = row && textOf(parent, row);
      if (text && text !== act.text && text !== keyAfter) parents.push(text);
    }
  }
  return { writes, adds: commutes ? keys : [], creates, deletes, parents };
}

/**
 * Of an insert's sets: the text of a constraint of the table, as it was made there; undefined when it stands at no place of its own.
 * A text is made once and then found again by its hash, which a second one of the same letters has yet to work out.
 */
export function madeText(act: Act, sets: KeySets, of: "parents" | "uniques", at: number): string | undefined {
  if (act.op !== "insert" || sets.creates !== sets.writes) return undefined; // not of `setsOfInsert`
  const { forms } = act.target;
  if (of === "parents") return sets.parents.length === forms.parents.length ? sets.parents[at] : undefined;
  return sets.writes.length === 1 + forms.uniques.length ? sets.writes[1 + at] : undefined;
}

/** The same for what most changes are: it writes what it makes, and frees nothing. */
function setsOfInsert({ target: { forms }, text }: Act, row: Row): KeySets {
  const writes = [text];
  for (const unique of forms.uniques) {
    const is = textOf(unique, row);
    if (is) writes.push(is);
  }
  const parents: string[] = [];
  for (const form of forms.parents) {
    const parent = textOf(form, row);
    if (parent && parent !== text) parents.push(parent);
  }
  return { writes, adds: NONE, creates: writes, deletes: NONE, parents };
}

const isKeyed = ({ key, target }: Act, row: Row): boolean =>
  target.shape.key.every((column) => field(row, column) === field(key, column));

export function joinedSets(a: KeySets | null, b: KeySets): KeySets {
  if (!a) return b;
  const joined = (name: keyof KeySets): string[] => [...new Set([...a[name], ...b[name]])];
  return {
    writes: joined("writes"),
    adds: joined("adds"),
    creates: joined("creates"),
    deletes: joined("deletes"),
    parents: joined("parents"),
  };
}

/** The exception a message waits behind, and the row (or value) they share. */
export type Blocker = { readonly lane: LaneName; readonly seq: Seq; readonly on: string };

/**
 * Who waits (DESIGN §4.6): message m waits behind the earlier exception x iff W(m) meets W(x), where sums do not conflict
 * with each other; or one of the two deletes a row that the other names: D(m) meets R(x), or R(m) meets D(x). (The latter: a
 * parent that x deletes and m names was made again in between. While x is open the old parent is still there, and a child of
 * it would keep x from ever being loaded.) A message refused for a missing parent also waits behind the x that creates it.
 * Two messages that only name the same parent never wait. An exception whose sets are not known conflicts with everything.
 *
 * Kept as an index by text, so that a lane with a thousand exceptions asks as fast as one with a single one.
 */
export class OpenIndex {
  readonly #writes = new TextIndex();
  readonly #adds = new TextIndex();
  readonly #creates = new TextIndex();
  readonly #deletes = new TextIndex();
  readonly #parents = new TextIndex();
  readonly #unknown = new Map<string, Opened>();
  readonly #all = new Map<string, Opened>();
  readonly #lanes = new Map<LaneName, number>();

  get size(): number {
    return this.#all.size;
  }

  /** Adds an exception. Lanes must be met in the order of their epochs; within a lane any order will do. */
  open(lane: LaneName, seq: Seq, sets: KeySets | null): void {
    this.close(lane, seq);
    const opened: Opened = { lane, seq, sets, rank: this.#rankOf(lane) };
    this.#all.set(nameOf(lane, seq), opened);
    if (sets) for (const [index, texts] of this.#entries(sets)) index.add(texts, opened);
    else this.#unknown.set(nameOf(lane, seq), opened);
  }

  /** It was loaded or discarded: nobody waits for it any more. */
  close(lane: LaneName, seq: Seq): void {
    const opened = this.#all.get(nameOf(lane, seq));
    if (!opened) return;
    this.#all.delete(nameOf(lane, seq));
    this.#unknown.delete(nameOf(lane, seq));
    if (opened.sets) for (const [index, texts] of this.#entries(opened.sets)) index.remove(texts, opened);
  }

  /**
   * The earliest exception before this message that it waits behind, or null. The earliest, because all that wait for it are
   * then freed together.
   */
  blocker(lane: LaneName, seq: Seq, touched: Touched): Blocker | null {
    const search = new Search(this.#rankOf(lane), seq);
    for (const opened of this.#unknown.values()) search.consider(opened, "rows that are not known");
    search.among(this.#writes, touched.writes);
    search.among(this.#writes, touched.adds);
    search.among(this.#adds, touched.writes);
    search.among(this.#parents, touched.deletes);
    search.among(this.#deletes, touched.parents);
    return search.found();
  }

  /** The earliest exception before this message that creates one of the parents it names, or null. */
  creator(lane: LaneName, seq: Seq, touched: Touched): Blocker | null {
    const search = new Search(this.#rankOf(lane), seq);
    search.among(this.#creates, touched.parents);
    return search.found();
  }

  /** The earliest exception before this message that makes one of the rows it makes, or null. */
  maker(lane: LaneName, seq: Seq, touched: Touched): Blocker | null {
    const search = new Search(this.#rankOf(lane), seq);
    search.among(this.#creates, touched.creates);
    return search.found();
  }

  /** The earliest exception before this message that adds to one of the sums it adds to, or null. */
  adder(lane: LaneName, seq: Seq, touched: Touched): Blocker | null {
    const search = new Search(this.#rankOf(lane), seq);
    search.among(this.#adds, touched.adds);
    return search.found();
  }

  /** Does the message make a parent that an exception before it names? */
  needs(lane: LaneName, seq: Seq, touched: Touched): boolean {
    const search = new Search(this.#rankOf(lane), seq);
    search.among(this.#parents, touched.creates);
    return search.found() !== null;
  }

  /** Must the message be tried after those here, whatever becomes of them? Wider than waiting: it may need a row that they create. */
  follows(lane: LaneName, seq: Seq, touched: Touched): boolean {
    const search = new Search(this.#rankOf(lane), seq);
    search.among(this.#creates, touched.parents);
    return search.found() !== null || this.blocker(lane, seq, touched) !== null;
  }

  /** Whether a change of these sets could follow anything here at all, wherever it stands: quick, and never a no too much. */
  mayMeet({ writes, adds, parents, deletes }: KeySets): boolean {
    return (
      this.#unknown.size > 0 ||
      this.#writes.hasAny(writes) ||
      this.#adds.hasAny(writes) ||
      this.#writes.hasAny(adds) ||
      this.#creates.hasAny(parents) ||
      this.#deletes.hasAny(parents) ||
      this.#parents.hasAny(deletes)
    );
  }

  #rankOf(lane: LaneName): number {
    let rank = this.#lanes.get(lane);
    if (rank === undefined) this.#lanes.set(lane, (rank = this.#lanes.size));
    return rank;
  }
  #entries(sets: KeySets): [TextIndex, readonly string[]][] {
    return [
      [this.#writes, sets.writes],
      [this.#adds, sets.adds],
      [this.#creates, sets.creates],
      [this.#deletes, sets.deletes],
      [this.#parents, sets.parents],
    ];
  }
}

type Opened = { readonly lane: LaneName; readonly seq: Seq; readonly sets: KeySets | null; readonly rank: number };
const nameOf = (lane: LaneName, seq: Seq): string => `${lane}/${seq}`;
const byPlace = (a: Opened, b: Opened): number => a.rank - b.rank || a.seq - b.seq;

class TextIndex {
  readonly #by = new Map<string, Opened[]>();

  add(texts: readonly string[], opened: Opened): void {
    for (const text of texts) {
      const list = this.#by.get(text) ?? [];
      const last = list.at(-1);
      list.push(opened);
      if (last && byPlace(last, opened) > 0) list.sort(byPlace);
      this.#by.set(text, list);
    }
  }
  remove(texts: readonly string[], opened: Opened): void {
    for (const text of texts) {
      const rest = this.#by.get(text)?.filter((other) => other !== opened) ?? [];
      if (rest.length > 0) this.#by.set(text, rest);
      else this.#by.delete(text);
    }
  }
  first(text: string): Opened | undefined {
    return this.#by.get(text)?.[0];
  }
  hasAny(texts: readonly string[]): boolean {
    if (this.#by.size === 0) return false;
    for (const text of texts) if (this.#by.has(text)) return true;
    return false;
  }
}

/** Finds the earliest of several candidates that come before one place. */
class Search {
  #best: Opened | null = null;
  #on = "";
  readonly #rank: number;
  readonly #seq: Seq;

  constructor(rank: number, seq: Seq) {
    this.#rank = rank;
    this.#seq = seq;
  }
  among(index: TextIndex, texts: ReadonlySet<string>): void {
    for (const text of texts) {
      const opened = index.first(text);
      if (opened) this.consider(opened, text);
    }
  }
  consider(opened: Opened, on: string): void {
    if ((opened.rank - this.#rank || opened.seq - this.#seq) >= 0) return;
    if (this.#best && byPlace(this.#best, opened) <= 0) return;
    this.#best = opened;
    this.#on = on;
  }
  found(): Blocker | null {
    return this.#best && { lane: this.#best.lane, seq: this.#best.seq, on: this.#on };
  }
}
