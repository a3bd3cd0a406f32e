import { SoapFault, textOf, type Fault } from "./faults.ts";
import { encodeFaultDetail } from "./codec.ts";
import { NS, REFUSED_PROTOCOLS } from "./namespaces.ts";
import { escapeAttribute, escapeText } from "./xml.ts";
import { attributeOf, childOf, childrenOf, type Element } from "./element.ts";

export type SoapVersion = "1.1" | "1.2";
const ENVELOPE: Readonly<Record<SoapVersion, string>> = { "1.1": NS.soap11, "1.2": NS.soap12 };
export const MEDIA_TYPE: Readonly<Record<SoapVersion, string>> = { "1.1": "text/xml", "1.2": "application/soap+xml" };

export type Credentials = { readonly username: string; readonly password: string };
/** A request's envelope, its headers understood. */
export type Envelope = {
  /** Null: no WS-Addressing. */
  readonly action: string | null;
  readonly messageId: string | null;
  /** Nobody waits for the reply: it goes to `none`. */
  readonly noReply: boolean;
  readonly credentials: Credentials | null;
  /** The request had a WS-Security timestamp: the reply must have one too. */
  readonly stamped: boolean;
  /** The one element of the body. */
  readonly body: Element;
};

const ANONYMOUS = `${NS.addressing}/anonymous`;
const NONE = `${NS.addressing}/none`;
const ADDRESSING_HEADERS: ReadonlySet<string> = new Set([
  "Action",
  "MessageID",
  "ReplyTo",
  "To",
  "FaultTo",
  "From",
  "RelatesTo",
]);
/** Headers for the receiver itself, or for whoever comes next: that is us. */
const OURS: ReadonlySet<string> = new Set([
  "",
  "http://schemas.xmlsoap.org/soap/actor/next",
  `${NS.soap12}/role/next`,
  `${NS.soap12}/role/ultimateReceiver`,
]);

/** @throws SoapFault for what is no envelope of this version, or asks for what is not spoken here */
export function readEnvelope(root: Element, version: SoapVersion): Envelope {
  const soap = ENVELOPE[version];
  if (root.name !== "Envelope") throw sender("the document is not a SOAP envelope");
  if (root.namespace !== soap) throw new SoapFault({ kind: "version-mismatch" });
  const header = childOf(root, soap, "Header");
  const bodies = childrenOf(root, soap, "Body");
  const expected = [...(header ? ["Header"] : []), "Body"];
  if (root.children.map(({ namespace, name }) => (namespace === soap ? name : "")).join() !== expected.join())
    throw sender("an envelope has at most one Header, then one Body, and nothing else");
  const body = bodies[0]?.children[0];
  if (!body || bodies[0]?.children.length !== 1) throw sender("the Body must have exactly one element");
  if (/[^\t\n\r ]/.test(bodies[0].text)) throw sender("the Body must not have text of its own");
  refuseProtocols([body]);
  const mine = (header?.children ?? []).filter((each) =>
    OURS.has(attributeOf(each, soap, version === "1.1" ? "actor" : "role") ?? ""),
  );
  refuseProtocols(mine);
  const strange = mine.filter((each) => mustUnderstand(each, soap) && !isKnown(each));
  if (strange.length > 0)
    throw new SoapFault({
      kind: "must-understand",
      headers: strange.map(({ namespace, name }) => ({ namespace, name })),
    });
  return { ...addressingOf(mine), ...securityOf(mine), body };
}

function mustUnderstand(header: Element, soap: string): boolean {
  const must = attributeOf(header, soap, "mustUnderstand");
  return must === "1" || must === "true";
}
const isKnown = ({ namespace, name }: Element): boolean =>
  (namespace === NS.addressing && ADDRESSING_HEADERS.has(name)) || (namespace === NS.security && name === "Security");

function refuseProtocols(elements: readonly Element[]): void {
  for (const { namespace } of elements) {
    const refused = REFUSED_PROTOCOLS.find((protocol) => protocol.namespace === namespace);
    if (refused) throw sender(refused.why);
  }
}

const sender = (text: string): SoapFault => new SoapFault({ kind: "sender", text });
const invalidAddressing = (text: string): SoapFault =>
  new SoapFault({ kind: "addressing", subcode: "InvalidAddressingHeader", text });

function addressingOf(headers: readonly Element[]): Pick<Envelope, "action" | "messageId" | "noReply"> {
  const only = (name: string): Element | null => {
    const found = headers.filter((each) => each.namespace === NS.addressing && each.name === name);
    if (found.length > 1) throw invalidAddressing(`there is more than one ${name} header`);
    if (found[0]?.illegal) throw invalidAddressing(`the ${name} header has a character that XML does not allow`);
    return found[0] ?? null;
  };
  const addressOf = (name: string): string | null => {
    const reference = only(name);
    if (!reference) return null;
    const address = childOf(reference, NS.addressing, "Address")?.text.trim() ?? "";
    // A reply is never sent anywhere but back on the connection the request came on.
    if (address !== ANONYMOUS && address !== NONE)
      throw invalidAddressing(`${name} must be anonymous or none: replies go back on the same connection`);
    return address;
  };
  only("To"); // any host: proxies and name changes are none of our business
  addressOf("FaultTo");
  return {
    action: only("Action")?.text.trim() ?? null,
    messageId: only("MessageID")?.text.trim() ?? null,
    noReply: addressOf("ReplyTo") === NONE,
  };
}

const PASSWORD_TEXT = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText";

function securityOf(headers: readonly Element[]): Pick<Envelope, "credentials" | "stamped"> {
  const [security, twice] = headers.filter((each) => each.namespace === NS.security && each.name === "Security");
  const refuse = (subcode: "InvalidSecurity" | "UnsupportedSecurityToken", text: string): SoapFault =>
    new SoapFault({ kind: "security", subcode, text });
  if (twice) throw refuse("InvalidSecurity", "there is more than one Security header");
  if (!security) return { credentials: null, stamped: false };
  const stamped = childOf(security, NS.utility, "Timestamp") !== null;
  const [token, second] = childrenOf(security, NS.security, "UsernameToken");
  if (second) throw refuse("InvalidSecurity", "there is more than one UsernameToken");
  const others = security.children.filter(
    (each) => each !== token && !(each.namespace === NS.utility && each.name === "Timestamp"),
  );
  if (others.length > 0) {
    const text = `${others[0]?.name ?? "this token"} is not read here: use TransportWithMessageCredential with clientCredentialType="UserName", or HTTP Basic`;
    throw refuse("UnsupportedSecurityToken", text);
  }
  if (!token) return { credentials: null, stamped };
  const password = childOf(token, NS.security, "Password");
  const type = password ? (attributeOf(password, "", "Type") ?? PASSWORD_TEXT) : PASSWORD_TEXT;
  if (type !== PASSWORD_TEXT)
    throw refuse(
      "UnsupportedSecurityToken",
      'PasswordDigest is not read here, since keys are stored as hashes: send PasswordText under TLS (clientCredentialType="UserName", or passwordType "PasswordText")',
    );
  const username = childOf(token, NS.security, "Username")?.text ?? "";
  return { credentials: { username, password: password?.text ?? "" }, stamped };
}

// ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a reply must say about the request it answers. */
export type ReplyTo = {
  readonly version: SoapVersion;
  readonly addressed: boolean;
  readonly messageId: string | null;
  readonly stamped: boolean;
};
/** Validity of the reply's timestamp, both ISO 8601 with `Z`. */
export type Stamp = { readonly created: string; readonly expires: string };

export function writeReply(to: ReplyTo, action: string, body: string, stamp: Stamp): string {
  const soap = ENVELOPE[to.version];
  const addressed = to.version === "1.2" && to.addressed;
  const headers = [
    ...(addressed ? [`<a:Action s:mustUnderstand="1">${escapeText(action)}</a:Action>`] : []),
    ...(addressed && to.messageId !== null ? [`<a:RelatesTo>${escapeText(to.messageId)}</a:RelatesTo>`] : []),
    ...(to.stamped ? [securityHeader(stamp)] : []),
  ];
  const header = headers.length === 0 ? "" : `<s:Header>${headers.join("")}</s:Header>`;
  const namespaces = `xmlns:s="${soap}"${addressed ? ` xmlns:a="${NS.addressing}"` : ""}`;
  return `<s:Envelope ${namespaces}>${header}<s:Body>${body}</s:Body></s:Envelope>`;
}

/** Without mustUnderstand: a client that sent a timestamp reads it, and one behind a toolkit that does not is not broken by it. */
const securityHeader = ({ created, expires }: Stamp): string =>
  `<o:Security xmlns:o="${NS.security}"><u:Timestamp u:Id="_0" xmlns:u="${NS.utility}"><u:Created>${created}</u:Created><u:Expires>${expires}</u:Expires></u:Timestamp></o:Security>`;

/** @param action of the request; null when it could not be told */
export function writeFault(to: ReplyTo, fault: Fault, action: string | null, stamp: Stamp): string {
  const written = to.version === "1.1" ? fault11(fault) : fault12(fault);
  const reply = writeReply(to, faultAction(fault, action), written, stamp);
  if (to.version === "1.1" || fault.kind !== "must-understand") return reply;
  const notUnderstood = fault.headers
    .map(
      ({ namespace, name }) =>
        `<s:NotUnderstood qname="h:${escapeAttribute(name)}" xmlns:h="${escapeAttribute(namespace)}"/>`,
    )
    .join("");
  // The place for it is the header, which may not be there yet.
  return reply.includes("<s:Header>")
    ? reply.replace("</s:Header>", () => `${notUnderstood}</s:Header>`)
    : reply.replace("<s:Body>", () => `<s:Header>${notUnderstood}</s:Header><s:Body>`);
}

function faultAction(fault: Fault, action: string | null): string {
  if (fault.kind === "typed" && action !== null) return `${action}SyncFaultFault`;
  if (fault.kind === "mapped") return fault.action;
  if (fault.kind === "internal") return `${NS.dispatcher}/fault`;
  return `${NS.addressing}/${fault.kind === "addressing" ? "fault" : "soap/fault"}`;
}

/** The names in the code of a fault: SOAP's own part, and the more exact one of another namespace. */
type Code = {
  readonly own: "sender" | "receiver" | "MustUnderstand" | "VersionMismatch";
  readonly exact: { readonly prefix: string; readonly namespace: string; readonly name: string } | null;
};

function codeOf(fault: Fault): Code {
  switch (fault.kind) {
    case "typed":
    case "mapped":
      return { own: fault.blame, exact: null };
    case "must-understand":
      return { own: "MustUnderstand", exact: null };
    case "version-mismatch":
      return { own: "VersionMismatch", exact: null };
    case "addressing":
      return { own: "sender", exact: { prefix: "a", namespace: NS.addressing, name: fault.subcode } };
    case "security":
      return { own: "sender", exact: { prefix: "o", namespace: NS.security, name: fault.subcode } };
    case "sender":
      return { own: "sender", exact: null };
    case "internal":
      return { own: "receiver", exact: { prefix: "x", namespace: NS.dispatcher, name: "InternalServiceFault" } };
  }
}

const detailOf = (fault: Fault): string =>
  fault.kind === "typed" ? encodeFaultDetail(fault.detail) : fault.kind === "mapped" ? fault.detail : "";

function fault11(fault: Fault): string {
  const { own, exact } = codeOf(fault);
  const names = {
    sender: "Client",
    receiver: "Server",
    MustUnderstand: "MustUnderstand",
    VersionMismatch: "VersionMismatch",
  } as const;
  const code = exact
    ? `<faultcode xmlns:${exact.prefix}="${exact.namespace}">${exact.prefix}:${exact.name}</faultcode>`
    : `<faultcode>s:${names[own]}</faultcode>`;
  const detail = detailOf(fault);
  return `<s:Fault>${code}<faultstring xml:lang="en-US">${escapeText(textOf(fault))}</faultstring>${detail === "" ? "" : `<detail>${detail}</detail>`}</s:Fault>`;
}

function fault12(fault: Fault): string {
  const { own, exact } = codeOf(fault);
  const names = {
    sender: "Sender",
    receiver: "Receiver",
    MustUnderstand: "MustUnderstand",
    VersionMismatch: "VersionMismatch",
  } as const;
  const subcode = exact
    ? `<s:Subcode><s:Value xmlns:${exact.prefix}="${exact.namespace}">${exact.prefix}:${exact.name}</s:Value></s:Subcode>`
    : "";
  const detail = detailOf(fault);
  return `<s:Fault><s:Code><s:Value>s:${names[own]}</s:Value>${subcode}</s:Code><s:Reason><s:Text xml:lang="en-US">${escapeText(textOf(fault))}</s:Text></s:Reason>${detail === "" ? "" : `<s:Detail>${detail}</s:Detail>`}</s:Fault>`;
}
