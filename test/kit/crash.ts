/** The process "died" here. Whatever catches it cannot go on: from then on every call of the world throws it. */
export class Crash extends Error {
  override readonly name = "Crash";
}
export type Moment = "before" | "after";

/**
 * A world that can be killed at any step of its ports: wraps objects of async methods so that the n-th call throws
 * instead of being made (`before`), or after it was made, its answer lost (`after`). Every later call throws too, so
 * nothing else has an effect; a transaction that is open then is rolled back, as a dead process's is.
 */
export class CrashWorld {
  readonly #at: number;
  readonly #moment: Moment;
  #calls = 0;
  /** The call at which it died, by its path: `work.settle`. */
  diedAt: string | null = null;

  /** @param at number of the call, from 1; Infinity: never */
  constructor(at: number, moment: Moment) {
    this.#at = at;
    this.#moment = moment;
  }

  get calls(): number {
    return this.#calls;
  }

  /** The same object, mortal. Members that are objects are wrapped as well; so is what a method gives to a callback. */
  mortal<T extends object>(object: T, path = ""): T {
    return new Proxy(object, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        const named = path === "" ? String(name) : `${path}.${String(name)}`;
        if (isMethod(member)) {
          if (typeof name === "symbol") return (...args: unknown[]) => member.apply(target, args);
          return (...args: unknown[]) =>
            this.#call(named, () =>
              member.apply(
                target,
                args.map((each) => this.#callback(each, named)),
              ),
            );
        }
        return typeof member === "object" && member !== null ? this.mortal(member, named) : member;
      },
    });
  }

  #callback(given: unknown, path: string): unknown {
    if (!isMethod(given)) return given;
    const mortal = (each: unknown): unknown =>
      typeof each === "object" && each !== null ? this.mortal(each, path) : each;
    return (...args: unknown[]) => given(...args.map(mortal));
  }

  async #call(path: string, make: () => unknown): Promise<unknown> {
    this.#live(path);
    const mine = ++this.#calls === this.#at;
    if (mine && this.#moment === "before") this.#die(path);
    const answer = await make();
    if (mine) this.#die(path);
    this.#live(path);
    return answer;
  }

  #live(path: string): void {
    if (this.diedAt !== null) throw new Crash(`${path} after the end at ${this.diedAt}`);
  }
  #die(path: string): never {
    this.diedAt = `${path} (call ${this.#at}, ${this.#moment})`;
    throw new Crash(this.diedAt);
  }
}

type Method = (...args: unknown[]) => unknown;
const isMethod = (member: unknown): member is Method => typeof member === "function";
