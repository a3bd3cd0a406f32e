import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import type { Random } from "../base/runtime.ts";

const [IV, TAG] = [12, 16];

/**
 * Text that somebody else keeps for us and can neither read nor change. Whoever has the same secret opens it: another hub of
 * the same config, too.
 */
export class Seal {
  readonly #key: Uint8Array;
  readonly #random: Random;

  constructor(secret: string, purpose: string, random: Random) {
    this.#key = new Uint8Array(hkdfSync("sha256", secret, "", purpose, 32));
    this.#random = random;
  }

  /** Letters that a cookie may hold. */
  close(text: string): string {
    const iv = this.#random.bytes(IV);
    const cipher = createCipheriv("aes-256-gcm", this.#key, iv);
    const hidden = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([iv, cipher.getAuthTag(), hidden]).toString("base64url");
  }

  /** Null for whatever this secret did not close. */
  open(sealed: string): string | null {
    const bytes = Buffer.from(sealed, "base64url");
    if (bytes.byteLength < IV + TAG) return null;
    const decipher = createDecipheriv("aes-256-gcm", this.#key, bytes.subarray(0, IV), { authTagLength: TAG });
    decipher.setAuthTag(bytes.subarray(IV, IV + TAG));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(IV + TAG)), decipher.final()]).toString("utf8");
    } catch {
      return null; // another secret, or changed on the way
    }
  }
}
