import type { Row } from "./change.ts";
import type { TableOrder } from "./order.ts";

/** One row's write, decided; see `Effect` of the database port, which has the same members. */
export type Write = {
  readonly table: string;
  readonly kind: "insert" | "keep" | "upsert" | "update" | "delete";
  readonly key: Row;
  readonly row?: Row;
  readonly origin: string | null;
};
/** A write and the messages it was made of, by their index in the batch. */
export type NetWrite = { readonly write: Write; readonly sources: readonly number[] };

/** What one row has so far: what is to be written, and whether it is deleted afterwards. */
type Entry = {
  /** The row's canonical key, and its table's rank among the tables. */
  readonly text: string;
  readonly rank: number;
  write: Write | null;
  writers: readonly number[];
  remove: Write | null;
  removers: readonly number[];
};
const NOBODY: readonly number[] = [];

type Ranked = { readonly rank: number; readonly text: string; readonly net: NetWrite };

/**
 * The net effect of many messages, gathered row by row: fifty price changes of one article become one write. It is made so
 * that a round the database takes whole leaves what the messages would have left one by one. What one write cannot tell (a
 * row deleted and then made again) does not fit into the round: the caller applies it and begins a new one.
 */
export class Round {
  readonly #order: TableOrder;
  readonly #inOrder: (table: string) => boolean;
  readonly #rows = new Map<string, Entry>();
  readonly #loose: Ranked[] = [];
  readonly #ranksWithDeletes = new Set<number>();

  /** @param inOrder tables whose changes are kept as they are, in the order they came: others' triggers see each of them */
  constructor(order: TableOrder, inOrder: (table: string) => boolean) {
    this.#order = order;
    this.#inOrder = inOrder;
  }

  /**
   * Takes the write in.
   * @param text the row's canonical key
   * @param sources the messages it comes from, ascending, none below those of earlier calls for the row
   * @returns false when it does not fit: nothing was taken, begin a new round with it
   */
  add(text: string, write: Write, sources: readonly number[]): boolean {
    if (this.#inOrder(write.table)) return this.#addLoose(text, write, sources);
    const entry = this.#rows.get(text);
    if (!entry) {
      const rank = this.#order.ranks.get(write.table) ?? 0;
      const isDelete = write.kind === "delete";
      this.#rows.set(text, {
        text,
        rank,
        write: isDelete ? null : write,
        writers: isDelete ? NOBODY : sources,
        remove: isDelete ? write : null,
        removers: isDelete ? sources : NOBODY,
      });
      return true;
    }
    if (write.kind === "delete") {
      entry.remove = entry.remove ? withOrigin(entry.remove, write) : write;
      entry.removers = joined(entry.removers, sources);
      return true;
    }
    if (entry.remove || !entry.write || !mayFollow(entry.write, write)) return false;
    // Of rows that are only kept the first stands, as it would at the centre.
    const row = write.kind === "keep" ? entry.write.row : { ...entry.write.row, ...write.row };
    entry.write = { ...withOrigin(entry.write, write), ...(row && { row }) };
    entry.writers = joined(entry.writers, sources);
    return true;
  }

  /** All writes in the order to apply them: parents before children, deletes last and children first, by key within a table. */
  writes(): NetWrite[] {
    const ups: Ranked[] = [];
    const downs: Ranked[] = [];
    for (const { text, rank, write, writers, remove, removers } of this.#rows.values()) {
      if (write) ups.push({ rank, text, net: { write, sources: writers } });
      if (remove) downs.push({ rank, text, net: { write: remove, sources: removers } });
    }
    for (const loose of this.#loose) (loose.net.write.kind === "delete" ? downs : ups).push(loose);
    // The sort is stable, so rows of a table that keeps its order stay as they came.
    const byKey = (a: Ranked, b: Ranked): number =>
      this.#inOrder(a.net.write.table) || a.text === b.text ? 0 : a.text < b.text ? -1 : 1;
    ups.sort((a, b) => a.rank - b.rank || byKey(a, b));
    downs.sort((a, b) => b.rank - a.rank || byKey(a, b));
    return [...ups, ...downs].map(({ net }) => net);
  }

  #addLoose(text: string, write: Write, sources: readonly number[]): boolean {
    const rank = this.#order.ranks.get(write.table) ?? 0;
    // Deletes are applied after writes; a write that came after a delete would be pulled before it.
    if (write.kind !== "delete" && this.#ranksWithDeletes.has(rank)) return false;
    if (write.kind === "delete") this.#ranksWithDeletes.add(rank);
    this.#loose.push({ rank, text, net: { write, sources } });
    return true;
  }
}

/** May the two writes be one, refused exactly when the first would be? An insert after anything needs the row absent: no. */
function mayFollow(first: Write, next: Write): boolean {
  if (first.kind === "keep" || next.kind === "keep") return first.kind === next.kind;
  return next.kind !== "insert";
}

/** A row written on behalf of several origins has none: all of them must hear of the result. */
const withOrigin = (first: Write, next: Write): Write =>
  first.origin === next.origin ? first : { ...first, origin: null };

/** Both, each once; `sources` ascend and are none below the last that is known. Lists are shared, so never changed. */
function joined(known: readonly number[], sources: readonly number[]): readonly number[] {
  if (known.length === 0) return sources;
  const fresh = sources.filter((source, at) => source !== (sources[at - 1] ?? known.at(-1)));
  return fresh.length === 0 ? known : [...known, ...fresh];
}
