import { field, type Row } from "../message/change.ts";
import { valueForPeople } from "../message/key.ts";

/** Columns whose values are of people, by table; by the names of either side. */
export type Personal = ReadonlyMap<string, ReadonlySet<string>>;
export const NOTHING_PERSONAL: Personal = new Map();

/** What stands where a personal value stood. */
export const HIDDEN = "•••";

type Cells = {
  readonly table: string;
  readonly key?: Row | undefined;
  readonly row?: Row | undefined;
  readonly before?: Row | undefined;
};

/** Every way in which words may quote the personal values of these changes; longest first. */
export function personalValues(personal: Personal, changes: Iterable<Cells>): readonly string[] {
  if (personal.size === 0) return [];
  const texts = new Set<string>();
  for (const { table, key, row, before } of changes) {
    const columns = personal.get(table);
    if (!columns) continue;
    for (const column of columns)
      for (const cells of [key, row, before]) {
        const value = cells && field(cells, column);
        if (value === undefined || value === null || value === "") continue;
        texts.add(valueForPeople(value));
        const text = typeof value === "string" ? value : JSON.stringify(value);
        texts.add(text);
        texts.add(JSON.stringify(text).slice(1, -1)); // as it stands within a longer text in JSON
        if (text.length > CUT) texts.add(text.slice(0, CUT)); // others cut values, too: PostgreSQL after 64 bytes
      }
  }
  return [...texts].toSorted((a, b) => b.length - a.length);
}
const CUT = 16;

/** The words without these values, as whole words and whatever their case: a database or transform may have changed it. */
export function discreet(words: string, values: readonly string[]): string {
  let text = words;
  for (const value of values) {
    // Within a longer word a short value is chance; a cut one goes on.
    const start = IS_WORD.test(value[0] ?? "") ? "(?<![\\p{L}\\p{N}])" : "";
    const end = IS_WORD.test(value.at(-1) ?? "") && value.length < CUT ? "(?![\\p{L}\\p{N}])" : "";
    text = text.replace(new RegExp(`${start}${value.replace(SIGNS, "\\$&")}${end}`, "giu"), HIDDEN);
  }
  return text;
}
const SIGNS = /[\\^$.*+?()[\]{}|/]/g;
const IS_WORD = /[\p{L}\p{N}]/u;
