import type { ComparedColumn, ComparedTable } from "../../message/digest.ts";
import { agreedKind } from "../../message/comparable.ts";
import { field, type Row } from "../../message/change.ts";
import type { TableRule } from "../../load/rules.ts";
import { isDocumentTable } from "../../wire/documents.ts";
import { audiencesOf } from "../../wire/manifest.ts";
import type { DownTable, HubSettings } from "../settings.ts";

/** What is known of a table's form on one side: names of its own. */
export type SideShape = { readonly key: readonly string[]; readonly columns: readonly ComparedColumn[] };
export type ComparedSettings = Pick<HubSettings, "rules" | "down">;
export type ComparedTerminal = {
  readonly id: Parameters<typeof audiencesOf>[0];
  readonly tags: Readonly<Record<string, string>>;
};

/** How a table is compared, or why it cannot be. */
export type TablePlan = { readonly table: string; readonly direction: "up" | "down" | "both" } & (
  | { readonly skipped: string }
  | {
      readonly skipped: null;
      /** Name at the centre. */
      readonly target: string;
      readonly compared: ComparedTable;
      /** All rows that belong to the terminal are at both; else the centre has those of other terminals too, and each row of the terminal is looked up there. */
      readonly twoSided: boolean;
      readonly leftOut: readonly string[];
      /** Which side a repair takes the row from. */
      readonly wins: "terminal" | "centre";
    }
);
export type ReadyPlan = Extract<TablePlan, { skipped: null }>;

/** The tables of the config that can be captured, by the terminals' names. */
export const reconcilable = ({ rules, down }: ComparedSettings): readonly string[] =>
  [...new Set([...rules.tables.keys(), ...down.map(({ source }) => source)])].filter((name) => !isDocumentTable(name));

export function planTable(
  settings: ComparedSettings,
  table: string,
  centre: SideShape | undefined,
  terminal: SideShape | undefined,
): TablePlan {
  const names = namesOf(settings, table);
  const { rule, down } = names;
  const direction = rule ? (down ? "both" : "up") : "down";
  const skip = (skipped: string): TablePlan => ({ table, direction, skipped });
  if (rule?.transform) return skip("a transform makes other rows of it at the centre");
  if (!terminal) return skip("the terminal does not have it, or does not tell of it");
  if (!centre) return skip("the centre does not have it");
  if (centre.key.length === 0) return skip("it has no key at the centre");
  const here = new Map(centre.columns.map((column) => [column.name, column]));
  const there = new Map(terminal.columns.map((column) => [column.name, column]));
  const key: ComparedColumn[] = [];
  for (const name of centre.key) {
    const [one, other] = [here.get(name), there.get(names.toTerminal(name))];
    if (!one || !other) return skip(`the terminal has no column for ${name} of the key`);
    const { collation } = one;
    key.push({
      name: other.name,
      kind: agreedKind(one.kind, other.kind),
      ...(collation === undefined ? {} : { collation }),
    });
  }
  const summed = new Set(rule?.conflict.policy === "add" ? rule.conflict.columns : []);
  const columns: ComparedColumn[] = [];
  const leftOut = new Set<string>();
  for (const other of terminal.columns) {
    const name = names.toCentre(other.name);
    const one = name === null ? undefined : here.get(name);
    if (!one || summed.has(one.name) || summed.has(other.name)) leftOut.add(other.name);
    else if (!key.some((part) => part.name === other.name))
      columns.push({ name: other.name, kind: agreedKind(one.kind, other.kind) });
  }
  for (const { name } of centre.columns) if (!there.has(names.toTerminal(name))) leftOut.add(names.toTerminal(name));
  return {
    table,
    direction,
    skipped: null,
    target: names.target,
    compared: { table, key, columns },
    twoSided: down !== undefined || rule?.owner !== null,
    leftOut: [...leftOut],
    wins: direction === "down" || rule?.conflict.policy === "central" ? "centre" : "terminal",
  };
}

type Names = {
  readonly rule: TableRule | undefined;
  readonly down: DownTable | undefined;
  readonly target: string;
  /** Null: the column is not carried. */
  readonly toCentre: (column: string) => string | null;
  readonly toTerminal: (column: string) => string;
};

export function namesOf({ rules, down: downs }: ComparedSettings, table: string): Names {
  const rule = rules.tables.get(table);
  const down = downs.find(({ source }) => source === table);
  // Both are made of the same `columns` of the config: one turned round.
  const up = rule?.rename ?? new Map([...(down?.rename ?? [])].map(([centre, terminal]) => [terminal, centre]));
  const back = new Map([...up].map(([terminal, centre]) => [centre, terminal]));
  const ignored = rule?.ignore ?? down?.ignore ?? new Set();
  return {
    rule,
    down,
    target: rule?.target ?? down?.target ?? table,
    toCentre: (column) => (ignored.has(column) ? null : (up.get(column) ?? column)),
    toTerminal: (column) => back.get(column) ?? column,
  };
}

/** Rows of the centre as the terminal would have them; null for those that are not the terminal's. */
export function terminalView(
  settings: ComparedSettings,
  table: string,
  terminal: ComparedTerminal,
): (row: Row) => Row | null {
  const { rule, down, toTerminal } = namesOf(settings, table);
  const mine = ownRows(rule, terminal);
  const audiences = new Set(audiencesOf(terminal.id, terminal.tags));
  return (row) => {
    const told = down ? [down.audience(row)].flat().some((name) => audiences.has(name)) : false;
    if (!told && !(rule && mine(row, down !== undefined))) return null;
    return Object.fromEntries(Object.entries(row).map(([column, value]) => [toTerminal(column), value]));
  };
}

/** By the column that names the owner. Without one every row of a table that only goes up may be the terminal's. */
function ownRows(rule: TableRule | undefined, terminal: ComparedTerminal): (row: Row, alsoDown: boolean) => boolean {
  const owner = rule?.owner;
  if (!owner) return (_, alsoDown) => !alsoDown;
  const own = owner.is === "terminal" ? terminal.id : terminal.tags[owner.is.tag];
  if (own === undefined) return () => false;
  return (row) => {
    const value = field(row, owner.column) ?? null;
    return typeof value !== "object" && String(value) === own;
  };
}

/** A key in the centre's names. */
export function centreKey(settings: ComparedSettings, table: string, key: Row): Row {
  const { toCentre } = namesOf(settings, table);
  return Object.fromEntries(Object.entries(key).map(([column, value]) => [toCentre(column) ?? column, value]));
}
