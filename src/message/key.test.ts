import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Row } from "./change.ts";
import { rowForms, sourceText, textOf } from "./key.ts";
import type { Column, ColumnKind, ForeignKey, TableShape } from "./shape.ts";

const column = (name: string, kind: ColumnKind): Column => ({
  name,
  kind,
  declared: kind,
  nullable: true,
  generated: false,
  hasDefault: false,
});
const shape = (
  name: string,
  columns: Record<string, ColumnKind>,
  key: string[],
  more: { uniques?: string[][]; foreignKeys?: ForeignKey[] } = {},
): TableShape => ({
  name,
  columns: Object.entries(columns).map(([of, kind]) => column(of, kind)),
  key,
  uniques: [key, ...(more.uniques ?? [])],
  foreignKeys: more.foreignKeys ?? [],
  foreignTriggers: false,
});
const store = shape(
  "store",
  { country: "text", number: "integer", rate: "decimal", code: "text" },
  ["country", "number"],
  { uniques: [["code"], ["rate"]] },
);
const sale = shape("sale", { id: "text", nr: "text", land: "text" }, ["id"], {
  foreignKeys: [{ columns: ["nr", "land"], parent: "store", parentColumns: ["number", "country"] }],
});
const shapes = new Map([store, sale].map((of) => [of.name, of]));
const forms = rowForms(store, shapes);
const [code, rate] = forms.uniques;

describe("row keys", () => {
  test("are readable, with the columns in the order of their names", () => {
    expect(textOf(forms.key, { number: 14, country: "de" })).toBe("store country=de number=14");
    expect(textOf(forms.key, { country: "de fr", number: 14 })).toBe('store country="de fr" number=14');
  });

  test("are one for values that are the same by their kind", () => {
    expect(textOf(forms.key, { country: "de", number: "14" })).toBe(textOf(forms.key, { country: "de", number: 14 }));
    expect(textOf(rate!, { rate: "12.50" })).toBe(textOf(rate!, { rate: "12.5" }));
    expect(textOf(code!, { code: "12.50" })).not.toBe(textOf(code!, { code: "12.5" }));
    expect(textOf(code!, { code: "" })).not.toBeNull();
  });

  test("a foreign key gives its parent's key, whatever the order and kinds of its columns", () => {
    const [parent] = rowForms(sale, shapes).parents;
    expect(textOf(parent!, { id: "S-1", nr: "14", land: "de" })).toBe(textOf(forms.key, { country: "de", number: 14 }));
  });

  test("a part that is null or absent names nothing, nor does one that only objects inherit", () => {
    expect(textOf(forms.key, { country: "de", number: null })).toBeNull();
    expect(textOf(forms.key, { country: "de" })).toBeNull();
    const odd = rowForms(shape("odd", Object.fromEntries([["constructor", "text" as const]]), ["constructor"]), shapes);
    expect(textOf(odd.key, {})).toBeNull();
  });

  test("differ whenever the values differ", () => {
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom("n", "a=b", 'x" number=1', "!", "?", "$t"),
      fc.string().map(($text) => ({ $text })),
    );
    const row = fc.record({ country: value, code: value });
    const pair = rowForms(shape("pair", { country: "text", code: "text" }, ["country", "code"]), shapes).key;
    fc.assert(
      fc.property(row, row, (a: Row, b: Row) => {
        expect(textOf(pair, a) === textOf(pair, b)).toBe(
          JSON.stringify([a["country"], a["code"]]) === JSON.stringify([b["country"], b["code"]]),
        );
        expect(sourceText("pair", a) === sourceText("pair", b)).toBe(
          JSON.stringify([a["country"], a["code"]]) === JSON.stringify([b["country"], b["code"]]),
        );
      }),
      {
        examples: [
          [
            { country: 'a" code="b', code: "c" },
            { country: "a", code: 'b" code="c' },
          ],
        ],
      },
    );
  });

  test("the sender's own name of a row is kept apart from the target's", () => {
    expect(sourceText("store", { number: 14, country: "de" })).toBe("~store country=de number=14");
  });
});
