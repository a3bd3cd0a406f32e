import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { WSDL_SECURITIES, writeWsdl } from "./wsdl.ts";
import { readXml } from "./xml.ts";
import type { Element } from "./element.ts";

const fixture = (name: string): string => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
/** What a WSDL reader sees: names, attributes in any order, children in theirs, and no white space between them. */
const tree = ({ namespace, name, attributes, children, text }: Element): unknown => ({
  name: `{${namespace}}${name}`,
  attributes: attributes.map((each) => `${each.namespace} ${each.name}=${each.value}`).toSorted(),
  text: text.trim(),
  children: children.map(tree),
});

test.each([
  ["none", "terminal-sync.wsdl", "http://127.0.0.1:22020/soap/terminal"],
  ["http-basic", "terminal-sync.http-basic.wsdl", "https://HUB/soap/terminal"],
  ["usernametoken", "terminal-sync.usernametoken.wsdl", "https://HUB/soap/terminal"],
] as const)("the table writes the published contract, security %s", (security, file, base) => {
  expect(tree(readXml(writeWsdl(base, security)))).toEqual(tree(readXml(fixture(file))));
});

test("an address with letters that XML needs is written so that it is read again", () => {
  for (const security of WSDL_SECURITIES)
    expect(() => readXml(writeWsdl('https://hub/a?b&c="<d>"', security))).not.toThrow();
});
