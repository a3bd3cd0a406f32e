import { isXmlCharacter, type Attribute, type Element, type XmlLimits } from "./element.ts";

/**
 * The XML that toolkits write: elements, attributes and text, in ASCII names, with the five entities and references to
 * characters. Of 100 messages of a WCF client it takes less than a tenth of the time of the parser behind it (3 µs a message beside 59, measured 2026-11).
 *
 * It never refuses: what is not plain (comments, CDATA, a document type, anything wrong) is null, and the real parser says
 * what becomes of it. Whatever this gives, the parser would give the same; `plain-xml.test.ts` compares the two.
 */
export function readPlainXml(given: string, limits: XmlLimits): Element | null {
  if (NOT_PLAIN.test(given) || given.includes("]]>") || !given.isWellFormed()) return null;
  // XML 1.0, 2.11: every line end is a line feed, before anything else is looked at.
  const text = given.includes("\r") ? given.replace(/\r\n?/g, "\n") : given;
  const names: Names = new Map();
  const stack: Open[] = [];
  let open = null as Open | null;
  let root: Element | null = null;
  let elements = 0;
  for (let at = DECLARATION.exec(text)?.[0].length ?? 0; ;) {
    const start = text.indexOf("<", at);
    const piece = text.slice(at, start < 0 ? text.length : start);
    if (open) {
      const plain = piece.includes("&") ? resolved(piece) : piece;
      if (plain === null) return null;
      open.element.text = open.element.text === "" ? plain : open.element.text + plain;
    } else if (!BLANK.test(piece)) return null;
    if (start < 0) return open ? null : root;
    if (text.charCodeAt(start + 1) === SLASH) {
      const end: number = start + 2 + (open?.tag.length ?? 0);
      if (!open || !text.startsWith(open.tag, start + 2) || text.charCodeAt(end) !== GREATER) return null;
      stack.pop();
      open = stack.at(-1) ?? null;
      at = end + 1;
      continue;
    }
    if ((root && !open) || ++elements > limits.elements || stack.length >= limits.depth) return null;
    const end = text.indexOf(">", start);
    const begun: Open | null =
      end < 0 ? null : opened(text.slice(start + 1, end), open?.scope ?? NO_SCOPE, names, limits);
    if (!begun) return null;
    if (open) open.element.children.push(begun.element);
    else root = begun.element;
    if (!begun.empty) {
      open = begun;
      stack.push(open);
    }
    at = end + 1;
  }
}

/** Namespaces by prefix; "" is the default one. */
type Scope = ReadonlyMap<string, string>;
type Growing = Omit<Element, "text" | "children"> & { readonly children: Element[]; text: string };
type Open = {
  readonly element: Growing;
  /** As it must be closed. */
  readonly tag: string;
  readonly empty: boolean;
  /** What is bound inside. */
  readonly scope: Scope;
};
/** What a tag without attributes says, by its letters: the same few come again and again. */
type Names = Map<
  string,
  { readonly prefix: string; readonly name: string; readonly tag: string; readonly empty: boolean }
>;

const NO_SCOPE: Scope = new Map();
const NO_ATTRIBUTES: readonly Attribute[] = [];
const SLASH = 0x2f;
const GREATER = 0x3e;
/** Characters that XML does not allow: the parser refuses them, wherever they stand. */
const NOT_PLAIN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
const BLANK = /^[\t\n ]*$/;
const DECLARATION = /^<\?xml version="1\.0"(?: encoding="[uU][tT][fF]-(?:8|16)")? ?\?>/;
const TAG = /^(?:([A-Za-z_][\w.-]*):)?([A-Za-z_][\w.-]*)((?:[\t\n ]+[A-Za-z_][\w.:-]*="[^"<&\t\n]*")*)[\t\n ]*(\/?)$/;
const ATTRIBUTE = /[\t\n ]+(?:([A-Za-z_][\w.-]*):)?([A-Za-z_][\w.-]*)="([^"]*)"/gy;

/** @param letters between `<` and `>` */
function opened(letters: string, outer: Scope, names: Names, limits: XmlLimits): Open | null {
  let known = names.get(letters);
  let written = "";
  if (!known) {
    const match = TAG.exec(letters);
    if (!match) return null;
    const [, prefix = "", name = "", attributes = "", slash] = match;
    written = attributes;
    known = { prefix, name, tag: prefix === "" ? name : `${prefix}:${name}`, empty: slash === "/" };
    if (written === "") names.set(letters, known);
  }
  const { prefix, name, tag, empty } = known;
  const inside = written === "" ? { scope: outer, attributes: NO_ATTRIBUTES } : attributesOf(written, outer, limits);
  if (!inside) return null;
  const { scope, attributes } = inside;
  const namespace = prefix === "" ? (scope.get("") ?? "") : scope.get(prefix);
  if (namespace === undefined) return null;
  return { element: { namespace, name, attributes, children: [], text: "", illegal: false }, tag, empty, scope };
}

function attributesOf(
  written: string,
  outer: Scope,
  limits: XmlLimits,
): { readonly scope: Scope; readonly attributes: readonly Attribute[] } | null {
  const given: { readonly prefix: string; readonly name: string; readonly value: string }[] = [];
  const bound = new Map<string, string>();
  ATTRIBUTE.lastIndex = 0;
  let read = 0;
  for (let match = ATTRIBUTE.exec(written); match; match = ATTRIBUTE.exec(written)) {
    const [whole, prefix = "", name = "", value = ""] = match;
    read += whole.length;
    const declares = prefix === "xmlns" ? name : prefix === "" && name === "xmlns" ? "" : null;
    // The rules for names that XML keeps for itself, and for blanks around a URI, are the parser's to know.
    if (prefix === "xml" || (declares !== null && !PLAIN_URI.test(value))) return null;
    if (declares === null) given.push({ prefix, name, value });
    else if (bound.has(declares) || /^xml/i.test(declares)) return null;
    else bound.set(declares, value);
  }
  if (read !== written.length || given.length + bound.size > limits.attributes) return null;
  if (outer.size + bound.size > MOST_BOUND) return null;
  const scope = bound.size === 0 ? outer : new Map([...outer, ...bound]);
  const attributes: Attribute[] = [];
  for (const { prefix, name, value } of given) {
    const namespace = prefix === "" ? "" : scope.get(prefix);
    if (namespace === undefined) return null;
    if (attributes.some((each) => each.name === name && each.namespace === namespace)) return null;
    attributes.push({ namespace, name, value });
  }
  return { scope, attributes };
}

/** Scopes are copied where they grow; toolkits bind a handful of prefixes. */
const MOST_BOUND = 32;
const PLAIN_URI = /^(?!http:\/\/www\.w3\.org\/(?:XML|2000\/xmlns))[^\s]+$/;
const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
const REFERENCE = /&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-z]{2,4}));|&/g;

/** The text with its references put in; null for one that is not plain. */
function resolved(piece: string): string | null {
  let plain = true;
  const text = piece.replace(
    REFERENCE,
    (_, hex: string | undefined, decimal: string | undefined, entity: string | undefined) => {
      if (entity !== undefined && Object.hasOwn(ENTITIES, entity)) return ENTITIES[entity] ?? "";
      const code = hex !== undefined ? Number.parseInt(hex, 16) : decimal !== undefined ? Number(decimal) : 0;
      if (isXmlCharacter(code)) return String.fromCodePoint(code);
      plain = false;
      return "";
    },
  );
  return plain ? text : null;
}
