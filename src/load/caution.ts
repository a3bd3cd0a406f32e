import type { FaultCode } from "../base/errors.ts";
import type { WireValue } from "../message/change.ts";
import type { Act } from "./plan.ts";

/** What looking foresees, of tables without others' triggers: a parent that is not there, a unique value that is. */
export type Foreseeable = "PARENT_MISSING" | "UNIQUE_VIOLATED";
const isForeseeable = (code: FaultCode): boolean => code === "PARENT_MISSING" || code === "UNIQUE_VIOLATED";

/** Batches without such a refusal after which nobody reckons with it any more. */
const WARY_BATCHES = 32;
/** Batches since such a refusal in which the next one is reckoned with for sure. */
const SURE_BATCHES = 4;
/** So many parents of a constraint are remembered as present. */
const MOST_PRESENT = 10_000;

type Broken = {
  /** For how many more batches. */
  left: number;
  readonly present: Set<WireValue>;
};

/**
 * What the database has refused lately: there the loader looks before it writes, or writes later. Looking costs a set query for
 * each constraint, which a healthy stream should not pay, and writing in vain costs the whole batch again, which a storm of
 * refusals should not cost at each. Only a hint: whatever it says, the same messages are loaded, refused and held.
 */
export class Caution {
  /** By table and code: for how many more batches. Of these it is not known which constraint it was, so that all may be. */
  readonly #lately = new Map<string, Map<FaultCode, number>>();
  /** By constraint: those that looks have found broken. */
  readonly #broken = new Map<string, Broken>();
  #isStartled = false;

  /** The database refused something. */
  saw(code: FaultCode, table: string): void {
    this.#isStartled ||= this.isIdle;
    const codes = this.#lately.get(table) ?? new Map<FaultCode, number>();
    this.#lately.set(table, codes.set(code, WARY_BATCHES));
    // It may be a parent that was there before.
    if (code === "PARENT_MISSING") for (const { present } of this.#broken.values()) present.clear();
  }
  /** A look has found what breaks this constraint. */
  found(constraint: string): void {
    const known = this.#broken.get(constraint);
    if (known) known.left = WARY_BATCHES;
    else this.#broken.set(constraint, { left: WARY_BATCHES, present: new Set() });
  }
  /** Looks have found the constraints behind all that the database refused: no other one of the table is in doubt. */
  explained(code: Foreseeable, table: string): void {
    this.#lately.get(table)?.delete(code);
  }
  isAbout(code: Foreseeable, table: string, constraint: string): boolean {
    return this.#isStartled || this.#broken.has(constraint) || (this.#lately.get(table)?.has(code) ?? false);
  }
  /** Parents that a look has lately found present, to be added to: whoever names them is not looked after. */
  presentOf(constraint: string): Set<WireValue> {
    const present = this.#broken.get(constraint)?.present ?? new Set();
    if (present.size > MOST_PRESENT) present.clear();
    return present;
  }
  /**
   * Was the first refusal after a calm in this batch? Where one is refused others often are, for other reasons, too: then all that
   * can be looked at is, and what others' triggers judge is written last, so that the batch is not undone for each reason in turn.
   */
  get isStartled(): boolean {
    return this.#isStartled;
  }
  /** Was something refused at one of these tables that no look foresees, or may it well be? */
  doubts(acts: readonly Act[]): boolean {
    if (this.#lately.size === 0) return false;
    for (const { target } of acts) {
      if (this.#isStartled && target.shape.foreignTriggers) return true;
      const codes = this.#lately.get(target.shape.name);
      if (codes === undefined) continue;
      for (const code of codes.keys()) if (target.shape.foreignTriggers || !isForeseeable(code)) return true;
    }
    return false;
  }
  /**
   * Did others' triggers refuse something of these tables in one of the last batches? They see one row at a time in any case, so
   * it costs little to try such messages one by one, and much to write all of them in vain.
   */
  expects(acts: readonly Act[]): boolean {
    if (this.#lately.size === 0) return false;
    for (const { target } of acts) {
      const codes = target.shape.foreignTriggers ? this.#lately.get(target.shape.name) : undefined;
      if (codes === undefined) continue;
      for (const left of codes.values()) if (left >= WARY_BATCHES - SURE_BATCHES) return true;
    }
    return false;
  }
  /** A message of those was refused, tried alone. */
  again(code: FaultCode, acts: readonly Act[]): void {
    for (const { target } of acts) {
      const codes = target.shape.foreignTriggers ? this.#lately.get(target.shape.name) : undefined;
      if (codes?.has(code)) codes.set(code, WARY_BATCHES);
    }
  }
  /** Another batch begins. */
  fade(): void {
    this.#isStartled = false;
    for (const [table, codes] of this.#lately) {
      for (const [code, left] of codes) {
        if (left === 0) codes.delete(code);
        else codes.set(code, left - 1);
      }
      if (codes.size === 0) this.#lately.delete(table);
    }
    for (const [constraint, broken] of this.#broken) if (broken.left-- === 0) this.#broken.delete(constraint);
  }
  get isIdle(): boolean {
    return this.#lately.size === 0 && this.#broken.size === 0;
  }
}
