import { asWaybillError } from "../../base/errors.ts";
import type { Terminal } from "../../ledger/port.ts";
import type { Credentials } from "../../wire/soap/envelope.ts";
import type { Gatekeeper } from "../api/auth.ts";

/** Name and key as HTTP Basic carries them; null when the header is none, or no Basic. */
export function basicCredentials(authorization: string | undefined): Credentials | null {
  const packed = /^basic +([A-Za-z0-9+/=]{1,2048})$/i.exec(authorization ?? "")?.[1];
  if (packed === undefined) return null;
  const text = Buffer.from(packed, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? null : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/**
 * The terminal whose name and key these are: the key that enrolment gave, as the password. Null when they are not: nobody
 * is told whether name or key was wrong, or the key revoked.
 */
export async function terminalOf(
  gatekeeper: Gatekeeper,
  { username, password }: Credentials,
): Promise<Terminal | null> {
  try {
    const terminal = await gatekeeper.terminal(`Bearer ${password}`);
    return terminal.id === username ? terminal : null;
  } catch (thrown) {
    const error = asWaybillError(thrown);
    if (error.code === "UNAUTHENTICATED" || error.code === "FORBIDDEN") return null;
    throw error;
  }
}
