import type { ClaimLimit } from "../ledger/port.ts";
import type { HubSettings } from "./settings.ts";

/** One batch is one central transaction: this many messages commit as cheaply each as more would, and wait less for it. */
const BATCH_MESSAGES = 2_000;
const BATCH_BYTES = 8 * 1024 * 1024;
/** So small a share of a batch is worth a lane's claim. */
const LEAST_MESSAGES = 16;
const LEAST_BYTES = 64 * 1024;

/**
 * How much of each lane to claim, so that a batch stays of one size whether a single lane has a backlog or all of them do:
 * the share of a lane is what the last claims leave for it. Memory and the wait for a commit are bounded by it.
 */
export class BatchSize {
  readonly #settings: HubSettings["processor"];
  #lanes: number;

  constructor(settings: HubSettings["processor"]) {
    this.#settings = settings;
    this.#lanes = settings.lanesPerBatch; // until it is known better: a start with everybody's backlog is the worst case
  }

  get next(): ClaimLimit {
    const { lanesPerBatch, messagesPerLane, bytesPerLane } = this.#settings;
    const share = (of: number, least: number): number => Math.max(least, Math.floor(of / Math.max(1, this.#lanes)));
    return {
      lanes: lanesPerBatch,
      messages: Math.min(messagesPerLane, share(BATCH_MESSAGES, LEAST_MESSAGES)),
      bytes: Math.min(bytesPerLane, share(BATCH_BYTES, LEAST_BYTES)),
    };
  }

  /** Follows growth at once and shrinks by halves, so that a short claim between long ones does not make a huge one. */
  claimed(lanes: number): void {
    this.#lanes = Math.max(lanes, Math.floor(this.#lanes / 2));
  }
}
