import type { Random } from "../../src/base/runtime.ts";

/** Chance that is the same for the same seed on every machine: sfc32 (PractRand), seeded by FNV-1a over a text. */
export class Dice implements Random {
  readonly #seed: string;
  readonly #state: Uint32Array;

  constructor(seed: string) {
    this.#seed = seed;
    this.#state = Uint32Array.from([1, 2, 3, 4], (salt) => fnv(`${salt}/${seed}`));
    for (let i = 0; i < 12; i++) this.next();
  }

  /** Dice of their own for one part of the world, so that another draw in one part does not change all others. */
  fork(name: string): Dice {
    return new Dice(`${this.#seed}/${name}`);
  }

  next(): number {
    const s = this.#state as unknown as [number, number, number, number];
    const sum = (s[0] + s[1] + s[3]) >>> 0;
    s[3]++;
    s[0] = s[1] ^ (s[1] >>> 9);
    s[1] = s[2] + (s[2] << 3);
    s[2] = ((s[2] << 21) | (s[2] >>> 11)) + sum;
    return sum / 0x1_0000_0000;
  }
  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }
  /** A whole number from 0 up to, not including, `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }
  chance(of: number): boolean {
    return this.next() < of;
  }
  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new Error("nothing to pick from");
    return picked;
  }
}

function fnv(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
