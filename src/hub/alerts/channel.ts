import type { Runtime } from "../../base/runtime.ts";
import type { Log } from "../../observe/log.ts";
import { emailChannel } from "./email.ts";
import type { ChannelSettings } from "./settings.ts";
import type { Channel, Told } from "./told.ts";
import { webhookChannel } from "./webhook.ts";

export function openChannel(
  settings: ChannelSettings,
  {
    hub,
    runtime,
    log,
  }: { readonly hub: string; readonly runtime: Pick<Runtime, "network" | "clock">; readonly log: Log },
): Channel {
  if (settings.kind === "webhook") return webhookChannel(settings, hub, runtime);
  if (settings.kind === "email") return emailChannel(settings, hub);
  return { name: settings.name, tell: async (told) => logged(told, log) };
}

const EVENT_OF = {
  raised: "alert.raised",
  grown: "alert.grown",
  cleared: "alert.cleared",
  test: "alert.test",
} as const;

function logged({ key, kind, alert: { rule, subject, what, count } }: Told, log: Log): void {
  // Not `key`: a fact of that name is taken for a secret.
  const facts = { notice: key, rule, subject, what, ...(count === null ? {} : { count }) };
  if (kind === "raised" || kind === "grown") log.warn(facts, EVENT_OF[kind]);
  else log.info(facts, EVENT_OF[kind]);
}
