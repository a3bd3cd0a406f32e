import type { Seat, Seats } from "../../src/ledger/seats.ts";
import type { LedgerBytes } from "../../src/ledger/bytes.ts";
import type { Ledger } from "../../src/ledger/port.ts";
import { openSqliteBytes, openSqliteLedger } from "../../src/ledger/sqlite/ledger.ts";
import type { Life } from "./life.ts";

/** The ledger's part of a hub: given to it, or opened by it. */
export type LedgerParts = { readonly ledger: Ledger; readonly bytes: LedgerBytes };

/**
 * One ledger that several hubs work on, as on a server: it outlives each of them, so their leases run out by its clock, and of
 * what one alone does they take turns by seats. Each call of a port is one step of one thread here, so a seat that is looked at
 * before a write is kept through it.
 */
export class SharedLedger implements AsyncDisposable {
  readonly life: Life;
  readonly #parts: LedgerParts;
  readonly #seats = new Map<string, { by: string; fence: number; until: number }>();

  private constructor(life: Life, parts: LedgerParts) {
    this.life = life;
    this.#parts = parts;
  }

  static async open(path: string, life: Life): Promise<SharedLedger> {
    const ledger = await openSqliteLedger(path, life.runtime);
    return new SharedLedger(life, { ledger, bytes: await openSqliteBytes(path, life.runtime) });
  }

  /** As one hub sees it: what it ends is its own connection, not the ledger. */
  connect(): LedgerParts {
    const { ledger, bytes } = this.#parts;
    const [asyncDispose, updates] = [async () => undefined, ledger.updates];
    return {
      ledger: {
        ...ledger,
        seats: this.#port(),
        updates: {
          ...updates,
          forward: async (source, after, through, entries, seat) =>
            (seat === undefined || this.#holds(seat)) && updates.forward(source, after, through, entries),
        },
        [Symbol.asyncDispose]: asyncDispose,
      },
      bytes: { ...bytes, [Symbol.asyncDispose]: asyncDispose },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.bytes[Symbol.asyncDispose]();
    await this.#parts.ledger[Symbol.asyncDispose]();
  }

  #holds({ name, fence }: Seat): boolean {
    return this.#seats.get(name)?.fence === fence;
  }
  #port(): Seats {
    const elapsed = (): number => this.life.runtime.clock.elapsed();
    return {
      take: async (name, worker, leaseMs) => {
        const held = this.#seats.get(name) ?? { by: "", fence: 0, until: 0 };
        if (held.by !== worker && held.until > elapsed()) return null;
        const fence = held.fence + (held.by === worker ? 0 : 1);
        this.#seats.set(name, { by: worker, fence, until: elapsed() + leaseMs });
        return { name, fence };
      },
      leave: async (seat) => {
        if (this.#holds(seat)) this.#seats.set(seat.name, { by: "", fence: seat.fence, until: 0 });
      },
    };
  }
}
