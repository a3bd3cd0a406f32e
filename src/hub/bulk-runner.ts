import { asWaybillError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Bulks } from "../ledger/exceptions.ts";
import type { Log } from "../observe/log.ts";

/** How often the ledger is asked whether an act on many was started, here or by another hub. */
const LOOK_EVERY_MS = 500;
/** Orders in one transaction: few enough that ingest does not notice it. */
const ORDERS = 50;

/** Works off acts on many messages, a few at a time. What has been done is in the ledger: a hub that ends goes on at its next start. */
export class BulkRunner implements AsyncDisposable {
  readonly #bulks: Bulks;
  readonly #timer: Disposable;
  readonly #onOrdered: () => void;
  #closing = false;
  #running: Promise<void> = Promise.resolve();

  constructor(
    bulks: Bulks,
    { runtime, log, onOrdered }: { runtime: Pick<Runtime, "timers">; log: Log; onOrdered: () => void },
  ) {
    this.#bulks = bulks;
    this.#onOrdered = onOrdered;
    const complain = (thrown: unknown): void => log.warn({ error: asWaybillError(thrown) }, "bulk.failed");
    this.#timer = runtime.timers.every(LOOK_EVERY_MS, () => (this.#running = this.run()), complain);
  }

  /** All that there is to do now. */
  async run(): Promise<void> {
    while (!this.#closing && (await this.#bulks.step(ORDERS))) this.#onOrdered();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    this.#timer[Symbol.dispose]();
    await this.#running.catch(() => undefined); // it was told where it failed
  }
}
