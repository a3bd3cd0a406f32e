import { createHmac } from "node:crypto";
import { isoOf } from "../../base/clock.ts";
import { asWaybillError, WaybillError } from "../../base/errors.ts";
import type { HttpResponse } from "../../base/network.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { ChannelSettings } from "./settings.ts";
import { titleOf, type Channel, type Told } from "./told.ts";

const TIMEOUT_MS = 10_000;

/**
 * Posts notices as JSON; anything but a 2xx answer counts as not delivered, redirects included. `waybill-signature` is
 * `t=<seconds>,v1=<hex>`: HMAC-SHA-256 of `<seconds>.<body>` with the secret, so that a receiver can tell that it is from us and
 * fresh. `idempotency-key` is the notice's key.
 */
export function webhookChannel(
  { name, url, secret }: Extract<ChannelSettings, { kind: "webhook" }>,
  hub: string,
  { network, clock }: Pick<Runtime, "network" | "clock">,
): Channel {
  return {
    name,
    tell: async (told) => {
      const body = JSON.stringify(bodyOf(told, hub));
      const seconds = Math.floor(clock.now() / 1_000);
      const { status } = await post(
        network,
        url,
        {
          "content-type": "application/json",
          "user-agent": "waybill",
          "idempotency-key": told.key,
          "waybill-signature": `t=${seconds},v1=${signatureOf(secret, seconds, body)}`,
        },
        body,
      );
      if (status < 200 || status >= 300)
        throw new WaybillError("NOTICE_UNDELIVERED", `channel ${name}: ${new URL(url).host} answered ${status}`);
    },
  };
}

const signatureOf = (secret: string, seconds: number, body: string): string =>
  createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex");

async function post(
  network: Runtime["network"],
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<HttpResponse> {
  try {
    return await network.request({ method: "POST", url, headers, body: Buffer.from(body), timeoutMs: TIMEOUT_MS });
  } catch (thrown) {
    // The path and query of a receiver's address are often its only secret.
    const { cause } = asWaybillError(thrown);
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "no whole answer";
    throw new WaybillError("NOTICE_UNDELIVERED", `${new URL(url).host} did not take it: ${code}`);
  }
}

/** The shape that docs/alerts.md promises. */
export function bodyOf({ key, kind, at, alert }: Told, hub: string) {
  const { id, rule, subject, what, count, facts, raisedAt, clearedAt } = alert;
  return {
    key,
    kind,
    at: isoOf(at),
    hub,
    alert: {
      id,
      rule,
      title: titleOf(rule),
      subject,
      what,
      count,
      facts,
      raisedAt: isoOf(raisedAt),
      clearedAt: clearedAt === null ? null : isoOf(clearedAt),
    },
  };
}
