import { serve } from "../../src/base/thread.ts";
import { WaybillError } from "../../src/base/errors.ts";

/** The thread that src/base/thread.test.ts starts: one object with methods, a member with methods, and ways to go wrong. */
export type Counter = {
  add(n: number): Promise<number>;
  swap(values: Map<string, bigint | Uint8Array>): Promise<Map<string, bigint | Uint8Array>>;
  refuse(): Promise<never>;
  giveFunction(): Promise<() => void>;
  never(): Promise<void>;
  die(): Promise<void>;
  exit(code: number): Promise<void>;
  readonly inner: { readonly deeper: { twice(n: number): Promise<number> }; plus(n: number): Promise<number> };
};
export type CounterData = { readonly start: number; readonly fails?: string };

await serve<CounterData, Counter>(async ({ start, fails }) => {
  await Promise.resolve();
  if (fails !== undefined) throw new WaybillError("ALREADY_RUNNING", fails);
  let sum = start;
  return {
    add: (n) => Promise.resolve((sum += n)),
    swap: (values) => Promise.resolve(new Map([...values].toReversed())),
    refuse: () => Promise.reject(new WaybillError("ROW_EXISTS", "sale S-9", { facts: { seq: 7 } })),
    giveFunction: () => Promise.resolve(() => undefined),
    never: () => new Promise(() => undefined),
    die: () => {
      setImmediate(() => {
        throw new Error("nobody catches this");
      });
      return new Promise(() => undefined);
    },
    exit: (code) => process.exit(code),
    inner: {
      // Reads the sum as a member of the counter: a method must be called on the object it belongs to.
      plus(n) {
        return Promise.resolve(sum + n + Object.keys(this).length);
      },
      deeper: { twice: (n) => Promise.resolve(n * 2) },
    },
  };
});
