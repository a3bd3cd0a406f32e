import { WaybillError } from "../../base/errors.ts";
import { MEDIA_TYPE, type SoapVersion } from "../../wire/soap/envelope.ts";

/** What a content type says about a SOAP request. */
export type Media = { readonly charset: string | null; readonly action: string | null };

/** @throws MEDIA_TYPE, with the client setting to change where that is known */
export function mediaOf(contentType: string | undefined, version: SoapVersion): Media {
  const [type = "", ...rest] = splitParameters(contentType ?? "");
  const wanted = MEDIA_TYPE[version];
  if (type.trim().toLowerCase() !== wanted)
    throw new WaybillError("MEDIA_TYPE", whyNot(type.trim().toLowerCase(), wanted));
  const parameters = new Map<string, string>();
  for (const each of rest) {
    const equals = each.indexOf("=");
    const name = (equals < 0 ? each : each.slice(0, equals)).trim().toLowerCase();
    const value = equals < 0 ? "" : each.slice(equals + 1).trim();
    if (parameters.has(name))
      throw new WaybillError("MEDIA_TYPE", `the content type has ${JSON.stringify(name)} twice`);
    parameters.set(name, unquoted(value));
  }
  const charset = parameters.get("charset") ?? null;
  if (charset !== null && !/^utf-?(8|16(le|be)?)$/i.test(charset))
    throw new WaybillError("MEDIA_TYPE", "the charset must be UTF-8 or UTF-16");
  return { charset, action: parameters.get("action") ?? null };
}

/** The SOAPAction header without its quotes; null when it is missing or empty: then the body's element decides. */
export function soapActionOf(header: string | undefined): string | null {
  const action = unquoted(header?.trim() ?? "");
  return action === "" ? null : action;
}

const unquoted = (text: string): string =>
  text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;

/** Cut at semicolons outside of quotes: an action may hold one. */
const splitParameters = (text: string): readonly string[] => text.match(/(?:"[^"]*"|[^";])+/g) ?? [];

function whyNot(type: string, wanted: string): string {
  if (type.startsWith("multipart/"))
    return 'MTOM is not read here: set messageEncoding="Text" on the client\'s binding';
  if (type.includes("msbin"))
    return "binary encoding is not read here: use textMessageEncoding on the client's binding";
  return `this address takes ${wanted}: /basic is SOAP 1.1 (basicHttpBinding), /ws is SOAP 1.2 (wsHttpBinding)`;
}
