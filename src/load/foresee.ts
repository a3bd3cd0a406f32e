import type { LoadTransaction } from "../database/port.ts";
import type { FaultCode } from "../base/errors.ts";
import { field, type Row } from "../message/change.ts";
import { textOf, valueForPeople, valuesOf, type KeyForm } from "../message/key.ts";
import type { Loading } from "./message.ts";
import { nameOf, type Act, type Fault } from "./plan.ts";
import { madeText } from "./sets.ts";
import type { Target } from "./target.ts";

/** A refusal that can be foreseen by looking: a parent that is not there, a unique value that is. */
export type Foreseen = {
  readonly code: "PARENT_MISSING" | "UNIQUE_VIOLATED";
  readonly act: Act;
  readonly form: KeyForm;
  /** Canonical text of the parent, or of the unique value. */
  readonly text: string;
};

/** Batches without such a refusal after which nobody looks for it any more. */
const WARY_BATCHES = 32;

/**
 * What the database has refused lately: there the loader looks before it writes. Looking costs a set query for each constraint,
 * which a healthy stream should not pay, and writing in vain costs the whole batch again, which a storm of refusals should not
 * cost at each. Only a hint: whatever it says, the same messages are loaded, refused and held.
 */
export class Caution {
  readonly #lately = new Map<string, number>();

  saw(code: FaultCode, table: string): void {
    this.#lately.set(`${code} ${table}`, WARY_BATCHES);
  }
  isAbout(code: Foreseen["code"], table: string): boolean {
    return this.#lately.has(`${code} ${table}`);
  }
  /** Another batch begins. */
  fade(): void {
    for (const [what, left] of this.#lately) {
      if (left === 0) this.#lately.delete(what);
      else this.#lately.set(what, left - 1);
    }
  }
  get isIdle(): boolean {
    return this.#lately.size === 0;
  }
}

/**
 * Which of the messages, were they written now and together, name a parent that neither the database nor one of them has, or a
 * unique value that another row has already: the first such change of each. One query for each constraint of the tables that
 * caution is about. Where something else may have its hand in it (others' triggers, a value freed in the same batch) nothing is
 * foreseen: the database will tell.
 */
export async function foresee(
  tx: Pick<LoadTransaction, "present">,
  messages: readonly Loading[],
  caution: Caution,
): Promise<ReadonlyMap<Loading, Foreseen>> {
  const foreseen = new Map<Loading, Foreseen>();
  if (caution.isIdle) return foreseen;
  const named = gather(messages, caution);
  const { parents, uniques, made, freed } = named;
  const lookup = new Lookup();
  for (const [text, { form, row }] of [...parents, ...uniques]) lookup.want(form, text, row);
  await lookup.run(tx);
  const candidates = new Set<Loading>();
  for (const [text, { form, by }] of parents)
    if (!made.has(text) && !lookup.isThere(form, text)) for (const message of by) candidates.add(message);
  for (const [text, { form, by }] of uniques)
    if (by.length > 1 || lookup.isThere(form, text)) for (const message of by) candidates.add(message);
  const isBroken = ({ code, form, text }: Foreseen, message: Loading): boolean => {
    if (freed.has(text)) return false;
    if (code === "PARENT_MISSING") return !made.has(text) && !lookup.isThere(form, text);
    // Of those that take one value in this batch the first may have it, unless somebody has it already.
    return lookup.isThere(form, text) || uniques.get(text)?.by[0] !== message;
  };
  for (const message of candidates) {
    const first = named.of(message).find((one) => isBroken(one, message));
    if (first) foreseen.set(message, first);
  }
  return foreseen;
}

/** A parent or unique value, as the first that named it had it, and all that name it. */
type Naming = { readonly form: KeyForm; readonly row: Row; readonly by: Loading[] };

/** What the messages name, by text, as far as caution is about it. */
type Gathered = {
  readonly parents: ReadonlyMap<string, Naming>;
  readonly uniques: ReadonlyMap<string, Naming>;
  /** Texts of rows and unique values that the messages make, and those that they free. */
  readonly made: ReadonlySet<string>;
  readonly freed: ReadonlySet<string>;
  /** All that one message names, in the order of its changes. */
  readonly of: (message: Loading) => readonly Foreseen[];
};

function gather(messages: readonly Loading[], caution: Caution): Gathered {
  const [parents, uniques] = [new Map<string, Naming>(), new Map<string, Naming>()];
  const [made, freed] = [new Set<string>(), new Set<string>()];
  const rules = new Map<Target, Wariness>();
  const waryOf = (target: Target): Wariness => {
    let wary = rules.get(target);
    if (!wary) rules.set(target, (wary = wariness(target, caution)));
    return wary;
  };
  const each = (
    message: Loading,
    tell: (one: Foreseen["code"], act: Act, form: KeyForm, text: string) => void,
  ): void => {
    for (const [i, act] of message.acts.entries()) {
      const { parents, uniques } = waryOf(act.target);
      const { row } = act;
      const sets = message.partOf(i);
      if (!row) continue;
      for (const { form, at } of parents) {
        const text = madeText(act, sets, "parents", at) ?? textOf(form, row);
        if (text) tell("PARENT_MISSING", act, form, text);
      }
      for (const { form, at } of act.op === "insert" ? uniques : NONE) {
        const text = madeText(act, sets, "uniques", at) ?? textOf(form, row);
        if (text) tell("UNIQUE_VIOLATED", act, form, text);
      }
    }
  };
  for (const message of messages) {
    for (const { creates, deletes } of message.parts) {
      for (const text of creates) made.add(text);
      for (const text of deletes) freed.add(text);
    }
    each(message, (code, act, form, text) => {
      if (code === "PARENT_MISSING" && made.has(text)) return; // most often its own: the lines of a sale
      const namings = code === "PARENT_MISSING" ? parents : uniques;
      const known = namings.get(text);
      if (!known) namings.set(text, { form, row: act.row ?? {}, by: [message] });
      else if (known.by.at(-1) !== message) known.by.push(message);
    });
  }
  const of = (message: Loading): readonly Foreseen[] => {
    const all: Foreseen[] = [];
    each(message, (code, act, form, text) => void all.push({ code, act, form, text }));
    return all;
  };
  return { parents, uniques, made, freed, of };
}

/** `at`: its place among the table's. */
type Wary = { readonly form: KeyForm; readonly at: number };
type Wariness = { readonly parents: readonly Wary[]; readonly uniques: readonly Wary[] };
const NONE: readonly Wary[] = [];
const placed = (forms: readonly KeyForm[]): readonly Wary[] => forms.map((form, at) => ({ form, at }));

/** The constraints of the table at which to look: none where others' triggers may change the row before it is judged. */
function wariness({ shape, forms, columns }: Target, caution: Caution): Wariness {
  if (shape.foreignTriggers) return { parents: NONE, uniques: NONE };
  // A foreign key between columns of two kinds compares as the database likes; that is not imitated here.
  const isAlike = (form: KeyForm): boolean => form.parts.every(({ from, kind }) => columns.get(from)?.kind === kind);
  return {
    parents: caution.isAbout("PARENT_MISSING", shape.name)
      ? placed(forms.parents).filter(({ form }) => isAlike(form))
      : NONE,
    uniques: caution.isAbout("UNIQUE_VIOLATED", shape.name) ? placed(forms.uniques) : NONE,
  };
}

/** Values to be looked up at the database, each once, by one set query for each form. */
class Lookup {
  readonly #wanted = new Map<KeyForm, Map<string, Row>>();
  readonly #there = new Map<KeyForm, ReadonlySet<string>>();

  want(form: KeyForm, text: string, row: Row): void {
    const rows = this.#wanted.get(form) ?? new Map<string, Row>();
    this.#wanted.set(form, rows);
    if (!rows.has(text)) rows.set(text, valuesOf(form, row));
  }
  async run(tx: Pick<LoadTransaction, "present">): Promise<void> {
    for (const [form, rows] of this.#wanted) {
      const columns = form.parts.map(({ to }) => to);
      const words = await tx.present(form.of, columns, [...rows.values()]);
      this.#there.set(form, new Set([...rows.keys()].filter((_, at) => words[at])));
    }
  }
  isThere(form: KeyForm, text: string): boolean {
    return this.#there.get(form)?.has(text) ?? false;
  }
}

/**
 * Messages that are refused without being tried one by one, since the same constraint refused another of them in this very
 * transaction, tried alone, and a look at the database as it is now says that these break it in the same way.
 */
export class Likewise {
  readonly #faults = new Map<Loading, Foreseen>();
  /** By constraint: did the database say of the first, tried alone, what was foreseen? */
  readonly #confirmed = new Map<string, boolean>();

  /** Looks again, now that all others are written. Call before the first is judged. */
  static async of(tx: LoadTransaction, foreseen: ReadonlyMap<Loading, Foreseen>): Promise<Likewise> {
    const likewise = new Likewise();
    const lookup = new Lookup();
    const candidates = [...foreseen].filter(([message]) => message.acts.every(isMereInsert));
    for (const [, { form, text, act }] of candidates) {
      lookup.want(form, text, act.row ?? {});
      lookup.want(act.target.forms.key, act.text, act.key); // a row that is there may be refused for that, or kept, or overwritten
    }
    await lookup.run(tx);
    for (const [message, one] of candidates) {
      const isThere = lookup.isThere(one.form, one.text);
      const isBroken = one.code === "PARENT_MISSING" ? !isThere : isThere;
      if (isBroken && !lookup.isThere(one.act.target.forms.key, one.act.text)) likewise.#faults.set(message, one);
    }
    return likewise;
  }

  /** Why the message is refused; null: it must be tried. */
  faultOf(message: Loading): Fault | null {
    const one = this.#faults.get(message);
    return one && this.#confirmed.get(constraintOf(one)) === true ? faultOf(one) : null;
  }

  /** The message was tried alone. */
  tried(message: Loading, fault: Fault | null, isLoaded: boolean): void {
    const one = this.#faults.get(message);
    const name = one && constraintOf(one);
    if (name !== undefined && this.#confirmed.get(name) !== false) this.#confirmed.set(name, fault?.code === one?.code);
    if (!isLoaded) return;
    // What was looked up before may no longer be so.
    if (!message.acts.every(isMereInsert)) return this.#faults.clear();
    const made = new Set(message.parts.flatMap(({ creates }) => creates));
    for (const [other, { text }] of this.#faults) if (made.has(text)) this.#faults.delete(other);
  }
}

/** Its whole effect is one new row: no trigger of others, no cascade, no decision by a present row. */
const isMereInsert = ({ op, target }: Act): boolean => op === "insert" && !target.shape.foreignTriggers;

const constraintOf = ({ code, act, form }: Foreseen): string =>
  [code, act.target.shape.name, form.of, ...form.parts.map(({ from, to }) => `${from} ${to}`)].join("\0");

function faultOf({ code, act, form }: Foreseen): Fault {
  const shown = form.parts.map(({ from }) => `${from}=${valueForPeople(field(act.row ?? {}, from))}`).join(", ");
  const why =
    code === "PARENT_MISSING" ? `${shown} names a row of ${form.of} that is not there` : `another row has ${shown}`;
  return { code, detail: `${nameOf(act.target.shape.name, act.key)}: ${why}`, route: act.route };
}
