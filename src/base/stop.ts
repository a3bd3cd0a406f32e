/**
 * One orderly end for a process: loops watch `signal` and finish what they began; whatever was opened is closed in
 * the reverse order of its registration. A second request to stop changes nothing; the process may be killed at any point.
 */
export class Stop {
  readonly #abort = new AbortController();
  readonly #closers: { what: string; close: () => Promise<void> | void }[] = [];
  #ending: Promise<void> | null = null;
  #onError: (what: string, thrown: unknown) => void = () => undefined;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }
  get requested(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Registers what must be closed at the end; the last registered is closed first. Once the end has begun it is closed at once. */
  onClose(what: string, close: () => Promise<void> | void): void {
    this.#closers.push({ what, close });
    this.#ending &&= this.#ending.then(() => this.#closeAll());
  }

  /** Raises the signal, then closes everything; `onError` hears of each closer that failed, and the rest go on. */
  async end(onError: (what: string, thrown: unknown) => void): Promise<void> {
    if (!this.#ending) {
      this.#onError = onError;
      this.#abort.abort();
      this.#ending = this.#closeAll();
    }
    return this.#ending;
  }

  async #closeAll(): Promise<void> {
    for (let next = this.#closers.pop(); next; next = this.#closers.pop()) {
      try {
        await next.close();
      } catch (thrown) {
        this.#onError(next.what, thrown);
      }
    }
  }
}
