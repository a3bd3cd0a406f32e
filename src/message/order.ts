import type { TableShape } from "./shape.ts";

/** In which order tables are written so that parents come before their children; deletes go the other way round. */
export type TableOrder = {
  /** Parents have lower ranks than their children. Tables of one cycle share a rank. */
  readonly ranks: ReadonlyMap<string, number>;
  /**
   * Tables that name themselves or each other in a circle: no order of rows by table is right for them, so their changes
   * keep the order in which they were made.
   */
  readonly cyclic: ReadonlySet<string>;
};

/**
 * Orders tables by their foreign keys. Strongly connected tables are found by Tarjan's algorithm ("Depth-first search and
 * linear graph algorithms", 1972), which gives parents first when it follows the edges from child to parent.
 */
export function tableOrder(shapes: ReadonlyMap<string, TableShape>): TableOrder {
  const ranks = new Map<string, number>();
  const cyclic = new Set<string>();
  const seen = new Map<string, { index: number; low: number; open: boolean }>();
  const stack: string[] = [];
  let rank = 0;

  const visit = (name: string): { index: number; low: number; open: boolean } => {
    const mark = { index: seen.size, low: seen.size, open: true };
    seen.set(name, mark);
    stack.push(name);
    for (const parent of parentsOf(shapes, name)) {
      const known = seen.get(parent);
      if (!known) mark.low = Math.min(mark.low, visit(parent).low);
      else if (known.open) mark.low = Math.min(mark.low, known.index);
    }
    if (mark.low === mark.index) closeGroup(name);
    return mark;
  };
  const closeGroup = (root: string): void => {
    const group = stack.splice(stack.lastIndexOf(root));
    for (const name of group) {
      const mark = seen.get(name);
      if (mark) mark.open = false;
      ranks.set(name, rank);
      if (group.length > 1 || parentsOf(shapes, name).includes(name)) cyclic.add(name);
    }
    rank += 1;
  };

  // Tables with others' triggers as early as their parents allow: what such a trigger refuses cannot be foreseen, and the less
  // was written before it, the less has to be undone. Else by name, so that the order does not hang on how tables were listed.
  const fickle = (name: string): number => (shapes.get(name)?.foreignTriggers === true ? 0 : 1);
  const names = [...shapes.keys()].toSorted().toSorted((a, b) => fickle(a) - fickle(b));
  for (const name of names) if (!seen.has(name)) visit(name);
  return { ranks, cyclic };
}

const parentsOf = (shapes: ReadonlyMap<string, TableShape>, name: string): string[] =>
  (shapes.get(name)?.foreignKeys ?? []).map((foreign) => foreign.parent).filter((parent) => shapes.has(parent));
