import type { TerminalId } from "../../base/ids.ts";
import type { Metrics } from "../../observe/metrics.ts";

/** Terminals that are told apart. A metric must not grow with the fleet: those beyond count together. */
const TOLD_APART = 500;

/** Faults by code and terminal: the till that was set up wrongly stands out among thousands. */
export class FaultCounts {
  readonly #metrics: Metrics;
  readonly #seen = new Set<TerminalId>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** @param terminal null when nobody signed in: a name alone is not believed, or anybody could fill the list */
  count(code: string, terminal: TerminalId | null): void {
    if (terminal !== null && this.#seen.size < TOLD_APART) this.#seen.add(terminal);
    const named = terminal === null ? "none" : this.#seen.has(terminal) ? terminal : "others";
    this.#metrics.add("waybill_soap_faults_total", 1, { code, terminal: named });
  }
}
