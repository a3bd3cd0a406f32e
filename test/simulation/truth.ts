export type Sale = {
  /** Below 0 the centre refuses it; a person mends it to its positive. */
  readonly total: number;
  readonly rev: number;
  readonly amount: string;
  readonly big: bigint | null;
  readonly note: string | null;
  readonly seal: Uint8Array | null;
  readonly lines: readonly { readonly item: string; readonly quantity: number }[];
};

/** What was committed where, by whoever committed it: kept apart from all that Waybill does and knows. */
export class Truth {
  readonly #sales = new Map<string, Map<string, Sale>>();
  readonly #ever = new Set<string>();
  /** Sales and items that a discarded message touched: the centre may lack part of their history, and nobody promises else. */
  readonly loose = new Set<string>();
  readonly prices = new Map<string, { price: string; rev: number }>();
  readonly stores = new Map<string, { name: string; rev: number }>();
  transactions = 0;

  /** Nothing is promised any more about any sale there was, nor about any item. */
  loosenAll(): void {
    for (const name of [...this.#ever, ...this.prices.keys()]) this.loose.add(name);
  }

  /** What the office wrote, for when the centre is restored to this moment. */
  office(): () => void {
    const [prices, stores] = [new Map(this.prices), new Map(this.stores)];
    return () => {
      for (const [item, priced] of prices) this.prices.set(item, priced);
      for (const [store, named] of stores) this.stores.set(store, named);
    };
  }

  of(till: string): ReadonlyMap<string, Sale> {
    return this.#till(till);
  }
  existed(sale: string): boolean {
    return this.#ever.has(sale);
  }
  committed(till: string, id: string, sale: Sale | null): void {
    this.transactions++;
    this.#ever.add(id);
    if (sale) this.#till(till).set(id, sale);
    else this.#till(till).delete(id);
  }

  #till(till: string): Map<string, Sale> {
    const own = this.#sales.get(till) ?? new Map<string, Sale>();
    this.#sales.set(till, own);
    return own;
  }
}
