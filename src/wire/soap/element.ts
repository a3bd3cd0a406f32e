/** An element with everything a reader of messages needs of it; comments and the order of mixed text are not kept. */
export type Element = {
  readonly namespace: string;
  readonly name: string;
  readonly attributes: readonly Attribute[];
  readonly children: readonly Element[];
  /** All text and CDATA directly inside, joined: `<a>x<!-- -->y</a>` is "xy". */
  readonly text: string;
  /** It has a reference to a character that XML does not allow (`&#x1;`), as .NET writes control characters. `text` is then not what was meant. */
  readonly illegal: boolean;
};
export type Attribute = { readonly namespace: string; readonly name: string; readonly value: string };

/** What one document may cost, beside its bytes, which the transport counts. */
export type XmlLimits = {
  readonly depth: number;
  readonly elements: number;
  /** Of one element, declarations of namespaces included. */
  readonly attributes: number;
};

/** XML 1.0, production 2. */
export const isXmlCharacter = (code: number): boolean =>
  code === 0x9 ||
  code === 0xa ||
  code === 0xd ||
  (code >= 0x20 && code <= 0xd7ff) ||
  (code >= 0xe000 && code <= 0xfffd) ||
  (code >= 0x10000 && code <= 0x10ffff);

export const childrenOf = (element: Element, namespace: string, name: string): readonly Element[] =>
  element.children.filter((child) => child.namespace === namespace && child.name === name);
export const childOf = (element: Element, namespace: string, name: string): Element | null =>
  childrenOf(element, namespace, name)[0] ?? null;
export const attributeOf = (element: Element, namespace: string, name: string): string | null =>
  element.attributes.find((each) => each.namespace === namespace && each.name === name)?.value ?? null;
