import type { Instant } from "../../base/clock.ts";
import type { HubApiParts } from "./parts.ts";

/** The ledger is asked at most this often, however many Prometheus servers look. */
const FRESH_MS = 2_000;

/** How things stand, for `/metrics`: what no process counts, but the ledger knows for all of them. */
export class Standing {
  readonly #parts: Pick<HubApiParts, "ledger" | "metrics" | "runtime">;
  #asked: Promise<void> | null = null;
  #askedAt = 0 as Instant;

  constructor(parts: Pick<HubApiParts, "ledger" | "metrics" | "runtime">) {
    this.#parts = parts;
  }

  /** Sets the gauges. A ledger that does not answer leaves them as they were: the page must tell of the rest all the same. */
  async refresh(): Promise<void> {
    const now = this.#parts.runtime.clock.now();
    if (this.#asked === null || now - this.#askedAt >= FRESH_MS) {
      this.#askedAt = now;
      this.#asked = this.#ask().catch(() => undefined);
    }
    await this.#asked;
  }

  async #ask(): Promise<void> {
    const { ledger, metrics, runtime } = this.#parts;
    const { backlog, oldestReceivedAt, retrying, held, dead, terminals } = await ledger.trail.overview();
    const oldestMs = oldestReceivedAt === null ? 0 : Math.max(0, runtime.clock.now() - oldestReceivedAt);
    metrics.set("waybill_backlog_messages", backlog, {});
    metrics.set("waybill_backlog_oldest_seconds", oldestMs / 1_000, {});
    for (const [state, count] of Object.entries({ retrying, held, dead }))
      metrics.set("waybill_exceptions_open", count, { state });
    metrics.set("waybill_terminals_enrolled", terminals, {});
  }
}
