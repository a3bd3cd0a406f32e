import { field, type Change, type Row } from "../message/change.ts";
import type { KeyForm } from "../message/key.ts";
import type { Act } from "./plan.ts";
import { isKeyedInsert } from "./sets.ts";

/**
 * What can be asked at once about all that a message touches which does nothing but make rows: a text that is part of each of
 * its keys, such as the sale's own id. Where nobody else has that text, nobody else has one of the keys.
 */
export type Witness = {
  /** Null: no text is part of all keys. */
  readonly text: string | null;
  /** The unique values that it is no part of. */
  readonly uniques: readonly { readonly form: KeyForm; readonly row: Row }[];
  /** The forms of parents that it is no part of. */
  readonly parents: readonly KeyForm[];
};
const NO_TEXT: Witness = { text: null, uniques: [], parents: [] };

/** Null: one of the changes does more than to make a row. */
export function witnessOf(changes: readonly Change[], acts: readonly Act[]): Witness | null {
  const text = longestText(acts);
  const uniques: { form: KeyForm; row: Row }[] = [];
  const parents: KeyForm[] = [];
  // The sender's key must have it, too: what came, and what became of it, are both held against others.
  let isAll = text !== null && changes.length === acts.length;
  for (let at = 0; at < acts.length; at++) {
    const act = acts[at] as Act;
    if (!act.row || !isKeyedInsert(act)) return null;
    isAll &&= act.key === changes[at]?.key && isPart(text, act.target.forms.key, act.key);
    if (!isAll) continue;
    for (const form of act.target.forms.uniques) if (!isPart(text, form, act.row)) uniques.push({ form, row: act.row });
    for (const form of act.target.forms.parents)
      if (!parents.includes(form) && !isPart(text, form, act.row)) parents.push(form);
  }
  return isAll ? { text, uniques, parents } : NO_TEXT;
}

/** Of the first key: an id of its own is mostly longer than that of the shop beside it. */
function longestText(acts: readonly Act[]): string | null {
  let longest: string | null = null;
  const [first] = acts;
  for (const { kind, from } of first?.target.forms.key.parts ?? []) {
    const value = kind === "text" && first ? field(first.key, from) : null;
    if (typeof value === "string" && value.length > (longest?.length ?? -1)) longest = value;
  }
  return longest;
}

function isPart(text: string | null, { parts }: KeyForm, row: Row): boolean {
  for (const { kind, from } of parts) if (kind === "text" && field(row, from) === text) return true;
  return false;
}
