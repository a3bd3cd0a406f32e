/**
 * One orderly end for a process: loops watch `signal` and finish what they began; whatever was opened is closed in
 * the reverse order of its registration. A second request to stop changes nothing; the process may be killed at any point.
 */
export class Stop {
  readonly #abort = new AbortController();
  readonly #closers: { what: string; close: () => Promise<void> | void }[] = [];
  #ending: Promise<void> | null = null;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }
  get requested(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Registers what must be closed at the end; the last registered is closed first. */
  onClose(what: string, close: () => Promise<void> | void): void {
    this.#closers.push({ what, close });
  }

  /** Raises the signal, then closes everything; `onError` hears of each closer that failed, and the rest go on. */
  async end(onError: (what: string, thrown: unknown) => void): Promise<void> {
    this.#ending ??= (async () => {
      this.#abort.abort();
      for (const { what, close } of this.#closers.toReversed()) {
        try {
          await close();
        } catch (thrown) {
          onError(what, thrown);
        }
      }
    })();
    return this.#ending;
  }
}
