import { z } from "zod";
import { isTimeZone } from "../../wire/soap/local-time.ts";
import { legacyMapping } from "../../wire/soap/mapping.ts";

export const AUTH_KINDS = ["basic", "usernameToken"] as const;

/** The `soap` section of the hub's config; see docs/soap.md. */
export const soapConfig = z
  .strictObject({
    enabled: z.boolean().default(true).describe("serve SOAP under /soap, to enrolled terminals only"),
    publicUrl: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe("how terminals reach the hub, for the addresses in WSDL: https://hub.example"),
    auth: z
      .array(z.enum(AUTH_KINDS))
      .min(1)
      .default([...AUTH_KINDS])
      .describe(
        "how a SOAP terminal may sign in: HTTP Basic, or a WS-Security UsernameToken; name and key are those of enrolment",
      ),
    timeZone: z
      .string()
      .refine(isTimeZone, "is not a known IANA time zone")
      .optional()
      .describe("IANA zone of times that come without one; without it they are UTC"),
    replyKib: z
      .number()
      .int()
      .min(4)
      .max(4_096)
      .default(48)
      .describe("largest reply, in KiB: old clients take no more than 64"),
    textLength: z
      .number()
      .int()
      .min(256)
      .default(8_192)
      .describe("longest single text of a reply, in characters: old clients take no more than 8192"),
    mappings: z.array(legacyMapping).default([]).describe("terminals that keep an old contract of their own"),
  })
  .prefault({});
export type SoapConfig = z.output<typeof soapConfig>;
