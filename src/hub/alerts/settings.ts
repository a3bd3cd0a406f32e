import type { AlertPolicy } from "../../ledger/alerts.ts";
import type { AlertRules } from "./rules.ts";

/** Where notices go. `log` is always there. */
export type ChannelSettings =
  | { readonly kind: "log"; readonly name: "log" }
  | { readonly kind: "webhook"; readonly name: string; readonly url: string; readonly secret: string }
  | {
      readonly kind: "email";
      readonly name: string;
      readonly server: string;
      readonly from: string;
      readonly to: readonly string[];
    };

export type AlertSettings = {
  /** How this installation is called in notices. */
  readonly hub: string;
  readonly everyMs: number;
  readonly policy: AlertPolicy;
  readonly rules: AlertRules;
  readonly channels: readonly ChannelSettings[];
};
