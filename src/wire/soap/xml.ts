import { SaxesParser, type SaxesTagNS } from "saxes";
import { isXmlCharacter, type Attribute, type Element, type XmlLimits } from "./element.ts";
import { readPlainXml } from "./plain-xml.ts";

export const XML_LIMITS: XmlLimits = { depth: 64, elements: 200_000, attributes: 64 };

/** The document is not one we read. The text names the rule, never a value of the document. */
export class XmlRefused extends Error {
  override readonly name = "XmlRefused";
}

/** `text` to decode with, by what the sender says and how the bytes begin. */
type Encoding = "utf-8" | "utf-16le" | "utf-16be";

/**
 * Bytes to text, without replacing anything. The byte order mark decides, then `charset`, then UTF-8.
 * @throws XmlRefused for another encoding, and for bytes that are none of it
 */
export function xmlText(bytes: Uint8Array, charset: string | null): string {
  const text = decoded(bytes, encodingOf(bytes, charset));
  // An encoder that could write half of a surrogate pair would let it through; no XML has one.
  if (!text.isWellFormed()) throw new XmlRefused("half of a surrogate pair is not a character");
  return text;
}

function encodingOf(bytes: Uint8Array, charset: string | null): Encoding {
  const [a, b] = bytes;
  const told = charset?.toLowerCase() ?? null;
  if (a === 0xff && b === 0xfe) return "utf-16le";
  if (a === 0xfe && b === 0xff) return "utf-16be";
  if (told === null || told === "utf-8" || told === "utf8") {
    // No mark and no word, and yet every other byte of the first tag is zero.
    if (a === 0x3c && b === 0) return "utf-16le";
    if (a === 0 && b === 0x3c) return "utf-16be";
    return "utf-8";
  }
  if (told === "utf-16") return a === 0 ? "utf-16be" : "utf-16le";
  if (told === "utf-16le" || told === "utf-16be") return told;
  throw new XmlRefused("the encoding is neither UTF-8 nor UTF-16");
}

function decoded(bytes: Uint8Array, encoding: Encoding): string {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new XmlRefused(`the bytes are not ${encoding.toUpperCase()}`);
  }
}

type Open = {
  readonly namespace: string;
  readonly name: string;
  readonly attributes: readonly Attribute[];
  readonly children: Element[];
  text: string;
  illegal: boolean;
};

const XMLNS = "http://www.w3.org/2000/xmlns/";

/**
 * Reads a whole document in one pass: well formed, namespaces bound, one root, nothing behind it. Document types and
 * processing instructions are refused before anything of them is looked at, so no entity can be declared.
 * @throws XmlRefused
 */
export const readXml = (text: string, limits: XmlLimits = XML_LIMITS): Element =>
  readPlainXml(text, limits) ?? parseXml(text, limits);

/** The same by the parser alone. @throws XmlRefused */
export function parseXml(text: string, limits: XmlLimits = XML_LIMITS): Element {
  const { marked, mark } = markIllegal(text);
  const stack: Open[] = [];
  let elements = 0;
  let root: Element | null = null;
  const parser = new SaxesParser({ xmlns: true, position: false, defaultXMLVersion: "1.0", forceXMLVersion: true });
  const refuse = (why: string): never => {
    throw new XmlRefused(why);
  };
  parser.on("error", (error) => refuse(error.message));
  parser.on("doctype", () => refuse("document types are not read"));
  parser.on("processinginstruction", () => refuse("processing instructions are not read"));
  parser.on("xmldecl", ({ version, encoding }) => {
    if (version !== "1.0") refuse("only XML 1.0 is read");
    if (encoding !== undefined && !/^utf-(8|16(le|be)?)$/i.test(encoding))
      refuse("the declared encoding is neither UTF-8 nor UTF-16");
  });
  // Counted while the tag is still being read: an element with a million attributes is not gathered first.
  let attributes = 0;
  parser.on("opentagstart", () => {
    attributes = 0;
    if (++elements > limits.elements) refuse(`there are more than ${limits.elements} elements`);
    if (stack.length >= limits.depth) refuse(`elements are nested deeper than ${limits.depth}`);
  });
  parser.on("attribute", () => {
    if (++attributes > limits.attributes) refuse(`an element has more than ${limits.attributes} attributes`);
  });
  parser.on("opentag", (tag) => void stack.push(opened(tag, mark, refuse)));
  parser.on("text", (piece) => {
    const open = stack.at(-1);
    if (!open) return; // white space around the root: anything else was an error
    if (mark !== null && piece.includes(mark)) open.illegal = true;
    open.text += piece;
  });
  parser.on("cdata", (piece) => {
    const open = stack.at(-1);
    // Within CDATA the letters `&#x1;` are just that.
    if (open) open.text += mark === null ? piece : piece.replaceAll(mark, "&");
  });
  parser.on("closetag", () => {
    const done = stack.pop();
    if (!done) return;
    const parent = stack.at(-1);
    if (parent) parent.children.push(done);
    else root = done;
  });
  parser.write(marked).close();
  return root ?? refuse("there is no element");
}

function opened(tag: SaxesTagNS, mark: string | null, refuse: (why: string) => never): Open {
  const attributes: Attribute[] = [];
  for (const { uri, local, value } of Object.values(tag.attributes)) {
    if (mark !== null && value.includes(mark)) refuse("an attribute has a character that XML does not allow");
    if (uri !== XMLNS) attributes.push({ namespace: uri, name: local, value });
  }
  return { namespace: tag.uri, name: tag.local, attributes, children: [], text: "", illegal: false };
}

const REFERENCE = /&#(?:x([0-9a-fA-F]+)|([0-9]+));/g;
/** From here on a letter is looked for that the document does not use; there are 6,400 of them. */
const PRIVATE_USE = 0xe000;

/**
 * A reference to a character that XML does not allow makes a document that is not well formed, and yet .NET writes it. So
 * that it costs one message and not the whole request, its `&` gives way to a letter that occurs nowhere else in the text.
 */
function markIllegal(text: string): { readonly marked: string; readonly mark: string | null } {
  if (!text.includes("&#")) return { marked: text, mark: null };
  let mark: string | null = null;
  const marked = text.replace(REFERENCE, (reference: string, hex: string | undefined, decimal: string | undefined) => {
    if (isXmlCharacter(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16))) return reference;
    mark ??= unusedLetter(text);
    return `${mark}${reference.slice(1)}`;
  });
  return { marked, mark };
}

function unusedLetter(text: string): string {
  for (let code = PRIVATE_USE; code < 0xf8ff; code++) {
    const letter = String.fromCharCode(code);
    if (!text.includes(letter)) return letter;
  }
  throw new XmlRefused("there is a character that XML does not allow");
}

// ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\r": "&#xD;",
};
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
const clean = (text: string): string => text.toWellFormed().replace(NOT_XML, "\ufffd");

/**
 * Text as element content. A carriage return must be a reference, or the reader's line-end rule would make a line feed of
 * it. What XML cannot hold becomes U+FFFD: a reply that a client cannot read at all would help nobody.
 */
export const escapeText = (text: string): string =>
  clean(text).replace(/[&<>\r]/g, (letter) => ESCAPES[letter] ?? letter);
export const escapeAttribute = (text: string): string =>
  clean(text)
    .replace(/[&<>"\r]/g, (letter) => ESCAPES[letter] ?? letter)
    .replace(/[\t\n]/g, (letter) => `&#x${letter.charCodeAt(0).toString(16).toUpperCase()};`);
