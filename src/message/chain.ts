import { hash } from "node:crypto";

/** chain(0): 32 zero bytes. */
export const CHAIN_START: Uint8Array = new Uint8Array(32);

/** chain(n) = SHA-256 over the 32 bytes of chain(n−1) and the UTF-8 bytes of line n without its newline. */
export function chainNext(previous: Uint8Array, line: Uint8Array): Uint8Array {
  const joined = Buffer.allocUnsafe(32 + line.byteLength);
  joined.set(previous, 0);
  joined.set(line, 32);
  return hash("sha256", joined, "buffer");
}

export const chainHex = (chain: Uint8Array): string =>
  Buffer.from(chain.buffer, chain.byteOffset, chain.byteLength).toString("hex");
/** Null when the text is not 64 hexadecimal digits. */
export const chainOf = (hex: string): Uint8Array | null =>
  /^[0-9a-f]{64}$/.test(hex) ? Buffer.from(hex, "hex") : null;
export const sameChain = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
