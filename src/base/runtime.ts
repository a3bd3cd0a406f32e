import { randomBytes } from "node:crypto";
import { systemClock, type Clock, type Instant } from "./clock.ts";
import { systemNetwork, type Network } from "./network.ts";

/** Wake-ups. The simulation owns every one of them; nobody above `base/` calls setTimeout. */
export interface Timers {
  /** Resolves after `ms`, or at once when `signal` is aborted: never rejects, so a stop is not an error. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `tick` every `ms` until disposed; a tick that still runs is not overtaken by the next. Errors go to `onError`. */
  every(ms: number, tick: () => Promise<void> | void, onError: (thrown: unknown) => void): Disposable;
}

export interface Random {
  /** From 0 up to, not including, 1. */
  next(): number;
  bytes(count: number): Uint8Array;
}

/** What a station gets from the outside world. Real in production, seeded in the simulation. */
export interface Runtime {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly network: Network;
}

export const systemTimers: Timers = {
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const wake = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal?.addEventListener("abort", wake, { once: true });
    }),
  every: (ms, tick, onError) => {
    let running = false;
    const timer = setInterval(() => {
      if (running) return;
      running = true;
      Promise.resolve()
        .then(tick)
        .catch(onError)
        .finally(() => {
          running = false;
        });
    }, ms);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};

/** A call of the system's generator costs as much for a trace's few bytes as for hundreds of them. Keys, which are longer, get their own. */
const POOL_BYTES = 1_536;
const POOLED = 24;
let pool: Uint8Array = new Uint8Array();

const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (count) => {
    if (count > POOLED) return randomBytes(count);
    if (pool.length < count) pool = randomBytes(POOL_BYTES);
    const bytes = pool.subarray(0, count);
    pool = pool.subarray(count); // each byte is given once
    return bytes;
  },
};

export const systemRuntime: Runtime = {
  clock: systemClock,
  timers: systemTimers,
  random: systemRandom,
  network: systemNetwork,
};

const LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/**
 * A ULID (https://github.com/ulid/spec): 48 bits of time, 80 of chance, 26 letters, sorts by time of birth. With `after` it sorts
 * behind that one as well when both are of one millisecond or the clock was set back: then it is the one that follows it.
 */
export function newUlid(now: Instant, random: Random, after = ""): string {
  let bits = BigInt(now);
  for (const byte of random.bytes(10)) bits = (bits << 8n) | BigInt(byte);
  const born = ulidText(bits);
  return born > after ? born : ulidText(ulidBits(after) + 1n);
}

function ulidText(bits: bigint): string {
  let text = "";
  for (let i = 0n; i < 26n; i++) text = LETTERS[Number((bits >> (5n * i)) & 31n)] + text;
  return text;
}
const ulidBits = (text: string): bigint =>
  [...text].reduce((bits, letter) => (bits << 5n) | BigInt(LETTERS.indexOf(letter)), 0n);
