import type { Network } from "../../src/base/network.ts";
import type { Database, LoadTransaction } from "../../src/database/port.ts";

/** The process has died: whoever still runs learns nothing more from the world and does nothing more to it. */
class Crashed extends Error {
  override readonly name = "Crashed";
}

/**
 * Death at one chosen call to the world (database or network): `before` it has any effect, or `after` it had it but nobody
 * heard. Every later call fails without an effect. Calls are counted from 1 in the order they are made.
 */
export class Fate {
  readonly #at: number;
  readonly #when: "before" | "after";
  #calls = 0;
  crashed = false;

  constructor(at: number, when: "before" | "after") {
    this.#at = at;
    this.#when = when;
  }

  get calls(): number {
    return this.#calls;
  }

  async meet<T>(act: () => Promise<T>): Promise<T> {
    if (this.crashed) throw new Crashed();
    const dies = ++this.#calls === this.#at;
    if (dies && this.#when === "before") this.#die();
    try {
      return await act();
    } finally {
      // A failure dies with the process, too; nobody hears of anything any more.
      if (dies || this.crashed) this.#die();
    }
  }

  #die(): never {
    this.crashed = true;
    throw new Crashed();
  }
}

/** The same database, under this fate. A transaction that dies is rolled back, as the engine does when its process is gone. */
export function crashing(database: Database, fate: Fate): Database {
  return {
    engine: database.engine,
    describe: () => fate.meet(() => database.describe()),
    capture: doomed(database.capture, fate),
    load: {
      ...doomed(database.load, fate),
      transaction: (work) =>
        fate.meet(() => database.load.transaction((tx) => work(doomed<LoadTransaction>(tx, fate)))),
    },
    read: doomed(database.read, fate),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

export const crashingNetwork = (network: Network, fate: Fate): Network => doomed(network, fate);

type Method = (...args: unknown[]) => Promise<unknown>;

function doomed<T extends object>(target: T, fate: Fate): T {
  const names = new Set([
    ...Object.keys(target),
    ...Object.getOwnPropertyNames(Object.getPrototypeOf(target) as object),
  ]);
  const methods = [...names].filter(
    (name) => name !== "constructor" && typeof (target as Record<string, unknown>)[name] === "function",
  );
  const bound = methods.map((name) => {
    const method = (target as Record<string, Method>)[name];
    return [name, (...args: unknown[]) => fate.meet(async () => method?.apply(target, args))];
  });
  return Object.fromEntries(bound) as T;
}
