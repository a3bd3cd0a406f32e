import { FAULTS, type FaultCode } from "../base/errors.ts";
import type { RetryPolicy } from "./rules.ts";

/** What becomes of a message that was refused. */
export type Verdict =
  | { readonly state: "retrying"; readonly retryInMs: number }
  | { readonly state: "dead"; readonly retryInMs: null };

/**
 * @param attempts how often it has been tried, this time included (from 1)
 * @param random from 0 up to 1: spreads the retries of messages refused together
 */
export function verdictOn(code: FaultCode, attempts: number, policy: RetryPolicy, random: number): Verdict {
  const isRetried = policy.codes?.includes(code) ?? FAULTS[code].blame === "either";
  if (!isRetried || attempts >= policy.attempts) return { state: "dead", retryInMs: null };
  const delayMs = Math.min(policy.capMs, policy.firstMs * policy.factor ** (attempts - 1));
  // The part that is not left to chance is kept: what it waits for (a parent, a lock) needs time, however the dice fall.
  return { state: "retrying", retryInMs: Math.ceil(delayMs * (1 - policy.jitter * (1 - random))) };
}
