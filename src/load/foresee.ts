import type { LoadTransaction } from "../database/port.ts";
import { field, type Row, type WireValue } from "../message/change.ts";
import { textOf, valueForPeople, valuesOf, type KeyForm } from "../message/key.ts";
import type { Caution, Foreseeable } from "./caution.ts";
import type { Loading } from "./message.ts";
import { nameOf, type Act, type Fault } from "./plan.ts";
import { isKeyedInsert, setsOfAct } from "./sets.ts";
import type { Target } from "./target.ts";

/** A refusal that can be foreseen by looking: a parent that is not there, a unique value that is. */
export type Foreseen = {
  readonly code: Foreseeable;
  /** The constraint's name, for us alone. */
  readonly constraint: string;
  readonly act: Act;
  readonly form: KeyForm;
  /** Canonical text of the parent, or of the unique value. */
  readonly text: string;
};

/**
 * Which of the messages, were they written now and together, name a parent that neither the database nor one of them has, or a
 * unique value that another row has already: the first such change of each. One query for each constraint that caution is
 * about. Where something else may have its hand in it (others' triggers, a value freed in the same batch, a parent that was
 * there when somebody named it before) nothing is foreseen: the database will tell.
 */
export async function foresee(
  tx: Pick<LoadTransaction, "present">,
  messages: readonly Loading[],
  caution: Caution,
): Promise<ReadonlyMap<Loading, Foreseen>> {
  const foreseen = new Map<Loading, Foreseen>();
  if (caution.isIdle) return foreseen;
  const watch = new Watch(caution, messages);
  const { uniques, made, freed } = gather(messages, watch);
  const lookup = new Lookup();
  for (const { form, named } of watch.parents)
    for (const naming of named.values()) if (naming) lookup.want(form, naming.text, naming.row);
  for (const { form, text, row } of uniques.values()) lookup.want(form, text, row);
  await lookup.run(tx);
  const candidates = new Set<Loading>();
  for (const { form, named, present } of watch.parents)
    for (const [value, naming] of named) {
      if (!naming) continue;
      if (lookup.isThere(form, naming.text)) present.add(value);
      else if (!made.has(naming.text)) for (const message of naming.by) candidates.add(message);
    }
  for (const { form, text, by } of uniques.values())
    if (by.length > 1 || lookup.isThere(form, text)) for (const message of by) candidates.add(message);
  const isBroken = ({ code, form, text }: Foreseen, message: Loading): boolean => {
    if (freed.has(text)) return false;
    if (code === "PARENT_MISSING") return !made.has(text) && !lookup.isThere(form, text);
    // Of those that take one value in this batch the first may have it, unless somebody has it already.
    return lookup.isThere(form, text) || uniques.get(text)?.by[0] !== message;
  };
  for (const message of candidates) {
    const first = watch.namedBy(message).find((one) => isBroken(one, message));
    if (first) foreseen.set(message, first);
  }
  return foreseen;
}

/**
 * Texts of the parents that the rows of a message name and that neither the database nor the message itself has. One that cannot
 * be looked up, since the database compares in its own way or others' triggers change the row, counts as missing.
 */
export async function missingParents(
  tx: Pick<LoadTransaction, "present">,
  message: Loading,
): Promise<ReadonlySet<string>> {
  const made = message.sets.creates;
  const named = new Map<string, KeyForm | null>();
  const lookup = new Lookup();
  for (const { target, op, key, before, row } of message.acts) {
    if (op === "delete") continue;
    const after = { ...key, ...before, ...row };
    for (const form of target.forms.parents) {
      const text = textOf(form, after);
      if (text === null || made.has(text)) continue;
      const canLook = !target.shape.foreignTriggers && isAlike(form, target);
      named.set(text, canLook ? form : null);
      if (canLook) lookup.want(form, text, after);
    }
  }
  await lookup.run(tx);
  return new Set([...named].filter(([text, form]) => !form || !lookup.isThere(form, text)).map(([text]) => text));
}

/** A parent or unique value, as the first that named it had it, and all that name it. */
type Naming = { readonly text: string; readonly form: KeyForm; readonly row: Row; readonly by: Loading[] };

/** What the messages name, as far as it is watched; their parents are gathered by constraint. */
type Gathered = {
  /** By text. */
  readonly uniques: ReadonlyMap<string, Naming>;
  /** Texts of rows and unique values that the messages make, and those that they free. */
  readonly made: ReadonlySet<string>;
  readonly freed: ReadonlySet<string>;
};

function gather(messages: readonly Loading[], watch: Watch): Gathered {
  const uniques = new Map<string, Naming>();
  const [made, freed] = [new Set<string>(), new Set<string>()];
  for (const message of messages) {
    for (const act of message.acts) {
      const watched = watch.of(act.target);
      if (watched && (watched.isParent || (watched.uniques.length > 0 && !isKeyedInsert(act)))) {
        const { creates, deletes } = setsOfAct(act);
        for (const text of creates) made.add(text);
        for (const text of deletes) freed.add(text);
      }
    }
    for (const act of message.acts) {
      const watched = watch.of(act.target);
      if (!watched || !act.row) continue;
      for (const wary of watched.parents) nameParent(wary, act.row, message, made);
      if (act.op === "insert") for (const { form } of watched.uniques) nameUnique(form, act.row, message, uniques);
    }
  }
  return { uniques, made, freed };
}

function nameUnique(form: KeyForm, row: Row, message: Loading, uniques: Map<string, Naming>): void {
  const text = textOf(form, row);
  if (text === null) return;
  const known = uniques.get(text);
  if (!known) uniques.set(text, { text, form, row, by: [message] });
  else if (known.by.at(-1) !== message) known.by.push(message);
}

function nameParent(
  { form, column, named, present }: Wary,
  row: Row,
  message: Loading,
  made: ReadonlySet<string>,
): void {
  // Many rows name the same parent, and most parents were there before: no text is made for that.
  const value = column === null ? textOf(form, row) : field(row, column);
  if (value === undefined || value === null || present.has(value)) return;
  let naming = named.get(value);
  if (naming === undefined) {
    const text = textOf(form, row);
    // Most often it is its own: the lines of a sale.
    naming = text === null || made.has(text) ? null : { text, form, row, by: [] };
    named.set(value, naming);
  }
  if (naming && naming.by.at(-1) !== message) naming.by.push(message);
}

/** A constraint that is looked at. */
type Wary = {
  readonly name: string;
  readonly form: KeyForm;
  /** The one column of the row that it is about; null: several. */
  readonly column: string | null;
  /** What the messages name, by the column's value, or by text where there are several; null: nothing to look after. */
  readonly named: Map<WireValue, Naming | null>;
  /** Named before, and there. */
  readonly present: Set<WireValue>;
};
type Watched = {
  readonly parents: readonly Wary[];
  readonly uniques: readonly Wary[];
  /** Its rows are parents that are looked for. */
  readonly isParent: boolean;
};

/** The constraints at which to look, of the tables that the messages write. */
class Watch {
  readonly parents: readonly Wary[];
  readonly #by = new Map<Target, Watched | null>();
  /** Asked last, and the answer. */
  #last: Target | null = null;
  #was: Watched | null = null;

  constructor(caution: Caution, messages: readonly Loading[]) {
    for (const target of targetsOf(messages)) this.#by.set(target, watched(target, caution));
    this.parents = [...this.#by.values()].flatMap((one) => one?.parents ?? []);
    for (const { form } of this.parents)
      for (const [target, one] of this.#by)
        if (target.shape.name === form.of) this.#by.set(target, { ...(one ?? NOTHING_WATCHED), isParent: true });
  }

  of(target: Target): Watched | null {
    if (target !== this.#last) this.#was = this.#by.get(target) ?? null;
    this.#last = target;
    return this.#was;
  }

  /** All that the message names of what is looked at, in the order of its changes. */
  namedBy(message: Loading): readonly Foreseen[] {
    const all: Foreseen[] = [];
    for (const act of message.acts) {
      const { row } = act;
      const { parents, uniques } = this.of(act.target) ?? NOTHING_WATCHED;
      if (!row) continue;
      const tell = (code: Foreseeable, { name, form }: Wary): void => {
        const text = textOf(form, row);
        if (text !== null) all.push({ code, constraint: name, act, form, text });
      };
      for (const wary of parents) if (!isPresent(wary, row)) tell("PARENT_MISSING", wary);
      if (act.op === "insert") for (const wary of uniques) tell("UNIQUE_VIOLATED", wary);
    }
    return all;
  }
}

function targetsOf(messages: readonly Loading[]): ReadonlySet<Target> {
  const targets = new Set<Target>();
  let last: Target | null = null;
  for (const { acts } of messages)
    for (const { target } of acts) {
      if (target !== last) targets.add(target); // neighbours are mostly alike
      last = target;
    }
  return targets;
}

function isPresent({ form, column, present }: Wary, row: Row): boolean {
  const value = column === null ? textOf(form, row) : field(row, column);
  return value !== undefined && present.has(value);
}

const NOTHING_WATCHED: Watched = { parents: [], uniques: [], isParent: false };

/** Null where nothing is looked at, and where others' triggers may change the row before it is judged. */
function watched(target: Target, caution: Caution): Watched | null {
  const { shape, forms } = target;
  if (shape.foreignTriggers) return null;
  const wary = (code: Foreseeable, all: readonly KeyForm[]): readonly Wary[] =>
    all.flatMap((form) => {
      const name = constraintOf(code, target, form);
      if (!caution.isAbout(code, shape.name, name)) return [];
      const [only, ...others] = form.parts;
      const column = only && others.length === 0 ? only.from : null;
      return [{ name, form, column, named: new Map(), present: caution.presentOf(name) }];
    });
  const parents = wary(
    "PARENT_MISSING",
    forms.parents.filter((form) => isAlike(form, target)),
  );
  const uniques = wary("UNIQUE_VIOLATED", forms.uniques);
  return parents.length + uniques.length === 0 ? null : { parents, uniques, isParent: false };
}

/** A foreign key between columns of two kinds compares as the database likes; that is not imitated here. */
const isAlike = (form: KeyForm, { columns }: Target): boolean =>
  form.parts.every(({ from, kind }) => columns.get(from)?.kind === kind);

/** Values to be looked up at the database, each once, by one set query for each form. */
class Lookup {
  readonly #wanted = new Map<KeyForm, Map<string, Row>>();
  readonly #there = new Map<KeyForm, ReadonlySet<string>>();

  want(form: KeyForm, text: string, row: Row): void {
    const rows = this.#wanted.get(form) ?? new Map<string, Row>();
    this.#wanted.set(form, rows);
    if (!rows.has(text)) rows.set(text, form.parts.every(({ from, to }) => from === to) ? row : valuesOf(form, row));
  }
  async run(tx: Pick<LoadTransaction, "present">): Promise<void> {
    for (const [form, rows] of this.#wanted) {
      const columns = form.parts.map(({ to }) => to);
      const words = await tx.present(form.of, columns, [...rows.values()]);
      const there = new Set<string>();
      let at = 0;
      for (const text of rows.keys()) if (words[at++]) there.add(text);
      this.#there.set(form, there);
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
    const candidates = [...foreseen].filter(([message]) => mayBeLikened(message));
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
    return one && this.#confirmed.get(one.constraint) === true ? faultOf(one) : null;
  }

  /** Will it be refused, as far as a look can tell? */
  expects(message: Loading): boolean {
    const one = this.#faults.get(message);
    return one !== undefined && this.#confirmed.get(one.constraint) !== false;
  }

  /** The message was tried alone. */
  tried(message: Loading, fault: Fault | null, isLoaded: boolean): void {
    const one = this.#faults.get(message);
    const name = one?.constraint;
    if (name !== undefined && this.#confirmed.get(name) !== false) this.#confirmed.set(name, fault?.code === one?.code);
    if (!isLoaded) return;
    // What was looked up before may no longer be so.
    if (!mayBeLikened(message)) return this.#faults.clear();
    const made = message.sets.creates;
    for (const [other, { text }] of this.#faults) if (made.has(text)) this.#faults.delete(other);
  }
}

/** Does it nothing but make rows? */
export const mayBeLikened = ({ acts }: Loading): boolean => acts.every(isMereInsert);

/** Its whole effect is one new row: no trigger of others, no cascade, no decision by a present row. */
const isMereInsert = ({ op, target }: Act): boolean => op === "insert" && !target.shape.foreignTriggers;

const constraintOf = (code: Foreseeable, { shape }: Target, form: KeyForm): string =>
  [code, shape.name, form.of, ...form.parts.map(({ from, to }) => `${from} ${to}`)].join("\0");

function faultOf({ code, act, form }: Foreseen): Fault {
  const shown = form.parts.map(({ from }) => `${from}=${valueForPeople(field(act.row ?? {}, from))}`).join(", ");
  const why =
    code === "PARENT_MISSING" ? `${shown} names a row of ${form.of} that is not there` : `another row has ${shown}`;
  return { code, detail: `${nameOf(act.target.shape.name, act.key)}: ${why}`, route: act.route };
}
