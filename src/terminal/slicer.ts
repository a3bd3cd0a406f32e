import { updateId, type UpdateId } from "../base/ids.ts";
import type { Cursor } from "../database/port.ts";
import type { Change } from "../message/change.ts";
import { placeOf } from "../wire/updates.ts";
import { rowName } from "./plan-updates.ts";

/** One entry of the update log as it came. Neighbours with the same `tx` are parts of one central transaction. */
export type Entry = { readonly id: UpdateId; readonly tx: string; readonly changes: readonly Change[] };
/** What one answer of the hub brought. */
export type Batch = {
  readonly updates: readonly Entry[];
  readonly through: UpdateId;
  readonly cut: boolean;
  /** Of all that lies between where it was asked from and `through`. */
  readonly strand: string | null;
};
export type SlicedChange = { readonly id: UpdateId; readonly change: Change };

/**
 * Cuts a batch of updates into slices for short local transactions, from where the cursor stands. Central transactions
 * stay whole as long as they fit a slice; a larger one is cut, and the cursor then stands inside its entry.
 *
 * A cursor inside entry `e` is written as `{id: e − 1, changes}`: ids have holes, so "the entry after it" is then `e` and no
 * other, even if the terminal left the audience meanwhile and `e` is not sent again.
 */
export class Slicer {
  readonly #entries: readonly Entry[];
  readonly #through: UpdateId;
  readonly #cut: boolean;
  readonly #strand: string | null;
  #cursor: Cursor;
  #next: Place = { index: 0, offset: 0 };

  /** @param batch the hub attests that the entries are all there are for us after the cursor, up to `through`; `cut`: of the last one's transaction there may be more */
  constructor({ updates, through, cut, strand }: Batch, from: Cursor) {
    this.#entries = withLastStates(
      updates.filter((entry) => entry.id > from.id && !wasApplied(entry.tx, from.seen)),
      from.inside,
    );
    this.#through = through;
    this.#cut = cut;
    this.#strand = strand;
    this.#cursor = from;
    const first = this.#entries[0];
    const done = first?.id === from.id + 1 ? Math.min(from.changes, first.changes.length) : 0;
    this.#next = this.#after(done);
  }

  /** Where the cursor stands when all that was taken has taken effect. */
  get cursor(): Cursor {
    return this.#cursor;
  }
  get done(): boolean {
    return this.#next.index >= this.#entries.length;
  }

  /** The next changes, at most `rows` of them; they are given again until `take`. */
  peek(rows: number): readonly SlicedChange[] {
    const slice: SlicedChange[] = [];
    let { offset } = this.#next;
    for (let index = this.#next.index; index < this.#entries.length && slice.length < rows; index++) {
      const entry = this.#entries[index];
      if (entry === undefined) break;
      const room = rows - slice.length;
      const begins = slice.length > 0 && entry.tx !== this.#entries[index - 1]?.tx;
      if (begins && this.#sizeFrom(index) > room) break;
      for (const change of entry.changes.slice(offset, offset + room)) slice.push({ id: entry.id, change });
      offset = 0;
    }
    return slice;
  }

  /** The cursor that says that the next `count` changes have taken effect, too. */
  cursorAfter(count: number): Cursor {
    const { index, offset } = this.#after(count);
    const entry = this.#entries[index];
    const of = { ...this.#transactionsBefore({ index, offset }), strand: this.#strand };
    return entry === undefined
      ? { id: this.#through, changes: 0, ...of }
      : { id: updateId(entry.id - 1), changes: offset, ...of };
  }

  /** Of the centre's transactions: which is the last that is wholly before this place, and which one the place is in. */
  #transactionsBefore({ index, offset }: Place): Pick<Cursor, "seen" | "inside"> {
    let { seen, inside } = this.#cursor;
    for (const { tx } of this.#entries.slice(this.#next.index, offset > 0 ? index + 1 : index)) {
      if (inside !== null && tx !== inside) [seen, inside] = [inside, null];
      if (placeOf(tx)) inside = tx;
    }
    const next = this.#entries[index];
    const goesOn = next === undefined ? this.#cut : next.tx === inside;
    return inside === null || goesOn ? { seen, inside } : { seen: inside, inside: null };
  }

  /** The next `count` changes have taken effect. */
  take(count: number): void {
    this.#cursor = this.cursorAfter(count);
    this.#next = this.#after(count);
  }

  /** The place `count` changes on; never at the end of an entry, but at the start of the next. */
  #after(count: number): Place {
    let { index, offset } = this.#next;
    offset += count;
    for (
      let entry = this.#entries[index];
      entry !== undefined && offset >= entry.changes.length;
      entry = this.#entries[index]
    ) {
      offset -= entry.changes.length;
      index += 1;
    }
    return { index, offset };
  }

  /** Changes of the central transaction that begins with this entry. */
  #sizeFrom(index: number): number {
    const tx = this.#entries[index]?.tx;
    let size = 0;
    for (let i = index; i < this.#entries.length && this.#entries[i]?.tx === tx; i++)
      size += this.#entries[i]?.changes.length ?? 0;
    return size;
  }
}

/**
 * A restored log gives again, under new ids, what it had given before: state that was newer here would go back. The numbers of
 * the centre's lane tell what has taken effect wholly.
 */
function wasApplied(tx: string, seen: string | null): boolean {
  const [is, was] = [placeOf(tx), seen === null ? null : placeOf(seen)];
  return is !== null && was !== null && is.lane === was.lane && is.number <= was.number;
}

/**
 * A transaction that the cursor stood in when the log was restored comes again from its beginning. Updates carry state, so each
 * change of a row in it stands for the row's last one there: whatever slice ends where, no row goes back. As many changes as
 * before, since cursors count them. A row that changes its key needs its changes as they are.
 */
function withLastStates(entries: readonly Entry[], inside: string | null): readonly Entry[] {
  const again = entries.filter(({ tx }) => tx === inside).flatMap(({ changes }) => changes);
  if (again.length === 0 || again.some(({ op }) => op === "update")) return entries;
  const last = new Map(again.map((change) => [rowName(change.table, change.key), change]));
  return entries.map((entry) =>
    entry.tx === inside
      ? { ...entry, changes: entry.changes.map((change) => last.get(rowName(change.table, change.key)) ?? change) }
      : entry,
  );
}

/** The change at `offset` of entry `index` is the next. */
type Place = { readonly index: number; readonly offset: number };
