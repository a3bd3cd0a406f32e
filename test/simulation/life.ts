import { instant, type Clock } from "../../src/base/clock.ts";
import type { Network } from "../../src/base/network.ts";
import type { Runtime, Timers } from "../../src/base/runtime.ts";
import type { Log } from "../../src/observe/log.ts";
import { WaybillError, type FaultCode } from "../../src/base/errors.ts";
import type { Dice } from "./dice.ts";
import type { Scheduler } from "./scheduler.ts";

/** 2026-06-01T00:00:00Z: where wall clocks stand at the beginning. */
export const EPOCH_MS = 1_780_272_000_000;
const NEVER = new Promise<never>(() => undefined);

/** What may go wrong at a call of a port. Chances per call; 0 when the seed has drawn none of that kind. */
export type CallFaults = {
  /** The call is never made. */
  readonly fails: number;
  /** It is made, and its answer is a failure: nobody knows what happened. */
  readonly answerLost: number;
  /** It takes up to `slowMs`. */
  readonly slow: number;
  readonly slowMs: number;
  readonly code: FaultCode;
};
export type Surroundings = {
  readonly scheduler: Scheduler;
  readonly dice: Dice;
  readonly network: Network;
  readonly log: Log;
};

/**
 * One process, from its start until it is killed. Whatever its code waits for, it waits for here; once it is dead no wait of
 * it ever ends, which is how the rest of the world sees a killed process.
 */
export class Life {
  readonly name: string;
  readonly runtime: Runtime;
  readonly log: Log;
  #alive = true;
  #frozenUntil = 0;
  /** Wall clock minus true time, in milliseconds. */
  skewMs: number;
  /** Off: the world is being healed. */
  faulty = true;
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;

  constructor(name: string, skewMs: number, { scheduler, dice, network, log }: Surroundings) {
    this.name = name;
    this.skewMs = skewMs;
    this.#scheduler = scheduler;
    this.#dice = dice;
    this.log = log;
    const clock: Clock = {
      now: () => instant(EPOCH_MS + scheduler.nowMs + this.skewMs),
      elapsed: () => scheduler.nowMs,
    };
    this.runtime = { clock, timers: this.#timers(), random: dice, network };
  }

  get alive(): boolean {
    return this.#alive;
  }
  kill(): void {
    this.#alive = false;
  }
  /** The process stands still (a paused machine, a long collection) and then goes on as if nothing had been. */
  freeze(ms: number): void {
    this.#frozenUntil = this.#scheduler.nowMs + ms;
  }

  /** Ends a wait now, or when the process can run again; never when it is dead. */
  #resume(label: string, act: () => void): void {
    if (!this.#alive) return;
    const rest = this.#frozenUntil - this.#scheduler.nowMs;
    if (rest <= 0) act();
    else this.#scheduler.in(rest, `${this.name} thaws at ${label}`, () => this.#resume(label, act));
  }

  /** A wait that ends after `ms` if the process lives then. */
  pause(ms: number, label: string): Promise<void> {
    if (!this.#alive) return NEVER;
    return new Promise((resolve) => {
      this.#scheduler.in(ms, `${this.name} ${label}`, () => this.#resume(label, resolve));
    });
  }

  /**
   * The same object, whose async methods take time, may fail, and never answer a dead process. What a method gives to a
   * callback (a transaction) is wrapped alike. Plain members and synchronous methods stay as they are.
   */
  mortal<T extends object>(object: T, faults: CallFaults, path = ""): T {
    const known = new Map<string | symbol, unknown>();
    return new Proxy(object, {
      get: (target, name) => {
        if (known.has(name)) return known.get(name);
        const member: unknown = Reflect.get(target, name, target);
        const named = path === "" ? String(name) : `${path}.${String(name)}`;
        let wrapped = member;
        if (typeof member === "function") {
          const method = member as (...args: unknown[]) => unknown;
          wrapped =
            typeof name === "symbol"
              ? (...args: unknown[]) => method.apply(target, args)
              : (...args: unknown[]) =>
                  this.#call(named, faults, () =>
                    method.apply(
                      target,
                      args.map((each) => this.#callback(each, faults, named)),
                    ),
                  );
        } else if (typeof member === "object" && member !== null) {
          wrapped = this.mortal(member, faults, named);
        }
        known.set(name, wrapped);
        return wrapped;
      },
    });
  }

  #callback(given: unknown, faults: CallFaults, path: string): unknown {
    if (typeof given !== "function") return given;
    const callback = given as (...args: unknown[]) => unknown;
    return (...args: unknown[]) =>
      callback(
        ...args.map((each) => (typeof each === "object" && each !== null ? this.mortal(each, faults, path) : each)),
      );
  }

  async #call(path: string, faults: CallFaults, make: () => unknown): Promise<unknown> {
    const dice = this.#dice;
    const slow = this.faulty && dice.chance(faults.slow);
    await this.pause(slow ? dice.between(0, faults.slowMs) : dice.between(0, 2), path);
    if (this.faulty && dice.chance(faults.fails)) throw new WaybillError(faults.code, `${path}: simulated`);
    const answer = await make();
    if (!this.#alive) return NEVER;
    if (this.faulty && dice.chance(faults.answerLost)) {
      throw new WaybillError(faults.code, `${path}: simulated, after it was done`);
    }
    return answer;
  }

  #timers(): Timers {
    return {
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (!this.#alive) return;
          if (signal?.aborted) return resolve();
          const planned = this.#scheduler.in(ms, `${this.name} sleep`, () => {
            signal?.removeEventListener("abort", wake);
            this.#resume("sleep", resolve);
          });
          const wake = (): void => {
            planned.cancel();
            signal?.removeEventListener("abort", wake);
            this.#resume("sleep", resolve);
          };
          signal?.addEventListener("abort", wake, { once: true });
        }),
      every: (ms, tick, onError) => {
        let over = false;
        let running = false;
        const again = (): void => {
          this.#scheduler.in(ms, `${this.name} beat`, () => {
            if (over || !this.#alive) return;
            again();
            if (running || this.#frozenUntil > this.#scheduler.nowMs) return;
            running = true;
            Promise.resolve()
              .then(tick)
              .catch(onError)
              .finally(() => {
                running = false;
              });
          });
        };
        again();
        return {
          [Symbol.dispose]: () => {
            over = true;
          },
        };
      },
    };
  }
}
