import { isNestedWithin } from "../message-line.ts";
import { readXml, XmlRefused } from "./xml.ts";
import type { Element } from "./element.ts";

/** A payload as a transform gets it: JSON as its value, XML as the same value by the rules below, anything else as its text. */
export type PayloadValue = unknown;
/** The payload can never be read as what it says it is. */
export class PayloadRefused extends Error {
  override readonly name = "PayloadRefused";
}

/** Deeper values could not be walked by everything that handles a message. */
const DEPTH = 200;
const JSON_TYPE = /^\s*(application|text)\/([a-z0-9.+-]+\+)?json\s*(;|$)/i;
const XML_TYPE = /^\s*(application|text)\/([a-z0-9.+-]+\+)?xml\s*(;|$)/i;

/** @throws PayloadRefused when it is not what its content type says */
export function payloadValue(text: string, contentType: string | null): PayloadValue {
  if (contentType !== null && JSON_TYPE.test(contentType)) return jsonValue(text);
  if (contentType !== null && XML_TYPE.test(contentType)) return xmlDocument(text);
  return text;
}

function jsonValue(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (!isNestedWithin(value, DEPTH)) throw new PayloadRefused(`the payload is nested deeper than ${DEPTH}`);
    // The slow look at each letter is for texts that have something to be looked at.
    return text.includes("\\u") || hasNumber(value) ? JSON.parse(text, exact) : value;
  } catch (thrown) {
    if (thrown instanceof PayloadRefused) throw thrown;
    throw new PayloadRefused("the payload is not JSON, as its contentType says", { cause: thrown });
  }
}

const hasNumber = (value: unknown): boolean =>
  typeof value === "number" || (typeof value === "object" && value !== null && Object.values(value).some(hasNumber));

/**
 * A number stays one only where a double says the same: `12.50` and 64-bit integers become their text, letter by letter, as
 * decimals and large integers stand on the wire.
 */
function exact(name: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (!name.isWellFormed() || (typeof value === "string" && !value.isWellFormed()))
    throw new PayloadRefused("the payload has half of a surrogate pair, which is not a character");
  if (typeof value !== "number" || context?.source === undefined) return value;
  return String(value) === context.source || (Number.isFinite(value) && /e/i.test(context.source))
    ? value
    : context.source;
}

function xmlDocument(text: string): unknown {
  try {
    const root = readXml(text, { depth: DEPTH, elements: 100_000, attributes: 256 });
    return { [root.name]: xmlValue(root) };
  } catch (thrown) {
    if (thrown instanceof XmlRefused)
      throw new PayloadRefused("the payload is not XML, as its contentType says", { cause: thrown });
    throw thrown;
  }
}

const NO_LISTS: ReadonlySet<Element> = new Set();

/**
 * An element as a value, all of it text. Only text inside: that text. Else an object: children by name (a list where a name
 * comes more than once), attributes as `@name`, text beside them as `#text`. `i:nil` is null. Prefixes are dropped. An element
 * of `lists` is the list of its children, also when there is one or none.
 */
export function xmlValue(element: Element, lists: ReadonlySet<Element> = NO_LISTS): unknown {
  if (element.illegal) throw new PayloadRefused("the payload has a character that XML does not allow");
  const attributes = element.attributes.filter(({ name, value }) => {
    return !(name === "nil" && (value === "true" || value === "1"));
  });
  if (attributes.length < element.attributes.length) return null;
  if (lists.has(element)) return element.children.map((child) => xmlValue(child, lists));
  if (element.children.length === 0 && attributes.length === 0) return element.text;
  // Names come from outside; an object without a prototype has no member that they could reach.
  const members: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const { name, value } of attributes) members[`@${name}`] = value;
  const seen = new Map<string, unknown[]>();
  for (const child of element.children) {
    const value = xmlValue(child, lists);
    const same = seen.get(child.name) ?? [];
    seen.set(child.name, same);
    same.push(value);
    members[child.name] = same.length === 1 ? value : same;
  }
  if (/[^\t\n\r ]/.test(element.text)) members["#text"] = element.text;
  return members;
}
