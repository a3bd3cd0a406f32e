/**
 * One user at a time, in the order of asking: the agent's loops share one connection to the database, and calls on a
 * connection must not overlap. A turn is one short transaction, so that no loop waits long for another.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` when everyone who asked before has finished, and gives what it gave; its failure concerns only its caller. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined); // told to whoever took this turn; the next one starts afresh
    return mine;
  }
}
