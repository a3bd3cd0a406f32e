import { WaybillError } from "../base/errors.ts";
import { rowForms, type RowForms } from "../message/key.ts";
import { tableOrder, type TableOrder } from "../message/order.ts";
import type { Column, Shapes, TableShape } from "../message/shape.ts";
import { NOTHING_PERSONAL, type Personal } from "./discreet.ts";
import type { Rules, TableRule } from "./rules.ts";

/** A table as it is loaded: its rule and its shape, with what both need at every change worked out once. */
export type Target = {
  readonly rule: TableRule;
  readonly shape: TableShape;
  readonly columns: ReadonlyMap<string, Column>;
  readonly forms: RowForms;
  /** The present row decides what a change becomes, so it is read (and locked) first. */
  readonly looks: boolean;
  /** Columns at the target whose values no words may quote. */
  readonly personal: ReadonlySet<string>;
  /** The row's columns pass under their own names, none left out. */
  readonly plain: boolean;
};

/** All tables of one description of the target database. */
export type Targets = {
  readonly personal: Personal;
  readonly order: TableOrder;
  /** By source table; null when the rule's target is not in the database. */
  readonly bySource: ReadonlyMap<string, Target | null>;
  /** For a change that a transform made: by target table. */
  byTarget(table: string): Target | null;
  /** Changes of this target table are applied as they were made, in their order. */
  readonly inOrder: (table: string) => boolean;
};

export function compileTargets(rules: Rules, shapes: Shapes): Targets {
  const bySource = new Map<string, Target | null>();
  const byTarget = new Map<string, Target | null>();
  const personal = rules.personal ?? NOTHING_PERSONAL;
  for (const [source, rule] of rules.tables) {
    const shape = shapes.get(rule.target);
    const target = shape ? compile(rule, shape, shapes, personal) : null;
    bySource.set(source, target);
    if (!byTarget.has(rule.target)) byTarget.set(rule.target, target);
  }
  const order = tableOrder(shapes);
  return {
    personal,
    order,
    bySource,
    byTarget: (table) => {
      const known = byTarget.get(table);
      if (known !== undefined) return known;
      // A transform may also write tables that no terminal has; the config's author asked for it.
      const shape = shapes.get(table);
      const made = shape ? compile(plainRule(table), shape, shapes, personal) : null;
      byTarget.set(table, made);
      return made;
    },
    inOrder: (table) => order.cyclic.has(table) || shapes.get(table)?.foreignTriggers === true,
  };
}

function compile(rule: TableRule, shape: TableShape, shapes: Shapes, personal: Personal): Target {
  const columns = new Map(shape.columns.map((column) => [column.name, column]));
  const named = [rule.owner?.column, ...conflictColumns(rule)].filter((name) => name !== undefined);
  for (const name of named) {
    if (columns.has(name)) continue;
    throw new WaybillError(
      "CONFIG_INVALID",
      `tables.${rule.source}: ${rule.target} has no column ${name}, which the rule names`,
    );
  }
  const ownerInKey = rule.owner === null || shape.key.includes(rule.owner.column);
  return {
    rule,
    shape,
    columns,
    forms: rowForms(shape, shapes),
    looks: rule.conflict.policy !== "terminal" || rule.alsoDown || !ownerInKey,
    personal: personal.get(rule.target) ?? NO_COLUMNS,
    plain: rule.rename.size === 0 && rule.ignore.size === 0,
  };
}

const NO_COLUMNS: ReadonlySet<string> = new Set();

const conflictColumns = ({ conflict }: TableRule): readonly string[] =>
  conflict.policy === "add" ? conflict.columns : conflict.policy === "newest" ? [conflict.column] : [];

/** The rule of a table that nobody configured further: same names, the sender's word counts, everything else refused. */
export const plainRule = (table: string): TableRule => ({
  source: table,
  target: table,
  rename: new Map(),
  ignore: new Set(),
  unknownColumns: "refuse",
  owner: null,
  conflict: { policy: "terminal" },
  onExisting: "refuse",
  transform: null,
  alsoDown: false,
  retry: null,
});
