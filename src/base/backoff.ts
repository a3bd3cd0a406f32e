import type { Random } from "./runtime.ts";

export type BackoffPolicy = { readonly firstMs: number; readonly factor: number; readonly capMs: number };

/**
 * How long to wait after the `attempt`-th failure in a row (from 1): exponential with a cap and full jitter, so that a
 * thousand tills that lost the hub at once do not come back in one second.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter did the least work in total.
 */
export function backoffMs(attempt: number, policy: BackoffPolicy, random: Random): number {
  const ceiling = Math.min(policy.capMs, policy.firstMs * policy.factor ** (attempt - 1));
  return Math.ceil(ceiling * random.next());
}
