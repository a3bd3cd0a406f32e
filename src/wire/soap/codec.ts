import { escapeText } from "./xml.ts";
import { attributeOf, childOf, childrenOf, type Element } from "./element.ts";
import { NS } from "./namespaces.ts";
import {
  OPERATIONS,
  TYPES,
  type ContractValue,
  type Member,
  type OperationName,
  type Reply,
  type ReplyOf,
  type RequestOf,
  type Scalar,
  type TypeName,
} from "./terminal-sync.ts";
import { readScalar, ValueRefused } from "./values.ts";

/** What decoding needs to know beside the bytes. */
export type Reading = {
  /** IANA zone of times without one; null: UTC. */
  readonly zone: string | null;
};

const isType = (type: string): type is TypeName => Object.hasOwn(TYPES, type);
const isNil = (element: Element): boolean => {
  if (element.attributes.length === 0) return false;
  const nil = attributeOf(element, NS.instance, "nil");
  return nil === "true" || nil === "1";
};

/** The members of an operation's request, but for those in `except`. @throws ValueRefused with the member's path */
export function decodeRequest<O extends OperationName, Except extends keyof RequestOf<O> & string = never>(
  operation: O,
  body: Element,
  reading: Reading,
  except: readonly Except[] = [],
): Omit<RequestOf<O>, Except> {
  const members: readonly Member[] = OPERATIONS[operation].takes;
  const wanted = members.filter(({ name }) => !(except as readonly string[]).includes(name));
  return decodeMembers(wanted, body, "", reading) as Omit<RequestOf<O>, Except>;
}

/** The items of a list member as they came; null when it is absent or nil. */
export function itemsOf(body: Element, member: string, item: TypeName): readonly Element[] | null {
  const list = childOf(body, NS.contract, member);
  return list === null || isNil(list) ? null : childrenOf(list, NS.contract, item);
}

/** One value of a complex type. @throws ValueRefused */
export function decodeType<T extends TypeName>(
  type: T,
  element: Element,
  path: string,
  reading: Reading,
): ContractValue<T> {
  return decodeValue(type, element, path, reading) as ContractValue<T>;
}

/** One member of a complex type alone. @throws ValueRefused */
export function decodeMember(type: TypeName, name: string, element: Element, reading: Reading): unknown {
  const shape = TYPES[type];
  const members: readonly Member[] = "members" in shape ? shape.members : [];
  return decodeMembers(
    members.filter((member) => member.name === name),
    element,
    "",
    reading,
  )[name];
}

function decodeMembers(
  members: readonly Member[],
  element: Element,
  path: string,
  reading: Reading,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const member of members) {
    const at = path === "" ? member.name : `${path}.${member.name}`;
    const given = onlyChild(element, member.name, at);
    if (!given) {
      if (member.optional !== true) throw new ValueRefused(at, "is missing");
      values[member.name] = null;
    } else if (isNil(given)) {
      if (member.nillable !== true) throw new ValueRefused(at, "must not be nil");
      values[member.name] = null;
    } else values[member.name] = decodeValue(member.type, given, at, reading);
  }
  return values;
}

/** A plain loop: this is asked for each member of each message. @throws ValueRefused when there are two */
function onlyChild({ children }: Element, name: string, at: string): Element | null {
  let found: Element | null = null;
  for (const child of children) {
    if (child.name !== name || child.namespace !== NS.contract) continue;
    if (found) throw new ValueRefused(at, "comes twice");
    found = child;
  }
  return found;
}

function decodeValue(type: Scalar | TypeName, element: Element, path: string, reading: Reading): unknown {
  if (isType(type)) {
    const shape = TYPES[type];
    if ("members" in shape) return decodeMembers(shape.members, element, path, reading);
    return childrenOf(element, NS.contract, shape.listOf).map((item, index) =>
      decodeValue(shape.listOf, item, `${path}[${index}]`, reading),
    );
  }
  if (element.children.length > 0) throw new ValueRefused(path, "must not have elements inside");
  if (element.illegal) throw new ValueRefused(path, "has a character that XML does not allow");
  return readScalar(type, element.text, path, reading.zone);
}

// ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────

const INSTANCE = `xmlns:i="${NS.instance}"`;

/** The body element of a good reply. */
export function encodeReply<O extends OperationName>(operation: O, reply: ReplyOf<O>): string {
  const inner = encodeMembers(OPERATIONS[operation].gives, reply);
  return `<${operation}Response xmlns="${NS.contract}"><${operation}Result ${INSTANCE}>${inner}</${operation}Result></${operation}Response>`;
}

/** The detail element of a typed fault. */
export const encodeFaultDetail = (fault: Reply<"SyncFault">): string =>
  `<SyncFault xmlns="${NS.contract}" ${INSTANCE}>${encodeMembers("SyncFault", fault)}</SyncFault>`;

/** One item of a list as it stands in a reply; its length decides how many fit. */
export const encodeItem = <T extends TypeName>(type: T, value: Reply<T>): string =>
  `<${type}>${encodeMembers(type, value)}</${type}>`;

function encodeMembers(type: TypeName, value: unknown): string {
  const shape = TYPES[type];
  if ("listOf" in shape) {
    const items = value as readonly unknown[];
    return items.map((item) => `<${shape.listOf}>${encodeMembers(shape.listOf, item)}</${shape.listOf}>`).join("");
  }
  const values = value as Readonly<Record<string, unknown>>;
  const members: readonly Member[] = shape.members;
  return members.map((member) => encodeMember(member, values[member.name])).join("");
}

function encodeMember({ name, type }: Member, value: unknown): string {
  if (value === undefined) return "";
  if (value === null) return `<${name} i:nil="true"/>`;
  const inner = isType(type) ? encodeMembers(type, value) : escapeText(scalarText(value as ScalarReply));
  return inner === "" ? `<${name}/>` : `<${name}>${inner}</${name}>`;
}

type ScalarReply = string | number | bigint | boolean;
const scalarText = (value: ScalarReply): string => String(value);
