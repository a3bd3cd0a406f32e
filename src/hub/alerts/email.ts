import type { Transporter } from "nodemailer";
import { isoOf } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { ALERT_RULES, type AlertRuleName } from "./rules.ts";
import type { ChannelSettings } from "./settings.ts";
import { titleOf, type Channel, type Told } from "./told.ts";

const TIMEOUT_MS = 10_000;
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/;

/**
 * Sends notices as plain text. Message-ID is made of the notice's key, so that a copy is known as one; what follows a raised
 * alert answers its first mail, so that both stand together in a mailbox.
 */
export function emailChannel(
  { name, server, from, to }: Extract<ChannelSettings, { kind: "email" }>,
  hub: string,
): Channel {
  const url = new URL(server);
  const secure = url.protocol === "smtps:";
  const user = decodeURIComponent(url.username);
  const options = {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (secure ? 465 : 587) : Number(url.port),
    secure,
    // A password does not go over a network in the clear because somebody stripped STARTTLS from the greeting.
    requireTLS: !secure && user !== "" && !LOOPBACK.test(url.hostname),
    ...(user === "" ? {} : { auth: { user, pass: decodeURIComponent(url.password) } }),
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
  let transport: Transporter | null = null; // loaded and made at the first mail: most hubs send none
  return {
    name,
    tell: async (told) => {
      const { subject, text } = mailOf(told, hub);
      const first = messageId(`${told.alert.id}/1`);
      const id = messageId(told.key);
      try {
        transport ??= (await import("nodemailer")).createTransport(options);
        await transport.sendMail({
          from,
          to: [...to],
          subject,
          text,
          messageId: id,
          ...(id === first ? {} : { inReplyTo: first, references: first }),
          headers: { "x-waybill-key": told.key, "auto-submitted": "auto-generated" },
        });
      } catch (thrown) {
        throw new WaybillError("NOTICE_UNDELIVERED", `channel ${name}: ${url.host} ${reasonOf(thrown)}`);
      }
    },
  };
}

const messageId = (key: string): string => `<${key.replace("/", ".")}@waybill>`;

/** Codes and the server's number only: its words may repeat what was said to it, a password included. */
function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "did not take it";
  const { code, responseCode } = thrown as Error & { readonly code?: string; readonly responseCode?: number };
  return `did not take it: ${[code, responseCode].filter((part) => part !== undefined).join(" ") || thrown.name}`;
}

const WORDS = { raised: "", grown: "More: ", cleared: "Over: ", test: "Test: " } as const;

export function mailOf({ kind, at, alert }: Told, hub: string): { readonly subject: string; readonly text: string } {
  const { rule, subject, what, raisedAt, clearedAt, id } = alert;
  const { meaning, todo } = ALERT_RULES[rule as AlertRuleName] ?? { meaning: "", todo: "" };
  const about = subject === "" || subject === "*" ? "" : ` (${subject})`;
  const lines = [
    kind === "cleared" ? `This is over since ${isoOf(clearedAt ?? at)}:` : null,
    what,
    "",
    kind === "test" ? null : meaning,
    kind === "raised" || kind === "grown" ? `What to do: ${todo}` : null,
    "",
    `Since ${isoOf(raisedAt)} · alert ${id} · ${hub}`,
  ];
  return {
    subject: oneLine(`[${hub}] ${WORDS[kind]}${titleOf(rule)}${about}`).slice(0, 200),
    text: `${lines.filter((line) => line !== null).join("\n")}\n`,
  };
}

const oneLine = (text: string): string => text.replace(/[\r\n]+/g, " ");
