import fc from "fast-check";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readPlainXml } from "./plain-xml.ts";
import { parseXml, XML_LIMITS, XmlRefused } from "./xml.ts";
import type { Element } from "./element.ts";

const parsed = (text: string, limits = XML_LIMITS): Element | null => {
  try {
    return parseXml(text, limits);
  } catch (thrown) {
    if (thrown instanceof XmlRefused) return null;
    throw thrown;
  }
};
/** Null from the plain reader is always right: the parser then decides. Anything else must be the parser's own answer. */
function agrees(text: string, limits = XML_LIMITS): boolean {
  const plain = readPlainXml(text, limits);
  if (plain !== null) expect(plain, JSON.stringify(text)).toEqual(parsed(text, limits));
  return plain !== null;
}

const PIECES = [
  ..."<>&;:=/\"' \t\n\r!?-[]x".split(""),
  "<a>", "</a>", "<a/>", "<b x=\"1\">", "</b>", "<p:c xmlns:p=\"u\">", "</p:c>", "<p:d/>", "<c p:x='1' x=\"2\"/>", "</b >", "<b\n>", "<a x=\"1\" x=\"2\"/>",
  "<a xmlns:p=\"u\" xmlns:q=\"u\" p:x=\"1\" q:x=\"2\"/>", "<a xmlns=\"\"/>", "<a xmlns:p=\"\"/>", "<a xml:lang=\"de\"/>", "<a xmlns:xml=\"u\"/>", "<xml:a/>", "<xmlns:a/>",
  "<a xmlns=\"http://www.w3.org/2000/xmlns/\"/>", "<a xmlns:p=\"http://www.w3.org/XML/1998/namespace\"/>", "<a xmlns:xmlns=\"u\"/>", "<a.b-c_1/>", "<1a/>", "<é/>", "<a:b:c/>", "<:a/>", "<a:/>",
  "&lt;", "&gt;", "&amp;", "&quot;", "&apos;", "&#13;", "&#xD;", "&#x1F600;", "&#0;", "&#x1;", "&#xD800;", "&#xFFFE;", "&#x110000;", "&#00000000065;", "&lol;", "&LT;", "&#;", "&#x;",
  "]]>", "<!--x-->", "<![CDATA[<x>]]>", "<!DOCTYPE a>", "<?x y?>", "\r\n", "\u0000", "\u001f", "\u007f", "\u0085", "\u2028", "\ud800", "\ufffe", "\ufffd", "😀",
  '<?xml version="1.0"?>', '<?xml version="1.0" encoding="utf-8"?>', '<?xml version="1.1"?>', '<?xml version="1.0" encoding="utf-8" standalone="yes"?>', "\ufeff",
]; // prettier-ignore

type Node = { readonly tag: string; readonly attributes: string; readonly inner: readonly (Node | string)[] };
const written = (node: Node | string): string =>
  typeof node === "string" ? node : `<${node.tag}${node.attributes}>${node.inner.map(written).join("")}</${node.tag}>`;
const { tree } = fc.letrec<{ tree: Node; inner: Node | string }>((tie) => ({
  tree: fc.record({
    tag: fc.constantFrom("a", "b", "p:a", "q:b", "long.name-1"),
    attributes: fc.constantFrom(
      "",
      "",
      "",
      ' xmlns="u"',
      ' xmlns:p="v"',
      ' xmlns:p="v" xmlns:q="v" p:x="1"',
      ' x="1" y=""',
      ' p:x="1" q:x="2"',
      " x='1'",
      ' x = "1"',
      ' x="a>b"',
      ' x="&amp;"',
      ' x="\t"',
    ),
    inner: fc.array(tie("inner"), { maxLength: 3 }),
  }),
  inner: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(...PIECES),
    fc.string({ unit: "binary", maxLength: 6 }),
    tie("tree"),
  ),
}));

describe("the plain reader says what the parser says, or nothing", () => {
  test("of trees, whole and with one letter changed", () => {
    let read = 0;
    fc.assert(
      fc.property(tree, fc.nat(), fc.constantFrom(...PIECES, ""), fc.nat(2), (node, place, piece, cut) => {
        const text = `<r xmlns:p="v" xmlns:q="w">${written(node)}</r>`;
        if (agrees(text)) read++;
        const at = place % text.length;
        agrees(text.slice(0, at) + piece + text.slice(at + cut));
      }),
      { numRuns: 3_000 },
    );
    expect(read, "many of them were plain").toBeGreaterThan(300);
  });

  test("of letters in any order", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }), (pieces) => {
        agrees(pieces.join(""));
        agrees(`<a>${pieces.join("")}</a>`);
      }),
      { numRuns: 5_000 },
    );
  });

  test("at each limit", () => {
    const limits = { depth: 3, elements: 5, attributes: 2 };
    for (let n = 1; n <= 6; n++) {
      const deep = "<a>".repeat(n) + "</a>".repeat(n);
      const wide = `<a>${"<b/>".repeat(n)}</a>`;
      const full = `<a${Array.from({ length: n }, (_, i) => ` x${i}="" xmlns:n${i}="u"`).join("")}/>`;
      for (const text of [deep, wide, full])
        expect(readPlainXml(text, limits) === null, text).toBe(parsed(text, limits) === null);
    }
  });
});

test("what a WCF client writes is plain", () => {
  const captured = ["exchanges-basic.txt", "exchanges-ws.txt"].flatMap((name) =>
    [
      ...readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8").matchAll(/<\?xml[\s\S]*?<\/s:Envelope>/g),
    ].map(([text]) => text),
  );
  expect(captured.length).toBeGreaterThanOrEqual(26);
  for (const text of captured) expect(agrees(text)).toBe(true);
});
