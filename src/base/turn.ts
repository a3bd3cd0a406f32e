/** Lets one caller through at a time, in the order they came. A turn that fails is over like any other. */
export class Turn {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    // The next caller waits for the end of this one, not for its success: the failure is told to whoever called.
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
