import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CHAIN_START, chainHex, chainNext, chainOf, sameChain } from "./chain.ts";

const line = (text: string): Uint8Array => new TextEncoder().encode(text);
const after = (...lines: string[]): Uint8Array => lines.map(line).reduce(chainNext, CHAIN_START);

describe("the chain", () => {
  test("is SHA-256 over the chain before and the line, as anyone can compute it", () => {
    const first = createHash("sha256").update(Buffer.alloc(32)).update(`{"seq":1,"text":"é"}`, "utf8").digest();
    const second = createHash("sha256").update(first).update(`{"seq":2}`).digest("hex");
    expect(chainHex(after(`{"seq":1,"text":"é"}`, `{"seq":2}`))).toBe(second);
    // A value fixed here, so that terminals in other languages can be checked against it: one empty line.
    expect(chainHex(after(""))).toBe("66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
  });
  test("tells every other content, order and cut of the same lines apart", () => {
    const chains = [after("a", "b"), after("b", "a"), after("ab"), after("a", "b", ""), after("a"), CHAIN_START].map(
      chainHex,
    );
    expect(new Set(chains).size).toBe(chains.length);
  });
  test("takes lines that are views into a larger buffer, and leaves them as they are", () => {
    const whole = line("xxabxx");
    const view = whole.subarray(2, 4);
    expect(chainHex(chainNext(CHAIN_START, view))).toBe(chainHex(after("ab")));
    expect(whole).toEqual(line("xxabxx"));
    expect(CHAIN_START).toEqual(new Uint8Array(32));
  });
  test("is read back from its hexadecimal digits", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (chain) => {
        const read = chainOf(chainHex(chain));
        expect(read && sameChain(read, chain)).toBe(true);
      }),
    );
  });
  test.each(["", "00", "g".repeat(64), "0".repeat(63), "0".repeat(65), "A".repeat(64), ` ${"0".repeat(64)}`])(
    "%j is no chain",
    (text) => {
      expect(chainOf(text)).toBeNull();
    },
  );
});
