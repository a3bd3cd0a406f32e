import type { KeySets } from "../ledger/key-sets.ts";
import { field, type Change, type Row } from "../message/change.ts";
import { sourceText, textOf } from "../message/key.ts";
import type { Act } from "./plan.ts";
import type { Targets } from "./target.ts";

const NONE: readonly string[] = [];
export const NO_SETS: KeySets = { writes: NONE, adds: NONE, creates: NONE, deletes: NONE, parents: NONE };

/** Up to so many texts are looked through one by one, which costs less than a set of them. */
const FEW = 24;

/** Texts, each once, in the order in which they came. */
class Texts implements Iterable<string> {
  readonly list: string[] = [];
  #set: Set<string> | null = null;

  add(texts: readonly string[]): void {
    for (const text of texts) {
      if (this.has(text)) continue;
      this.list.push(text);
      this.#set?.add(text);
    }
  }
  has(text: string): boolean {
    if (this.list.length <= FEW) return this.list.includes(text);
    return (this.#set ??= new Set(this.list)).has(text);
  }
  isDisjointFrom(other: Texts): boolean {
    return !this.list.some((text) => other.has(text));
  }
  [Symbol.iterator](): Iterator<string> {
    return this.list[Symbol.iterator]();
  }
}

/** What a message touches, as texts of `message/key.ts`; gathered change by change, so that a message in parts fits too. */
export class Touched {
  readonly writes = new Texts();
  readonly adds = new Texts();
  readonly creates = new Texts();
  readonly deletes = new Texts();
  readonly parents = new Texts();

  add(sets: KeySets): void {
    this.writes.add(sets.writes);
    this.adds.add(sets.adds);
    this.creates.add(sets.creates);
    this.deletes.add(sets.deletes);
    this.parents.add(sets.parents);
  }

  /** Plain lists, for the ledger. */
  sets(): KeySets {
    const { writes, adds, creates, deletes, parents } = this;
    return {
      writes: writes.list,
      adds: adds.list,
      creates: creates.list,
      deletes: deletes.list,
      parents: parents.list,
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
  if (act.row && isKeyedInsert(act)) return setsOfInsert(act, act.row);
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

/** It makes a row under the key that the row itself has, and knows of none before. */
export function isKeyedInsert({ op, key, row, before, target }: Act): boolean {
  if (op !== "insert" || row === undefined || before) return false;
  for (const column of target.shape.key) if (field(row, column) !== field(key, column)) return false;
  return true;
}

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
