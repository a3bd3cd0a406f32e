import type { KeySets } from "../ledger/key-sets.ts";
import { field, type Change, type Row } from "../message/change.ts";
import { everyKeyValue, everyTextValue, tableOfText, takeValues, type KeyForm } from "../message/key.ts";
import type { Act } from "./plan.ts";
import { isKeyedInsert, setsOfAct } from "./sets.ts";

/**
 * The values of all rows and unique values that some messages write. A healthy message of a lane in trouble is known not to meet
 * them when of each of its keys one value at least is not here: no text is made for that, which would cost more than writing its rows.
 */
export class ValuePool {
  readonly #values = new Set<string>();
  /** Tables whose rows they are, as they stand in texts. */
  readonly #tables = new Set<string>();
  #isEverything = false;
  /** Asked last, and the answer: the rows of a message mostly share a value. */
  #last: string | null = null;
  #wasIn = false;
  /** Not taken apart yet: of many nobody ever asks. */
  #added: KeySets[] = [];

  /** @param sets null: not known, so that any value may be among them */
  add(sets: KeySets | null): void {
    if (sets) this.#added.push(sets);
    else this.#isEverything = true;
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
      this.#tables.add(act.target.forms.key.table);
      everyTextValue(act.target.forms.key, act.row, this.#take);
      for (const form of act.target.forms.uniques) everyTextValue(form, act.row, this.#take);
    }
  }

  /**
   * Could one of these write or name such a row? Never a no too much.
   * @param isPlain all of the acts are keyed inserts
   */
  mayMeet(changes: readonly Change[], acts: readonly Act[], isPlain: boolean): boolean {
    if (this.#added.length > 0) this.#takeApart();
    if (this.#isEverything || this.#values.size === 0) return this.#isEverything;
    if (!isPlain) return true; // it may free what others name, too
    const isAlike = changes.length === acts.length;
    if (!isAlike) for (const change of changes) if (this.#hasSource(change)) return true;
    for (let at = 0; at < acts.length; at++) {
      const act = acts[at] as Act;
      const change = changes[at];
      const { key, uniques, parents } = act.target.forms;
      const row = act.row ?? act.key;
      // A text of the key stands in the sender's words as it does in ours: one that is not here answers for both.
      const isFree = this.#lacks(key, act.key);
      if (isAlike && !(isFree && act.key === change?.key) && this.#hasSource(change)) return true;
      if (this.#tables.has(key.table)) {
        if (!isFree && everyTextValue(key, row, this.#has)) return true;
        for (const form of uniques) if (everyTextValue(form, row, this.#has)) return true;
      }
      for (const form of parents) if (this.#tables.has(form.table) && everyTextValue(form, row, this.#has)) return true;
    }
    return false;
  }

  #hasSource(change: Change | undefined): boolean {
    return change !== undefined && isNamed(change) && everyKeyValue(change.key, this.#has);
  }
  #lacks({ parts }: KeyForm, key: Row): boolean {
    for (const { from, kind } of parts) {
      if (kind !== "text") continue;
      const value = field(key, from);
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
          this.#tables.add(tableOfText(text));
          if (!takeValues(text, this.#values)) this.#isEverything = true;
        }
    this.#added = [];
    this.#last = null;
  }
}

const isNamed = (change: Change): boolean => typeof change?.key === "object" && change.key !== null;
