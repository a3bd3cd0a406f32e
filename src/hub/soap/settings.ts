import type { LegacyMapping } from "../../wire/soap/mapping.ts";
import type { AUTH_KINDS, SoapConfig } from "./config.ts";

export type SoapAuth = (typeof AUTH_KINDS)[number];
export type SoapSettings = {
  /** Without a slash at its end; what WSDL documents give as address. */
  readonly publicUrl: string;
  readonly auth: readonly SoapAuth[];
  /** IANA zone of times without one; null: UTC. */
  readonly zone: string | null;
  readonly replyBytes: number;
  readonly textLength: number;
  readonly mappings: readonly LegacyMapping[];
};

export const soapSettings = (config: SoapConfig, port: number): SoapSettings => ({
  publicUrl: (config.publicUrl ?? `http://localhost:${port}`).replace(/\/+$/, ""),
  auth: config.auth,
  zone: config.timeZone ?? null,
  replyBytes: config.replyKib * 1024,
  textLength: config.textLength,
  mappings: config.mappings,
});
