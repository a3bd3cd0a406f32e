import { scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { z } from "zod";
import type { Random } from "../../base/runtime.ts";

/** OWASP's password storage cheat sheet: N = 2^15 with p = 3 holds 32 MiB for about a quarter of a second. */
const COST = { N: 2 ** 15, r: 8, p: 3 } as const;
const HASH_BYTES = 32;

type Cost = { readonly N: number; readonly r: number; readonly p: number };
const derive = promisify(
  (password: string, salt: Uint8Array, cost: Cost, done: (error: Error | null, key: Buffer) => void) =>
    scrypt(password.normalize("NFKC"), salt, HASH_BYTES, { ...cost, maxmem: 256 * cost.N * cost.r }, done),
);

/** Length is what makes a password hard to guess; nothing else is asked for. */
export const newPassword = z
  .string()
  .min(12, "must have at least 12 characters")
  .max(200, "must have at most 200 characters")
  .describe("at least 12 characters");

/** What is stored: cost, salt and hash in one text, so that the cost can grow later. */
export async function passwordHash(password: string, random: Random): Promise<string> {
  const salt = Buffer.from(random.bytes(16));
  const hash = await derive(password, salt, COST);
  return ["scrypt", COST.N, COST.r, COST.p, salt.toString("base64url"), hash.toString("base64url")].join("$");
}

/** Of a password nobody has: compared with for an unknown name, so that the time taken does not tell that it is unknown. */
const NOBODY = ["scrypt", COST.N, COST.r, COST.p, "AAAAAAAAAAAAAAAAAAAAAA", "A".repeat(43)].join("$");

export async function isPassword(given: string, stored: string | null): Promise<boolean> {
  const [, N, r, p, salt = "", hash = ""] = (stored ?? NOBODY).split("$");
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  const expected = Buffer.from(hash, "base64url");
  const found = await derive(given, Buffer.from(salt, "base64url"), cost);
  return expected.byteLength === HASH_BYTES && timingSafeEqual(found, expected) && stored !== null;
}
