import type { ClaimLimit } from "../ledger/port.ts";
import type { HubSettings } from "./settings.ts";

/** One batch is one central transaction: this many messages commit as cheaply each as more would, and wait less for it. */
const BATCH_MESSAGES = 2_000;
const BATCH_BYTES = 8 * 1024 * 1024;
/** So small a share of a batch is worth a lane's claim. */
const LEAST_MESSAGES = 16;
const LEAST_BYTES = 64 * 1024;

/**
 * How much of how many lanes to claim, so that a batch stays of one size whether a single lane has a backlog or all of them do:
 * the share of a lane is what the last claims leave for it, and no more lanes are taken than have room at that share. Memory and
 * the wait for a commit are bounded by it.
 */
export class BatchSize {
  readonly #settings: HubSettings["processor"];
  /** How many lanes are expected to have something. */
  #lanes: number;

  constructor(settings: HubSettings["processor"]) {
    this.#settings = settings;
    this.#lanes = settings.lanesPerBatch; // until it is known better: a start with everybody's backlog is the worst case
  }

  get next(): ClaimLimit {
    const { lanesPerBatch, messagesPerLane, bytesPerLane } = this.#settings;
    const share = (of: number, least: number): number => Math.max(least, Math.floor(of / this.#lanes));
    const messages = Math.min(messagesPerLane, share(BATCH_MESSAGES, LEAST_MESSAGES));
    const bytes = Math.min(bytesPerLane, share(BATCH_BYTES, LEAST_BYTES));
    const room = Math.min(Math.floor(BATCH_MESSAGES / messages), Math.floor(BATCH_BYTES / bytes));
    return { lanes: Math.max(1, Math.min(lanesPerBatch, room)), messages, bytes };
  }

  /** Doubles when all that had room were taken, for then there may be more; shrinks by halves, so that one short claim changes little. */
  claimed(lanes: number): void {
    const { lanesPerBatch } = this.#settings;
    const expected = lanes >= this.next.lanes ? Math.min(lanesPerBatch, 2 * lanes) : lanes;
    this.#lanes = Math.max(1, expected, Math.floor(this.#lanes / 2));
  }
}
