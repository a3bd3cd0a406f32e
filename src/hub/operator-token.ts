import { readFile, writeFile } from "node:fs/promises";
import { WaybillError } from "../base/errors.ts";
import type { Random } from "../base/runtime.ts";

/**
 * People on the hub's own machine need no log-in of their own: who can read the ledger's folder can read this token. The hub
 * makes it at its first start (mode 0600), the command line reads it. A ledger that is no file has none: see `tokens` in the config.
 */
export const operatorTokenPath = (ledgerUrl: string): string | null =>
  ledgerUrl.startsWith("sqlite:") && !ledgerUrl.startsWith("sqlite::")
    ? `${ledgerUrl.slice("sqlite:".length)}.operator-token`
    : null;

export async function ensureOperatorToken(ledgerUrl: string, random: Random): Promise<string | null> {
  const path = operatorTokenPath(ledgerUrl);
  if (path === null) return null;
  const fresh = Buffer.from(random.bytes(32)).toString("base64url");
  try {
    await writeFile(path, `${fresh}\n`, { mode: 0o600, flag: "wx" });
    return fresh;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") {
      throw new WaybillError("CONFIG_INVALID", `the operator token cannot be written to ${path}`, { cause: thrown });
    }
    return readOperatorToken(ledgerUrl);
  }
}

export async function readOperatorToken(ledgerUrl: string): Promise<string | null> {
  const path = operatorTokenPath(ledgerUrl);
  if (path === null) return null;
  try {
    return (await readFile(path, "utf8")).trim();
  } catch {
    return null; // no hub has run here yet, or it is not ours to read: the caller asks for --token
  }
}
