import { field, isMarked, type Row, type WireValue } from "./change.ts";
import type { ColumnKind, TableShape } from "./shape.ts";
import { keyText } from "./value.ts";

/**
 * Canonical texts of row keys and unique values, such as `sale sale_id=S-9` or `line sale_id=S-9 number=3`. Two rows of a
 * table share a text exactly when they share the values, by the values' kinds: 3 and "3" are one key, 12.50 and 12.5 too.
 * A foreign key gives the text of the parent row it names, so that "names" and "is" can be compared as text.
 */
export type KeyForm = {
  /** The table's name as it stands in the text. */
  readonly table: string;
  /** The table's own name. */
  readonly of: string;
  readonly parts: readonly KeyPart[];
};
type KeyPart = {
  /** `name=`, as it stands in the text. */
  readonly label: string;
  readonly kind: ColumnKind;
  /** Column of the row that holds the value: the child's column where the form names a parent. */
  readonly from: string;
  /** Column of the table that the text is of: the parent's, there. */
  readonly to: string;
};

/** All texts a row of one table can have. Made once for each table; see `rowForms`. */
export type RowForms = {
  readonly key: KeyForm;
  /** Other unique values, the key left out. */
  readonly uniques: readonly KeyForm[];
  /** One for each foreign key whose parent is known. */
  readonly parents: readonly KeyForm[];
};

export function rowForms(shape: TableShape, shapes: ReadonlyMap<string, TableShape>): RowForms {
  const key = keyForm(shape, shape.key, shape.key);
  const uniques = shape.uniques.map((columns) => keyForm(shape, columns, columns));
  const parents = shape.foreignKeys.flatMap((foreign) => {
    const parent = shapes.get(foreign.parent);
    return parent ? [keyForm(parent, foreign.parentColumns, foreign.columns)] : [];
  });
  return { key, uniques: uniques.filter((form) => !sameColumns(form, key)), parents };
}

function keyForm(shape: TableShape, columns: readonly string[], from: readonly string[]): KeyForm {
  const kinds = new Map(shape.columns.map((column) => [column.name, column.kind]));
  const parts = columns.map((column, at) => ({
    label: `${shown(column)}=`,
    kind: kinds.get(column) ?? "text",
    from: from[at] ?? column,
    to: column,
  }));
  // In the order of names: a foreign key may list its columns in another order than the parent's key does.
  parts.sort((a, b) => (a.label < b.label ? -1 : 1));
  return { table: shown(shape.name), of: shape.name, parts };
}

const sameColumns = (a: KeyForm, b: KeyForm): boolean =>
  a.parts.length === b.parts.length && a.parts.every((part, at) => part.label === b.parts[at]?.label);

/** The row's text in this form; null when a part is absent or null, for then the row has no such value and names no parent. */
export function textOf(form: KeyForm, row: Row): string | null {
  let text = form.table;
  for (const part of form.parts) {
    const value = field(row, part.from);
    if (value === undefined || value === null) return null;
    text += ` ${part.label}${valueText(part.kind, value)}`;
  }
  return text;
}

/** The values behind the row's text, under the names of the table that the text is of. */
export const valuesOf = (form: KeyForm, row: Row): Row =>
  Object.fromEntries(form.parts.map(({ from, to }) => [to, field(row, from) ?? null]));

/**
 * The row as its sender names it, before any transform: `~sale sale_id=S-9`. The sender's column kinds are not known here,
 * so values are compared as they were written. The mark keeps these texts apart from the target's.
 */
export function sourceText(table: string, key: Row): string {
  const columns = sorted(Object.keys(key));
  let text = `~${shown(table)}`;
  for (const column of columns) text += ` ${shown(column)}=${sourceValue(field(key, column) ?? null)}`;
  return text;
}

/** Few keys have more than two columns, and sorting two costs more than asking. */
function sorted(names: readonly string[]): readonly string[] {
  const [first = "", second = ""] = names;
  if (names.length <= 2) return names.length < 2 || first < second ? names : [second, first];
  return names.toSorted();
}

/**
 * Gives the values of a canonical text to `into`, each as it stands there. False: one of them is quoted, so that it would take
 * reading to tell them apart, and none was given.
 */
export function takeValues(text: string, into: Set<string>): boolean {
  if (text.includes('"')) return false;
  for (let sign = text.indexOf("="); sign >= 0;) {
    const end = text.indexOf(" ", sign);
    into.add(end < 0 ? text.slice(sign + 1) : text.slice(sign + 1, end));
    sign = end < 0 ? -1 : text.indexOf("=", end);
  }
  return true;
}

/** The table of a canonical text that has no quoted part, as it stands there. */
export const tableOfText = (text: string): string => text.slice(0, text.indexOf(" "));

/** Visits the values of the row's text, as `takeValues` gives them, while `visit` says yes. False: it said no, or the row has no such text. */
export function everyTextValue(form: KeyForm, row: Row, visit: (value: string) => boolean): boolean {
  for (const { from, kind } of form.parts) {
    const value = field(row, from);
    if (value === undefined || value === null) return false;
    // A text as it is: were it to be quoted, so would be the text that it could be found in.
    if (!visit(kind === "text" && typeof value === "string" ? value : valueText(kind, value))) return false;
  }
  return true;
}
/** The same of `sourceText`. */
export function everyKeyValue(key: Row, visit: (value: string) => boolean): boolean {
  for (const column of Object.keys(key)) {
    const value = key[column] ?? null; // one of its own columns
    if (!visit(typeof value === "string" ? value : sourceValue(value))) return false;
  }
  return true;
}

/** A key for people, in the order its columns have: `sale_id=S-9, number=3`. Cut where a value is long. */
export const keyForPeople = (key: Row): string =>
  Object.keys(key)
    .map((column) => `${column}=${valueForPeople(field(key, column))}`)
    .join(", ");

/** A value for people, cut so that one blob does not fill the dead letters' list. */
export function valueForPeople(value: WireValue | undefined): string {
  if (value === undefined) return "nothing";
  const text = typeof value === "string" && PLAIN.test(value) ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

// A text may stand bare when it cannot be mistaken for the space or sign that ends it; all others are quoted as JSON.
const PLAIN = /^[\p{L}\p{N}_.:+/-]+$/u;
const shown = (text: string): string => (isPlainAscii(text) || PLAIN.test(text) ? text : JSON.stringify(text));

/** What `PLAIN` says of most keys, at a tenth of its cost: such texts are made for every row of a lane with exceptions. */
function isPlainAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (ASCII[text.charCodeAt(at)] !== true) return false;
  return text.length > 0;
}
const ASCII: readonly boolean[] = Array.from({ length: 128 }, (_, code) => PLAIN.test(String.fromCharCode(code)));

function valueText(kind: ColumnKind, value: WireValue): string {
  // What most keys are, without the detour; the other texts below are the same for these.
  if (kind === "text" && typeof value === "string") return shown(value);
  if (kind === "integer" && typeof value === "number" && Number.isSafeInteger(value)) return String(value);
  const text = keyText(kind, value);
  // The first letter tells the class. For a value of its column's kind it is always the same and can be left out.
  return isMarked(value) || text.startsWith("?") ? `!${JSON.stringify(text)}` : shown(text.slice(1));
}

function sourceValue(value: WireValue): string {
  if (typeof value === "string") return shown(value);
  return typeof value === "number" ? String(value) : `!${JSON.stringify(value)}`;
}
