import { asWaybillError } from "../base/errors.ts";
import type { Runtime, Timers } from "../base/runtime.ts";
import type { Bulks } from "../ledger/exceptions.ts";
import type { Log } from "../observe/log.ts";

/** How often the ledger is asked whether an act on many was started, here or by another hub. */
const LOOK_EVERY_MS = 500;
/** Orders in one transaction, and the rest until the next: ingest does not notice it, however many messages an act is on. */
export const BULK_ORDERS = 50;
export const BULK_REST_MS = 7;

/** Works off acts on many messages, a few at a time. What has been done is in the ledger: a hub that ends goes on at its next start. */
export class BulkRunner implements AsyncDisposable {
  readonly #bulks: Bulks;
  readonly #timer: Disposable;
  readonly #onOrdered: () => void;
  readonly #timers: Timers;
  readonly #closing = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(
    bulks: Bulks,
    { runtime, log, onOrdered }: { runtime: Pick<Runtime, "timers">; log: Log; onOrdered: () => void },
  ) {
    this.#bulks = bulks;
    this.#onOrdered = onOrdered;
    this.#timers = runtime.timers;
    const complain = (thrown: unknown): void => log.warn({ error: asWaybillError(thrown) }, "bulk.failed");
    this.#timer = runtime.timers.every(LOOK_EVERY_MS, () => (this.#running = this.run()), complain);
  }

  /** All that there is to do now. */
  async run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted && (await this.#bulks.step(BULK_ORDERS))) {
      this.#onOrdered();
      await this.#timers.sleep(BULK_REST_MS, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#timer[Symbol.dispose]();
    await this.#running.catch(() => undefined); // it was told where it failed
  }
}
