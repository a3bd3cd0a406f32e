import type { LaneName } from "../base/ids.ts";
import type { OpenExceptions } from "../ledger/open-exceptions.ts";
import type { Claim } from "../ledger/port.ts";
import { OpenIndex } from "./open-index.ts";

/** What is open of a lane and those before it, as it stood before the claim's transaction. */
export type Opened = {
  readonly all: OpenIndex;
  /** Those of them that were refused for a missing parent. */
  readonly orphans: OpenIndex;
  /** See `Claim.open`. */
  readonly older: string;
  /** Of some the ledger does not have what they touch, so that it was read from their lines, or is not known as long as these are gone. */
  readonly isMakeshift: boolean;
};
type Known = Opened & Pick<Claim, "fence" | "version"> & { readonly weight: number; readonly at: number };

/** So many texts of rows are remembered, about 100 bytes each. */
const MOST_TEXTS = 200_000;
/**
 * A lane not claimed within so many claims makes room for others. None does sooner: lanes that are claimed in turn, and are more
 * than fit, would each push out the one that is claimed next.
 */
const IDLE_CLAIMS = 20_000;

/**
 * The open exceptions of lanes as this loader left them, so that a lane with a thousand of them is claimed as quickly as one
 * with none. Believed only when nobody can have changed them since: this loader had the lane's last lease, and the ledger has
 * booked what it did under it.
 */
export class OpenMemory {
  readonly #known = new Map<LaneName, Known>();
  #texts = 0;
  #claims = 0;

  /** @param read asks the ledger; what an exception touches must be known as far as it can be */
  async of(claim: Claim, read: () => Promise<OpenExceptions & Pick<Opened, "isMakeshift">>): Promise<Opened> {
    const { lane, fence, version, open } = claim;
    if (open === null) return nothingOpen();
    const known = this.#known.get(lane);
    if (known && known.fence === fence - 1 && known.version === version && known.older === open) return known;
    const { exceptions, older, isMakeshift } = await read();
    const { all, orphans } = nothingOpen();
    for (const exception of exceptions) {
      all.open(exception.lane, exception.seq, exception.sets);
      if (exception.fault === "PARENT_MISSING") orphans.open(exception.lane, exception.seq, exception.sets);
    }
    return { all, orphans, older, isMakeshift };
  }

  /** The claim's transaction is committed, and left this open. */
  left({ lane, fence }: Claim, version: number, opened: Opened): void {
    this.#claims++;
    this.#forget(lane);
    if (opened.isMakeshift || opened.all.size === 0 || opened.all.isWorn) return;
    const weight = opened.all.weight + opened.orphans.weight;
    for (const [other, { at }] of this.#known) {
      if (this.#texts + weight <= MOST_TEXTS || at > this.#claims - IDLE_CLAIMS) break;
      this.#forget(other);
    }
    if (this.#texts + weight > MOST_TEXTS) return;
    this.#known.set(lane, { ...opened, fence, version, weight, at: this.#claims });
    this.#texts += weight;
  }

  #forget(lane: LaneName): void {
    this.#texts -= this.#known.get(lane)?.weight ?? 0;
    this.#known.delete(lane);
  }
}

const nothingOpen = (): Opened => ({ all: new OpenIndex(), orphans: new OpenIndex(), older: "", isMakeshift: false });
