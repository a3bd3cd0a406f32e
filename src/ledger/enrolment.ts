import type { Instant } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import type { Actor, TerminalId } from "../base/ids.ts";
import type { Terminal } from "./port.ts";

/** An enrolment token as every store keeps it. */
export type EnrolmentToken = {
  /** The only terminal that may use it; null: any. */
  readonly terminal: TerminalId | null;
  /** JSON object of the tags that the operator wrote on it. */
  readonly tags: string;
  readonly expiresAt: Instant;
  readonly madeBy: Actor;
  readonly usedBy: TerminalId | null;
};

/**
 * Who may enrol, and as what: one rule for every store, since it decides what a terminal may see and own.
 * @param known the terminal as it is enrolled already, null when it is not
 * @throws TOKEN_INVALID with the reason
 */
export function admitted(
  token: EnrolmentToken | undefined,
  terminal: TerminalId,
  claimed: Readonly<Record<string, string>>,
  known: Terminal | null,
  now: Instant,
): { readonly tags: Readonly<Record<string, string>>; readonly madeBy: Actor } {
  if (!token) throw new WaybillError("TOKEN_INVALID", "no such enrolment token");
  const why = refusal(token, terminal, known, now);
  if (why) throw new WaybillError("TOKEN_INVALID", why);
  // A token made for one terminal says all its tags, whatever the terminal claims to be; on a token for anyone, what the
  // operator wrote stands above the claims.
  const written = JSON.parse(token.tags) as Record<string, string>;
  return { tags: token.terminal === null ? { ...claimed, ...written } : written, madeBy: token.madeBy };
}

function refusal(token: EnrolmentToken, terminal: TerminalId, known: Terminal | null, now: Instant): string | null {
  if (token.usedBy !== null) return "the enrolment token has been used";
  if (token.expiresAt <= now) return "the enrolment token has expired";
  if (token.terminal !== null && token.terminal !== terminal)
    return `the enrolment token is for another terminal than ${terminal}`;
  // Else anyone with a token for some new till could take the place of one that is there.
  if (token.terminal === null && known) return `terminal ${terminal} is enrolled already; its token must name it`;
  return null;
}
