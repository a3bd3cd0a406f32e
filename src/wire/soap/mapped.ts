import { createHash } from "node:crypto";
import { instantOf } from "../../base/clock.ts";
import type { Document } from "../documents.ts";
import { wallClock, zonedDateTime } from "./local-time.ts";
import type { LegacyMapping, LegacyOperation } from "./mapping.ts";
import { PayloadRefused, xmlValue } from "./payload.ts";
import { ValueRefused } from "./values.ts";
import { escapeText } from "./xml.ts";
import { childrenOf, type Element } from "./element.ts";

type Namespaces = LegacyMapping["namespaces"];
export type SubmitOperation = Extract<LegacyOperation, { does: "submit" }>;

/** The elements at the end of a path's steps, in document order. */
export function select(from: Element, path: string, namespaces: Namespaces): readonly Element[] {
  if (path === ".") return [from];
  return path.split("/").reduce<readonly Element[]>(
    (elements, step) => {
      const [prefix = "", name = ""] = step.split(":");
      return elements.flatMap((element) => childrenOf(element, namespaces[prefix] ?? "", name));
    },
    [from],
  );
}

/** The operation whose element the body is; null for none. */
export function operationFor(
  mapping: LegacyMapping,
  body: Element,
): { readonly name: string; readonly operation: LegacyOperation } | null {
  for (const [name, operation] of Object.entries(mapping.operations)) {
    const [prefix = "", local = ""] = operation.element.split(":");
    if (body.name === local && body.namespace === mapping.namespaces[prefix]) return { name, operation };
  }
  return null;
}

/** The terminal that the request names; null where the mapping asks for none. @throws ValueRefused when it is missing */
export function terminalNamed(mapping: LegacyMapping, body: Element): string | null {
  if (mapping.terminal === undefined) return null;
  return textAt(body, mapping.terminal, mapping.namespaces);
}

/** A document of the mapping's making: beside its id it can be found by its business key. */
export type MappedDocument = Document & { readonly search: readonly string[] };

/**
 * The documents a request becomes. The id holds a hash of mapping, terminal, identity and all content: a resend is the same
 * document, and the same receipt number with other content (a till that starts again at 1) is one of its own.
 * @throws ValueRefused with the message's place
 */
export function documentsOf(
  mapping: LegacyMapping,
  operation: SubmitOperation,
  body: Element,
  terminal: string,
): readonly MappedDocument[] {
  return select(body, operation.each, mapping.namespaces).map((element, index) => {
    const at = `${operation.each}[${index}]`;
    try {
      return documentOf(mapping, operation, element, terminal);
    } catch (thrown) {
      if (thrown instanceof ValueRefused) throw new ValueRefused(`${at}/${thrown.path}`, thrown.what);
      if (thrown instanceof PayloadRefused) throw new ValueRefused(at, thrown.message);
      throw thrown;
    }
  });
}

function documentOf(
  mapping: LegacyMapping,
  { message, lists }: SubmitOperation,
  element: Element,
  terminal: string,
): MappedDocument {
  const { namespaces } = mapping;
  const key = textAt(element, message.key, namespaces);
  const identity = message.identity.map((path) => textAt(element, path, namespaces));
  const occurredAt = message.occurredAt === undefined ? null : timeAt(element, message.occurredAt, mapping);
  const payload = select(element, message.payload, namespaces)[0];
  if (!payload) throw new ValueRefused(message.payload, "is missing");
  const asList = new Set(lists.flatMap((path) => select(payload, path, namespaces)));
  const body = { operation: message.operation, key, occurredAt, payload: xmlValue(payload, asList) };
  const hash = createHash("sha256")
    .update(JSON.stringify([mapping.name, terminal, identity, body]), "utf8")
    .digest("base64url");
  const id = `${mapping.name}:${hash}`;
  return {
    id,
    type: message.entity,
    at: occurredAt === null ? null : instantOf(occurredAt),
    body,
    search: key.length > 200 ? [] : [key],
  };
}

function textAt(element: Element, path: string, namespaces: Namespaces): string {
  const [found] = select(element, path, namespaces);
  if (!found) throw new ValueRefused(path, "is missing");
  if (found.illegal) throw new ValueRefused(path, "has a character that XML does not allow");
  if (found.text === "") throw new ValueRefused(path, "is empty");
  return found.text;
}

function timeAt(element: Element, path: string, mapping: LegacyMapping): string {
  const time = zonedDateTime(textAt(element, path, mapping.namespaces).trim(), mapping.timeZone ?? null);
  if (time === null) throw new ValueRefused(path, "must be a dateTime");
  return time;
}

// ── replies ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What the places of a template are filled with; nested members are named with dots. */
export type Filling = { readonly [name: string]: unknown };

const EACH = /\{#each updates\}([\s\S]*?)\{\/each\}/;
const PLACE = /\{([A-Za-z_][\w.]*)(?:\s*\|\s*(wallClock))?\}/g;

/**
 * Fills a template: values are escaped, a place without a value is left empty, `| wallClock` tells a time in the mapping's
 * zone. What came from data is never taken for a place: each piece of the template is filled once.
 */
export function render(template: string, filling: Filling, updates: readonly Filling[], zone: string | null): string {
  const parts = template.split(EACH); // outside, inside, outside, inside …
  const filled = parts.map((part, index) => {
    if (index % 2 === 0) return fill(part, filling, zone);
    return updates.map((each) => fill(part, each, zone)).join("");
  });
  return filled.join("");
}

const fill = (template: string, filling: Filling, zone: string | null): string =>
  template.replace(PLACE, (_, path: string, filter: string | undefined) => {
    const value = path
      .split(".")
      .reduce<unknown>(
        (at, step) =>
          typeof at === "object" && at !== null && Object.hasOwn(at, step) ? (at as Filling)[step] : undefined,
        filling,
      );
    if (value === undefined || value === null) return "";
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return escapeText(filter === "wallClock" ? wallClock(text, zone) : text);
  });

/** The old contract's fault for one of our codes, as XML; null when the mapping has none of its own. */
export function faultFor(
  mapping: LegacyMapping,
  operation: string,
  code: string,
  message: string,
): { readonly action: string; readonly detail: string } | null {
  const { fault } = mapping;
  if (!fault) return null;
  const old = Object.hasOwn(fault.codes, code) ? fault.codes[code] : fault.codes["*"];
  const detail = render(fault.detail, { code: old ?? code, message }, [], null);
  return { action: fault.action.replaceAll("{operation}", () => operation), detail };
}

/** Every address of the service in an old WSDL becomes ours; nothing else of it is touched. */
export const withAddress = (wsdl: string, address: string): string =>
  wsdl.replace(
    /(<(?:[\w.-]+:)?address\b[^>]*?\blocation\s*=\s*)("[^"]*"|'[^']*')/g,
    (_, before: string) => `${before}"${escapeText(address).replaceAll('"', "&quot;")}"`,
  );
