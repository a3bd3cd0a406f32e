import type { WorkerId } from "../base/ids.ts";

/** A task that one process has taken for all. The fence grows when it changes hands. */
export type Seat = { readonly name: string; readonly fence: number };
export interface Seats {
  /** Takes the seat, or prolongs it when it is this worker's; null while it is another's. The store's clock counts. */
  take(name: string, worker: WorkerId, leaseMs: number): Promise<Seat | null>;
  /** Gives it up before its time; nothing when another has it. */
  leave(seat: Seat): Promise<void>;
}
