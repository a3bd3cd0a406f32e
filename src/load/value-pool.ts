import type { KeySets } from "../ledger/key-sets.ts";
import { field, type Change, type Row } from "../message/change.ts";
import { everyKeyValue, everyTextValue, tableOfText, takeValues, type KeyForm } from "../message/key.ts";
import type { Act } from "./plan.ts";
import { isKeyedInsert, setsOfAct } from "./sets.ts";
import type { Target } from "./target.ts";
import type { Witness } from "./witness.ts";

/**
 * The values of all rows and unique values that some messages write. A healthy message of a lane in trouble is known not to meet
 * them when of each of its keys one value at least is not here: no text is made for that, which would cost more than writing its rows.
 */
export class ValuePool {
  readonly #values = new Set<string>();
  /** Tables whose rows they are, as they stand in texts. */
  readonly #tables = new Set<string>();
  readonly #met = new Map<Target, Met>();
  #isEverything = false;
  /** Asked last, and the answer: the rows of a message mostly share a value. */
  #last: string | null = null;
  #wasIn = false;
  /** Not taken apart yet: of many nobody ever asks. */
  #added: KeySets[] = [];

  /** Nothing can be met here. */
  get isEmpty(): boolean {
    return !this.#isEverything && this.#values.size === 0 && this.#added.length === 0;
  }

  /** @param sets null: not known, so that any value may be among them */
  add(sets: KeySets | null): void {
    if (sets) this.#added.push(sets);
    else this.#isEverything = true;
  }

  addAll(other: ValuePool): void {
    this.#last = null;
    this.#isEverything ||= other.#isEverything;
    for (const table of other.#tables) this.#addTable(table);
    for (const value of other.#values) this.#values.add(value);
    for (const sets of other.#added) this.#added.push(sets);
  }

  /** The same of a message's changes, and of what became of them. */
  addChanges(changes: readonly Change[], acts: readonly Act[]): void {
    this.#last = null;
    for (const change of changes) if (isNamed(change)) everyKeyValue(change.key, this.#take);
    for (const act of acts) {
      if (!act.row || !isKeyedInsert(act)) {
        this.add(setsOfAct(act));
        continue;
      }
      this.#addTable(act.target.forms.key.table);
      everyTextValue(act.target.forms.key, act.row, this.#take);
      for (const form of act.target.forms.uniques) everyTextValue(form, act.row, this.#take);
    }
  }

  /**
   * Could one of these write or name such a row? Never a no too much.
   * @param witness of these changes
   */
  mayMeet(changes: readonly Change[], acts: readonly Act[], witness: Witness | null): boolean {
    if (this.#added.length > 0) this.#takeApart();
    if (this.#isEverything || this.#values.size === 0) return this.#isEverything;
    if (!witness) return true; // it may free what others name, too
    if (this.#hasNone(witness)) return false;
    const isAlike = changes.length === acts.length;
    if (!isAlike) for (const change of changes) if (this.#hasSource(change)) return true;
    let target: Target | null = null;
    let met = NOTHING_MET;
    for (let at = 0; at < acts.length; at++) {
      const act = acts[at] as Act;
      if (act.target !== target) {
        ({ target } = act);
        met = this.#metBy(target); // neighbours are mostly alike
      }
      // A text of the key stands in the sender's words as it does in ours: one that is not here answers for both.
      const isFree = this.#lacks(met.texts, act.key);
      const change = changes[at];
      if (isAlike && !(isFree && act.key === change?.key) && this.#hasSource(change)) return true;
      const row = act.row ?? act.key;
      if (!isFree && met.key && everyTextValue(met.key, row, this.#has)) return true;
      for (const form of met.others) if (everyTextValue(form, row, this.#has)) return true;
    }
    return false;
  }

  #metBy(target: Target): Met {
    const known = this.#met.get(target);
    if (known) return known;
    const { key, uniques, parents } = target.forms;
    const isHere = ({ table }: KeyForm): boolean => this.#tables.has(table);
    const met = {
      texts: key.parts.filter(({ kind }) => kind === "text").map(({ from }) => from),
      key: isHere(key) ? key : null,
      others: [...(isHere(key) ? uniques : []), ...parents.filter(isHere)],
    };
    this.#met.set(target, met);
    return met;
  }
  #addTable(table: string): void {
    if (this.#tables.has(table)) return;
    this.#tables.add(table);
    this.#met.clear();
  }

  /** Tells of most at a glance. False: each row must be looked at. */
  #hasNone({ text, uniques, parents }: Witness): boolean {
    if (text === null || this.#has(text)) return false;
    for (const { table } of parents) if (this.#tables.has(table)) return false;
    for (const { form, row } of uniques)
      if (this.#tables.has(form.table) && everyTextValue(form, row, this.#has)) return false;
    return true;
  }
  #hasSource(change: Change | undefined): boolean {
    return change !== undefined && isNamed(change) && everyKeyValue(change.key, this.#has);
  }
  #lacks(texts: readonly string[], key: Row): boolean {
    for (const column of texts) {
      const value = field(key, column);
      if (typeof value === "string" && !this.#has(value)) return true;
    }
    return false;
  }

  readonly #has = (value: string): boolean => {
    if (value !== this.#last) {
      this.#last = value;
      this.#wasIn = this.#values.has(value);
    }
    return this.#wasIn;
  };
  readonly #take = (value: string): boolean => {
    this.#values.add(value);
    return true;
  };

  #takeApart(): void {
    // What is created or deleted is written, too; what is only named holds nobody up that makes rows.
    for (const { writes, adds } of this.#added)
      for (const texts of [writes, adds])
        for (const text of texts) {
          this.#addTable(tableOfText(text));
          if (!takeValues(text, this.#values)) this.#isEverything = true;
        }
    this.#added = [];
    this.#last = null;
  }
}

/** What rows of one table can meet here: by the texts of their key, by all of it, by unique values, and by parents that they name. */
type Met = { readonly texts: readonly string[]; readonly key: KeyForm | null; readonly others: readonly KeyForm[] };
const NOTHING_MET: Met = { texts: [], key: null, others: [] };

const isNamed = (change: Change): boolean => typeof change?.key === "object" && change.key !== null;
