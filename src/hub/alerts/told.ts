import type { Notice } from "../../ledger/alerts.ts";
import { ALERT_RULES, type AlertRuleName } from "./rules.ts";

/** What is told: a notice, or a trial of the channel. */
export type Told = Omit<Notice, "id" | "channel" | "attempts" | "kind"> & { readonly kind: Notice["kind"] | "test" };
export interface Channel {
  readonly name: string;
  /** Resolves when the receiver has taken it. @throws NOTICE_UNDELIVERED, with words that hold no secret */
  tell(told: Told): Promise<void>;
}

export const titleOf = (rule: string): string => ALERT_RULES[rule as AlertRuleName]?.title ?? rule;
