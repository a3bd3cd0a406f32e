import { WaybillError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Log } from "../../observe/log.ts";
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
  #inFlight = 0;
  #draining = false;
  #full: WaybillError | null = null;
  readonly #timer: Disposable | null = null;

  constructor(
    limits: HubSettings["limits"],
    runtime: Runtime,
    log: Log,
    capacity: (() => Promise<Capacity>) | undefined,
  ) {
    this.#limits = limits;
    this.#log = log;
    if (capacity) {
      const look = async (): Promise<void> => this.#judge(await capacity());
      this.#timer = runtime.timers.every(LOOK_EVERY_MS, look, (thrown) =>
        log.warn({ error: thrown }, "capacity.unknown"),
      );
    }
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
    if (this.#full) throw this.#full;
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #judge({ backlogBytes, freeDiskBytes }: Capacity): void {
    const before = this.#full?.code ?? null;
    this.#full = fullness(backlogBytes, freeDiskBytes, this.#limits);
    const now = this.#full?.code ?? null;
    if (now !== before)
      this.#log.warn({ backlogBytes, freeDiskBytes }, now === null ? "ingest.resumed" : "ingest.refusing");
  }
}

function fullness(backlogBytes: number, freeDiskBytes: number, limits: HubSettings["limits"]): WaybillError | null {
  if (freeDiskBytes < limits.freeDiskBytes) {
    return new WaybillError("UNAVAILABLE", "the hub's disk is nearly full", { facts: { retryAfterSeconds: 60 } });
  }
  if (backlogBytes > limits.backlogBytes) {
    return new WaybillError("OVERLOADED", "too much waits to be loaded already", { facts: { retryAfterSeconds: 15 } });
  }
  return null;
}
