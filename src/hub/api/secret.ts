import { createHash, timingSafeEqual } from "node:crypto";
import type { Random } from "../../base/runtime.ts";

/** 256 random bits as 43 letters that need no escaping anywhere. */
export const newSecret = (random: Random): string => Buffer.from(random.bytes(32)).toString("base64url");
/** What is stored of a key or token. A plain hash is enough: there is nothing to guess in 256 random bits. */
export const secretHash = (secret: string): Buffer => createHash("sha256").update(secret, "utf8").digest();
export const sameHash = (a: Uint8Array, b: Uint8Array): boolean =>
  a.byteLength === b.byteLength && timingSafeEqual(a, b);
