import type { Row } from "../message/change.ts";
import { lies, NodeGatherer, placed, type ComparedTable, type NodeDigests, type Placed } from "../message/digest.ts";
import type { Read } from "./port.ts";

/** What is asked about a table's rows: the digests of nodes `width` digits deep below those of `within`, or the rows there. */
export type SurveyOrder = ComparedTable & {
  /** Prefixes of one length; `[""]` is the whole table. */
  readonly within: readonly string[];
  /** Digits of the nodes that are told; null: the rows themselves. */
  readonly width: number | null;
};
export type SurveyedRow = Placed & { readonly key: Row };
/** `rows`: in the whole table, as far as they are compared. */
export type Surveyed = {
  readonly rows: number;
  readonly nodes: NodeDigests;
  readonly found: readonly SurveyedRow[];
};

const PAGE_ROWS = 500;
/** More rows than this are never listed at once; whoever asks goes deeper first, so this is reached only when a table grows meanwhile. */
const MOST_FOUND = 25_000;

/**
 * Reads a table from its start to its end in pages by key, each a short snapshot of its own, and keeps digests only: memory
 * for the nodes asked for, whatever the table holds. Rows that change meanwhile may be seen as they were or as they are.
 */
export class Survey {
  readonly #order: SurveyOrder;
  readonly #from: { readonly table: string; readonly row: (row: Row) => Row | null };
  readonly #within: ReadonlySet<string>;
  readonly #depth: number;
  readonly #nodes: NodeGatherer;
  readonly #found: SurveyedRow[] = [];
  #after: Row | null = null;
  #keys: readonly string[] | null = null;
  #rows = 0;
  #done = false;

  /** @param from the table here, and its rows in the names of the order; null for a row that is not compared */
  constructor(order: SurveyOrder, from: { readonly table: string; readonly row: (row: Row) => Row | null }) {
    this.#order = order;
    this.#from = from;
    this.#within = new Set(order.within);
    this.#depth = order.within[0]?.length ?? 0;
    this.#nodes = new NodeGatherer(order.width ?? 0);
  }

  get done(): boolean {
    return this.#done;
  }
  get rows(): number {
    return this.#rows;
  }
  result(): Surveyed {
    const nodes = this.#order.width === null ? new Map() : this.#nodes.digests();
    return { rows: this.#rows, nodes, found: this.#found };
  }

  /** Reads one page. @param key the table's key columns here */
  async step(read: Read, key: readonly string[]): Promise<void> {
    this.#keys ??= key;
    const page = await read.page(this.#from.table, this.#after, PAGE_ROWS);
    for (const row of page) this.#take(row);
    const last = page.at(-1);
    this.#done = page.length < PAGE_ROWS || last === undefined || this.#found.length >= MOST_FOUND;
    if (last) this.#after = Object.fromEntries(this.#keys.map((name) => [name, last[name] ?? null]));
  }

  #take(here: Row): void {
    const row = this.#from.row(here);
    const at = row && placed(this.#order, row);
    if (!row || !at) return;
    this.#rows++;
    if (!lies(at.place, this.#within, this.#depth)) return;
    if (this.#order.width !== null) this.#nodes.add(at);
    else this.#found.push({ ...at, key: keyOf(this.#order, row) });
  }
}

export const keyOf = (table: ComparedTable, row: Row): Row =>
  Object.fromEntries(table.key.map(({ name }) => [name, row[name] ?? null]));
