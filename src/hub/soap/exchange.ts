import { asWaybillError, FAULTS, WaybillError } from "../../base/errors.ts";
import { decode } from "../../wire/encoding.ts";
import { MEDIA_TYPE, type ReplyTo, type SoapVersion } from "../../wire/soap/envelope.ts";
import { invalid, later, SoapFault } from "../../wire/soap/faults.ts";
import { ValueRefused } from "../../wire/soap/values.ts";
import { readXml, XmlRefused, xmlText } from "../../wire/soap/xml.ts";
import type { Element } from "../../wire/soap/element.ts";
import type { Gatekeeper } from "../api/auth.ts";
import type { DocumentDesk } from "../api/documents.ts";
import type { Gate } from "../api/gate.ts";
import type { WireRequest, WireResponse } from "../api/http.ts";
import type { Intake } from "../api/intake.ts";
import type { Sightings } from "../api/sightings.ts";
import type { FaultCounts } from "./fault-counts.ts";

/** What the hub's HTTP side shares with the SOAP entrance. */
export type SoapTools = {
  readonly gatekeeper: Gatekeeper;
  readonly gate: Gate;
  readonly intake: Intake;
  readonly sightings: Sightings;
  readonly desk: DocumentDesk;
  readonly faults: FaultCounts;
};

/** What is known of a request when it is answered; what is written back depends on all of it. */
export type Exchange = { readonly version: SoapVersion; readonly to: ReplyTo; readonly action: string | null };

export const plainExchange = (version: SoapVersion): Exchange => ({
  version,
  action: null,
  to: { version, addressed: false, messageId: null, stamped: false },
});

/** @throws REQUEST_INVALID for what is no XML of ours, TOO_LARGE, MEDIA_TYPE */
export function readDocument(
  request: Pick<WireRequest, "body" | "headers">,
  charset: string | null,
  limitBytes: number,
): Element {
  try {
    return readXml(xmlText(decode(request.body, request.headers["content-encoding"], limitBytes), charset));
  } catch (thrown) {
    if (thrown instanceof XmlRefused)
      throw new WaybillError("REQUEST_INVALID", `the body is not XML that is read here: ${thrown.message}`, {
        cause: thrown,
      });
    throw thrown;
  }
}

export const asksForWsdl = ({ query }: WireRequest): boolean =>
  [...query.keys()].some((name) => /^(single)?wsdl$/i.test(name));

export const soapResponse = (
  status: number,
  version: SoapVersion,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): WireResponse => ({
  status,
  headers: { "content-type": `${MEDIA_TYPE[version]}; charset=utf-8`, ...headers },
  body: Buffer.from(text),
});

/**
 * What was thrown, as a fault for the client.
 * @throws the error again when it is told by a status alone (400, 413, 415): WCF reads no fault there
 */
export function asSoapFault(thrown: unknown): SoapFault {
  if (thrown instanceof SoapFault) return thrown;
  if (thrown instanceof ValueRefused) return invalid(thrown.message);
  const error = asWaybillError(thrown);
  const { status } = FAULTS[error.code];
  if (status === 400 || status === 413 || status === 415) throw error;
  const { retryAfterSeconds } = error.facts;
  if (status === 429 || status === 503)
    return later(
      "BUSY",
      "the hub cannot take this now; send the same again later",
      typeof retryAfterSeconds === "number" ? retryAfterSeconds : 5,
    );
  return error.code === "INTERNAL" ? new SoapFault({ kind: "internal" }) : invalid(error.what, error.code);
}
