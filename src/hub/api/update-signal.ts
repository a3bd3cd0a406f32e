/**
 * Where long polls wait for the update log to grow. Whoever appends rings with the audiences it wrote for; only those who
 * wait for one of them wake up, so a price for one store costs nothing at the other nine thousand.
 */
export class UpdateSignal {
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #tell: (audiences: readonly string[]) => void;
  #rings = 0;

  /** @param tell called at each ring of this process that names its audiences: other processes have waiters too */
  constructor(tell: (audiences: readonly string[]) => void = () => undefined) {
    this.#tell = tell;
  }

  /** True while somebody waits. */
  get awaited(): boolean {
    return this.#waiting.size > 0;
  }
  /** How often it was rung. */
  get rings(): number {
    return this.#rings;
  }

  /** @param audiences those written for; null wakes everybody (a drain; another process wrote and did not say for whom) */
  ring(audiences: readonly string[] | null): void {
    this.hear(audiences);
    if (audiences !== null) this.#tell(audiences);
  }

  /** Another process rang. */
  hear(audiences: readonly string[] | null): void {
    this.#rings++;
    for (const audience of audiences ?? [...this.#waiting.keys()]) {
      for (const wake of [...(this.#waiting.get(audience) ?? [])]) wake();
    }
  }

  /**
   * Calls `wake` at each ring for one of the audiences, until disposed. Listen first, then read the log: what is written
   * in between rings too.
   */
  listen(audiences: readonly string[], wake: () => void): Disposable {
    for (const audience of audiences) {
      const wakes = this.#waiting.get(audience) ?? new Set();
      this.#waiting.set(audience, wakes.add(wake));
    }
    return {
      [Symbol.dispose]: () => {
        for (const audience of audiences) {
          const wakes = this.#waiting.get(audience);
          wakes?.delete(wake);
          if (wakes?.size === 0) this.#waiting.delete(audience);
        }
      },
    };
  }
}
