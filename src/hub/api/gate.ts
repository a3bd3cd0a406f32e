import { WaybillError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Log } from "../../observe/log.ts";
import type { Metrics } from "../../observe/metrics.ts";
import type { HubSettings } from "../settings.ts";
import type { Capacity } from "./parts.ts";

/** How often the backlog and the disk are looked at. */
const LOOK_EVERY_MS = 1_000;
/** Bodies in memory at once, as a multiple of the largest one allowed. */
const BODIES_AT_ONCE = 16;

export interface Hold extends Disposable {
  /** @throws OVERLOADED when all requests together would hold too much; nothing was added then */
  grow(bytes: number): void;
}

/** Says no before memory, disk or backlog are exhausted (I10). A refusal costs nothing and stores nothing. */
export class Gate implements Disposable {
  readonly #limits: HubSettings["limits"];
  readonly #log: Log;
  readonly #metrics: Metrics;
  #inFlight = 0;
  #draining = false;
  #full: Full | null = null;
  readonly #timer: Disposable;

  constructor(
    limits: HubSettings["limits"],
    runtime: Runtime,
    { log, metrics }: { readonly log: Log; readonly metrics: Metrics },
    capacity: () => Promise<Capacity>,
  ) {
    this.#limits = limits;
    this.#log = log;
    this.#metrics = metrics;
    const look = async (): Promise<void> => this.#judge(await capacity());
    this.#timer = runtime.timers.every(LOOK_EVERY_MS, look, (thrown) =>
      log.warn({ error: thrown }, "capacity.unknown"),
    );
  }

  get draining(): boolean {
    return this.#draining;
  }
  get inFlightBytes(): number {
    return this.#inFlight;
  }

  /** From now on every new request is refused; those within go on. */
  drain(): void {
    this.#draining = true;
  }

  /** @throws UNAVAILABLE while draining */
  mayEnter(): void {
    if (this.#draining)
      throw new WaybillError("UNAVAILABLE", "the hub is shutting down", { facts: { retryAfterSeconds: 2 } });
  }

  /** An account of the memory one request holds, ended by disposing of it. */
  hold(): Hold {
    let mine = 0;
    return {
      grow: (bytes) => {
        // One request always fits, or a limit set too small would lock everybody out.
        if (this.#inFlight > mine && this.#inFlight + bytes > this.#limits.bodyBytes * BODIES_AT_ONCE) {
          throw new WaybillError("OVERLOADED", `${this.#inFlight} bytes of requests are in work already`, {
            facts: { retryAfterSeconds: 1 },
          });
        }
        mine += bytes;
        this.#inFlight += bytes;
      },
      [Symbol.dispose]: () => {
        this.#inFlight -= mine;
        mine = 0;
      },
    };
  }

  /** @throws OVERLOADED or UNAVAILABLE while the backlog or the disk does not allow to store more */
  mayStore(): void {
    if (this.#full) throw this.#full.error;
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #judge(capacity: Capacity): void {
    const before = this.#full?.why ?? null;
    this.#full = fullness(capacity, this.#limits, before);
    const now = this.#full?.why ?? null;
    for (const why of FULL) this.#metrics.set("waybill_ingest_refusing", why === now ? 1 : 0, { why });
    if (now !== before) this.#log.warn({ ...capacity, why: now }, now === null ? "ingest.resumed" : "ingest.refusing");
  }
}

const FULL = ["disk", "ledger", "backlog"] as const;
type Full = { readonly why: (typeof FULL)[number]; readonly error: WaybillError };
/** What is refused goes on only when there is so much more room than the bound, so that it does not come and go with every batch. */
const SLACK = 0.05;

function fullness(
  { backlogBytes, freeDiskBytes, ledgerBytes = 0 }: Capacity,
  limits: HubSettings["limits"],
  before: Full["why"] | null,
): Full | null {
  const full = (why: Full["why"], code: "UNAVAILABLE" | "OVERLOADED", what: string, after: number): Full => ({
    why,
    error: new WaybillError(code, what, { facts: { retryAfterSeconds: after } }),
  });
  const floor = limits.freeDiskBytes * (before === "disk" ? 1 + SLACK : 1);
  if (freeDiskBytes < floor)
    return full("disk", "UNAVAILABLE", `the hub's disk is nearly full: ${mib(freeDiskBytes)} free`, 30);
  const ceiling = (limits.ledgerBytes ?? Infinity) * (before === "ledger" ? 1 - SLACK : 1);
  if (ledgerBytes > ceiling)
    return full("ledger", "UNAVAILABLE", `the hub's ledger has reached its size: ${mib(ledgerBytes)}`, 30);
  if (backlogBytes > limits.backlogBytes * (before === "backlog" ? 1 - SLACK : 1))
    return full("backlog", "OVERLOADED", `too much waits to be loaded already: ${mib(backlogBytes)}`, 15);
  return null;
}

const mib = (bytes: number): string => `${(bytes / 1_048_576).toFixed(0)} MiB`;
